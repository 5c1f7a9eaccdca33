"""A real Prometheus and a real Alertmanager tell Baton what is wrong."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests

from app import ROOT
from tests.support import programs
from tests.support.processes import (
    Api,
    Baton,
    Metrics,
    Page,
    TlsPager,
    alertmanager,
    metrics_endpoint,
    prometheus,
    wait_for,
)

# Each of these models has alerts that take a way of their own into Baton.
WAYS = {
    "recsys-home": "webhook with a bearer token",
    "churn-weekly": "webhook with basic authentication",
    "fraud-card": "PagerDuty's Events API",
}
# Two seconds when nothing else runs, which is what `make bench` measures.
WITHIN = timedelta(seconds=15)
ROUTING_KEY = "0123456789abcdef0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Site:
    """An installation with its models, its pager, and the Alertmanager that sends to it."""

    baton: Baton
    runbooks: Path
    api: Api
    pager: TlsPager
    alertmanager: str

    def incident_of(self, model: str, state: str) -> dict[str, Any] | None:
        """The newest incident of a model, in whole, once it is in this state."""
        found = self.api.get("/incidents", state="all", model=model)["items"]
        if not found or found[0]["state"] != state:
            return None
        return self.api.get(f"/incidents/{found[0]['id']}")

    def settled_incident(self, model: str, state: str) -> dict[str, Any]:
        """The same, once PagerDuty knows all that it is to know."""
        return wait_for(
            lambda: (
                (found := self.incident_of(model, state)) and found["paging"] == "In sync" and found
            ),
            f"an incident of {model} that is {state}, and its page",
        )

    def page_of(self, incident: dict[str, Any]) -> Page:
        """The one page of an incident."""
        (page,) = self.pager.pages_of(incident["id"])
        return page

    def opening(self, incident: dict[str, Any]) -> dict[str, Any]:
        """The delivery that opened an incident."""
        for line in self.api.get("/deliveries")["items"]:
            delivery = self.api.get(f"/deliveries/{line['id']}")
            if incident["id"] in delivery["outcome"].get("opened", ()):
                return delivery
        raise AssertionError(f"No delivery says that it opened INC-{incident['id']}.")


@pytest.fixture(scope="module")
def site(
    new_database: Callable[[], str], pager: TlsPager, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    programs.require(programs.ALERTMANAGER)
    folder = tmp_path_factory.mktemp("alertmanager")
    runbooks = Path(shutil.copytree(ROOT / "runbooks", folder / "runbooks"))
    baton = Baton(
        folder / "var",
        database_url=new_database(),
        BATON_RUNBOOKS=str(runbooks),
        **pager.settings,
    )
    try:
        baton.start()
        api = baton.api(baton.secret("token", "create", "tests", "--scope", "write"))
        register_models(api)
        with alertmanager(folder, receivers(baton, api)) as url:
            baton.wait_until_ready()
            yield Site(baton, runbooks, api, pager, url)
        assert baton.interrupt() == 0
    finally:
        baton.end()


def register_models(api: Api) -> None:
    api.post("/teams", {"name": "Recommendations", "slug": "recommendations"})
    api.put("/teams/recommendations/pager", {"region": "us", "routing_key": ROUTING_KEY})
    for slug in (*WAYS, "search-rank", "ads-ctr", "pricing-eu"):
        api.post("/models", {"slug": slug, "team": "recommendations", "tier": 1})


def receivers(baton: Baton, api: Api) -> dict[str, Any]:
    """Alertmanager's configuration, as somebody would write it after reading Baton's pages."""

    def new_key(name: str, source: str) -> str:
        return str(api.post("/integrations", {"name": name, "source": source})["key"])

    door = f"{baton.url}/in/alertmanager"
    bearer = {"authorization": {"credentials": new_key("Bearer", "alertmanager")}}
    basic = {"basic_auth": {"username": "am", "password": new_key("Basic", "alertmanager")}}
    events = {
        "url": f"{baton.url}/v2/enqueue",
        "routing_key": new_key("Events", "events_v2"),
        "severity": "{{ .CommonLabels.severity }}",
    }
    return {
        "route": {
            "receiver": "bearer",
            "group_by": ["alertname", "model"],
            "group_wait": "200ms",
            "group_interval": "1s",
            "repeat_interval": "1h",
            "routes": [
                {"matchers": ['model="churn-weekly"'], "receiver": "basic"},
                {"matchers": ['model="fraud-card"'], "receiver": "events"},
                {"matchers": ['model="ads-ctr"'], "group_by": ["..."], "receiver": "bearer"},
            ],
        },
        "receivers": [
            {"name": "bearer", "webhook_configs": [{"url": door, "http_config": bearer}]},
            {"name": "basic", "webhook_configs": [{"url": door, "http_config": basic}]},
            {"name": "events", "pagerduty_configs": [events]},
        ],
    }


@pytest.fixture(scope="module")
def metrics(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metrics]:
    """The drift of some features, scraped by a Prometheus that alerts on it."""
    config = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
        "alerting": {
            "alertmanagers": [
                {"static_configs": [{"targets": [site.alertmanager.removeprefix("http://")]}]}
            ]
        },
    }
    rule = {
        "alert": "ModelInputDrift",
        "expr": "feature_psi > 0.25",
        "labels": {"severity": "critical"},
        "annotations": {
            "summary": "PSI of {{ $labels.feature }} is {{ $value }}, limit 0.25",
            "dashboard": "https://grafana.example.com/d/{{ $labels.model }}",
        },
    }
    with metrics_endpoint() as metrics:
        for model in WAYS:
            metrics.set("feature_psi", {"model": model, "feature": "age_days"}, 0.02)
        config["scrape_configs"] = [
            {"job_name": "drift", "static_configs": [{"targets": [metrics.target]}]}
        ]
        rules = {"groups": [{"name": "drift", "rules": [rule]}]}
        with prometheus(tmp_path_factory.mktemp("prometheus"), config, rules):
            yield metrics


@pytest.mark.parametrize("model", [pytest.param(model, id=way) for model, way in WAYS.items()])
def test_an_alert_opens_the_right_incident_and_its_end_resolves_it(site, metrics, model):
    metrics.set("feature_psi", {"model": model, "feature": "age_days"}, 0.41)
    incident = site.settled_incident(model, "triggered")

    assert incident["model"] == model
    assert incident["team"] == "Recommendations"
    assert incident["severity"] == 1
    assert incident["failure_mode"] == "input_drift"
    assert incident["runbook"]["id"] == "model-input-drift"
    assert incident["runbook"]["version"] == 1
    (member,) = incident["members"]
    told = {"alertname": "ModelInputDrift", "model": model, "feature": "age_days"}
    assert member["labels"].items() >= {**told, "severity": "critical"}.items()
    assert "PSI of age_days is 0.41, limit 0.25" in member["annotations"].values()
    links = {link["href"] for link in member["links"]}
    assert f"https://grafana.example.com/d/{model}" in links
    assert any("/graph?g0.expr=feature_psi" in link for link in links), links
    assert texts(incident) >= {
        "Opened by ModelInputDrift",
        "Page to Recommendations taken by PagerDuty",
    }

    page = site.page_of(incident)
    assert page.status == "triggered"
    assert page.title == f"SEV-1 {incident['title']}"
    assert page.event["payload"]["severity"] == "critical"
    assert incident["url"] in [link["href"] for link in page.event["links"]]

    arrived_at = at(site.opening(incident)["received_at"])
    assert at(incident["opened_at"]) - arrived_at < WITHIN
    assert page.created_at - arrived_at < WITHIN

    metrics.set("feature_psi", {"model": model, "feature": "age_days"}, 0.03)
    over = site.settled_incident(model, "resolved")

    assert over["id"] == incident["id"]
    assert over["firing"] == 0
    assert texts(over) >= {
        "Resolved: its alert stopped",
        "Resolve to Recommendations taken by PagerDuty",
    }
    assert site.page_of(over).status == "resolved"


@pytest.mark.parametrize(
    "model",
    [
        pytest.param("search-rank", id="in one delivery"),
        pytest.param("ads-ctr", id="in forty deliveries"),
    ],
)
def test_forty_drifting_features_of_a_model_are_one_incident(site, model):
    features = [f"feature_{number}" for number in range(40)]
    tell(site, model, features)
    incident = wait_for(
        lambda: (found := site.incident_of(model, "triggered")) and found["alerts"] == 40 and found,
        "forty alerts in one incident",
    )

    assert len(site.api.get("/incidents", state="all", model=model)["items"]) == 1
    assert {member["labels"]["feature"] for member in incident["members"]} == set(features)
    assert incident["firing"] == 40

    tell(site, model, features[:39], over=True)
    wait_for(
        lambda: (found := site.incident_of(model, "triggered")) and found["firing"] == 1,
        "39 of the alerts to end",
    )
    tell(site, model, features[39:], over=True)

    over = site.settled_incident(model, "resolved")
    assert (over["id"], over["firing"]) == (incident["id"], 0)
    assert site.page_of(over).status == "resolved"


def test_an_open_incident_keeps_the_version_of_the_runbook_that_it_opened_with(site):
    model = "pricing-eu"
    before = opened(site, model, "2026-03-01")
    assert before["runbook"]["id"] == "feature-stale"

    with (site.runbooks / "feature-stale.md").open("a") as file:
        file.write("\nAsk the owner of the source first.\n")
    done = site.baton.command("runbooks", "import")
    assert done.returncode == 0, done.stderr
    published = site.api.get("/runbooks/feature-stale")["published"]
    assert published == before["runbook"]["version"] + 1

    # The worker looks for new publications once a second, so the first may still miss it.
    days = count(1)
    wait_for(
        lambda: opened(site, model, f"2026-04-{next(days):02}")["runbook"]["version"] == published,
        "an incident with the new version",
    )
    assert site.api.get(f"/incidents/{before['id']}")["runbook"] == before["runbook"]


def opened(site: Site, model: str, version: str) -> dict[str, Any]:
    """Open an incident for stale features of a version of a model. Each version has its own."""
    tell(site, model, ["tenure"], name="ModelFeatureStale", model_version=version)
    return wait_for(
        lambda: (
            (found := site.incident_of(model, "triggered"))
            and found["model_version"] == version
            and found
        ),
        f"an incident of {model} {version}",
    )


def tell(
    site: Site,
    model: str,
    features: list[str],
    *,
    name: str = "ModelInputDrift",
    over: bool = False,
    **labels: str,
) -> None:
    """Post to Alertmanager's own API, as Prometheus does."""
    moment = datetime.now(UTC)
    ends = moment if over else moment + timedelta(minutes=5)
    alerts = [
        {
            "labels": {
                "alertname": name, "model": model, "feature": feature, "severity": "warning",
                **labels,
            },
            "annotations": {"summary": f"{feature} of {model}"},
            "startsAt": (moment - timedelta(seconds=1)).isoformat(),
            "endsAt": ends.isoformat(),
        }
        for feature in features
    ]  # fmt: skip
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(f"{site.alertmanager}/api/v2/alerts", json=alerts, timeout=10)
    assert answer.ok, answer.text


def texts(incident: dict[str, Any]) -> set[str]:
    return {happened["text"] for happened in incident["timeline"]}


def at(written: str) -> datetime:
    return datetime.fromisoformat(written)
