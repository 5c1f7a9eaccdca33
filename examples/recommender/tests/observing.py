"""Seeing a running recommender as a portal does: only through its public endpoints."""

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import urllib3
from prometheus_client.openmetrics.parser import text_string_to_metric_families

BUDGET = "0.15"
# The figures are far from these limits on either side; a busy machine moves them a little.
SLOW_SHARE = FAILED_SHARE = FALLBACK_SHARE = 0.03
ENOUGH_REQUESTS = 300


@dataclass(frozen=True)
class Scrape:
    at: datetime
    totals: Counter[tuple[str, str]]  # by name and the one label that tells series apart

    def since(self, earlier: "Scrape") -> Counter[tuple[str, str]]:
        return Counter({key: total - earlier.totals[key] for key, total in self.totals.items()})


class Observer:
    def __init__(self, url: str, *, rate: float, control_token: str) -> None:
        self._url = url
        self._rate = rate
        self._control = {"Authorization": f"Bearer {control_token}"}

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        return self._answered("GET", path, headers)

    def inject(self, fault: str) -> None:
        self._answered("PUT", f"/faults/{fault}", self._control)

    def heal(self) -> None:
        self._answered("DELETE", "/faults", self._control)

    def _answered(self, method: str, path: str, headers: dict) -> urllib3.BaseHTTPResponse:
        reply = urllib3.request(method, f"{self._url}{path}", headers=headers, timeout=5)
        assert reply.status == 200, reply.data
        return reply

    def scrape(self) -> Scrape:
        text = self.get(
            "/metrics", Accept="application/openmetrics-text; version=1.0.0"
        ).data.decode()
        totals: Counter[tuple[str, str]] = Counter()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                told_apart = [
                    value
                    for label, value in sample.labels.items()
                    if label not in ("model", "version")
                ]
                totals[sample.name, " ".join(told_apart)] += sample.value
        return Scrape(datetime.now(UTC), totals)

    def has_enough_since(self, begin: Scrape) -> bool:
        new = self.scrape().since(begin)
        return new["recommender_request_duration_seconds_count", ""] >= ENOUGH_REQUESTS

    def moved(self, begin: Scrape) -> set[str]:
        """Give the signals outside their limits in what happened since `begin`."""
        return self._serving(begin) | self._drift(begin) | self._contracts()

    def _serving(self, begin: Scrape) -> set[str]:
        now = self.scrape()
        new = now.since(begin)
        count = new["recommender_request_duration_seconds_count", ""]
        if count < ENOUGH_REQUESTS:
            expected = self._rate * (now.at - begin.at).total_seconds()
            return {"throughput"} if expected > 4 * ENOUGH_REQUESTS else set()
        within = new["recommender_request_duration_seconds_bucket", BUDGET]
        failed = sum(new["recommender_requests_total", one] for one in ("error", "invalid"))
        fallback = sum(new["recommender_served_total", rung] for rung in ("cached", "popular"))
        shares = {
            "latency": (1 - within / count, SLOW_SHARE),
            "errors": (failed / count, FAILED_SHARE),
            "fallback": (fallback / count, FALLBACK_SHARE),
        }
        return {signal for signal, (share, limit) in shares.items() if share > limit}

    def drift_since(self, begin: Scrape) -> list[dict]:
        """Give the reports of windows that lie wholly after `begin`."""
        return [
            envelope
            for envelope in self.get("/drift").json()
            if datetime.fromisoformat(envelope["window_start"]) >= begin.at
        ]

    def _drift(self, begin: Scrape) -> set[str]:
        names = {"input": "input_drift", "output_quality": "output_quality"}
        return {
            names[envelope["kind"]]
            for envelope in self.drift_since(begin)
            if envelope["report"]["value"] is None
            or envelope["report"]["value"] > envelope["report"]["threshold"]
        }

    def _contracts(self) -> set[str]:
        reports = {one["kind"]: one["report"] for one in self.get("/contracts").json()}
        fresh = reports["freshness"]
        age = datetime.now(UTC) - datetime.fromisoformat(fresh["loaded_at"])
        moved = {
            "schema": bool(reports["schema"]["SCHEMA"] or reports["schema"]["DATA"]),
            "freshness": age.total_seconds() > fresh["expected_every_s"],
            "access": not reports["access"]["granted"],
        }
        return {signal for signal, has_moved in moved.items() if has_moved}


def wait_for(condition, *, seconds: float, what: str) -> float:
    """Wait until a condition holds, and say how long it took."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, f"Waited {seconds:.0f} s in vain for {what}."
        time.sleep(0.5)
    return time.monotonic() - begin
