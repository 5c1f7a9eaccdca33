"""kill -9 at random points under load, and then a count: nothing answered is lost, nothing doubled."""

import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from sqlalchemy import NullPool, Row, create_engine, text

from app.integrations.pagerduty.sandbox import Fault, Trouble
from tests.support.processes import Api, Baton, TlsPager, wait_for

SEED = 20260312
MODELS = [f"model-{number}" for number in range(8)]  # each with a team, each team with a key
SENDERS = 4
BATCH = 10
MOST_SINGLES = 40  # for each sender: each is a page, and a team's key takes 100 calls a minute
# What is killed, in an order that chance decides. The supervisor gives up on a child that ends
# five times in a minute, so none is killed more often than that.
TARGETS = ("web", "web", "worker", "worker", "worker", "everything")
SETTLED_WITHIN = 75.0  # seconds: a message that was just being sent is tried again after 30 s


@dataclass(slots=True)
class Told:
    """A delivery of alerts that fire, and what came back for it and for their end."""

    model: str
    mode: str
    fingerprints: tuple[str, ...]
    fired: bool = False  # its delivery was answered with 2xx
    end_sent: bool = False
    ended: bool = False  # so was that of its end


class Sender(threading.Thread):
    """Delivers alerts of its own, alone and in batches, and the end of some of them."""

    def __init__(self, baton: Baton, key: str, number: int, stop: threading.Event) -> None:
        super().__init__(name=f"sender-{number}")
        self.told: list[Told] = []
        self.answers: Counter[int | str] = Counter()
        self._baton, self._number, self._stop_sending = baton, number, stop
        self._key = key
        self._chance = random.Random(SEED + number)
        self._singles = 0

    def run(self) -> None:
        while not self._stop_sending.wait(self._chance.uniform(0.005, 0.05)):
            open_ones = [told for told in self.told if told.fired and not told.end_sent]
            if open_ones and self._chance.random() < 0.3:
                told = self._chance.choice(open_ones)
                told.end_sent = True
                told.ended = self._deliver(told, "resolved")
            else:
                self.told.append(told := self._next())
                told.fired = self._deliver(told, "firing")

    def _next(self) -> Told:
        """An alert that is an incident of its own, or some that join one with others."""
        number, model = len(self.told), self._chance.choice(MODELS)
        name = f"{self._number}-{number}"
        if self._singles < MOST_SINGLES and self._chance.random() < 0.2:
            self._singles += 1
            return Told(model, f"alone_{self._number}_{number}", (name,))
        return Told(model, "together", tuple(f"{name}-{one}" for one in range(BATCH)))

    def _deliver(self, told: Told, status: str) -> bool:
        try:
            with self._baton.browser() as session:
                answer = session.post(
                    f"{self._baton.url}/in/alertmanager",
                    json=webhook(told, status),
                    headers={"Authorization": f"Bearer {self._key}"},
                    timeout=15,
                )
        except requests.RequestException as error:
            self.answers[type(error).__name__] += 1
            self._stop_sending.wait(0.1)
            return False
        self.answers[answer.status_code] += 1
        return answer.ok


def webhook(told: Told, status: str) -> dict[str, Any]:
    moment = datetime.now(UTC).isoformat()
    over = {"endsAt": moment} if status == "resolved" else {}
    return {
        "version": "4",
        "groupKey": told.fingerprints[0],
        "status": status,
        "alerts": [
            {
                "status": status,
                "fingerprint": fingerprint,
                "labels": {
                    "alertname": "Crash",
                    "model": told.model,
                    "failure_mode": told.mode,
                    "feature": fingerprint,
                },
                **over,
            }
            for fingerprint in told.fingerprints
        ],
    }


@pytest.fixture
def baton(
    installed: Callable[..., Baton], new_database: Callable[[], str], pager: TlsPager
) -> Baton:
    baton = installed(database_url=new_database(), **pager.settings)
    baton.start()
    register_models(baton.api(baton.secret("token", "create", "tests", "--scope", "write")))
    baton.wait_until_ready()
    return baton


def register_models(api: Api) -> None:
    for number, model in enumerate(MODELS):
        team = f"team-{number}"
        api.post("/teams", {"name": team, "slug": team})
        api.put(f"/teams/{team}/pager", {"region": "us", "routing_key": f"{number:032}"})
        api.post("/models", {"slug": model, "team": team, "tier": 1})


def test_what_was_answered_survives_kill_9_and_is_paged_once(baton, pager):
    key = baton.secret("key", "create", "alertmanager")
    # Calls to the pager take a while, so that workers are killed in the middle of some.
    pager.sandbox.inject(Fault(Trouble.LOSE_ANSWER, path="/v2/enqueue", times=3))
    pager.sandbox.inject(Fault(Trouble.SLOW, path="/v2/enqueue", times=100, seconds=0.2))

    with load(baton, key) as senders:
        kill_at_random(baton)
    wait_for(lambda: is_settled(baton), "all deliveries and pages to settle", SETTLED_WITHIN)

    answers = sum((sender.answers for sender in senders), Counter())
    assert {answer for answer in answers if isinstance(answer, int)} <= {200, 202, 503}, answers
    assert answers.total() > answers[200] > 200, f"The test itself did too little: {answers}"
    told = [told for sender in senders for told in sender.told]
    assert_every_alert_is_in_its_incident(baton, told)
    assert_one_incident_for_each_failure(baton)
    assert_pages_are_as_the_incidents(baton, pager)
    assert baton.interrupt() == 0


@contextmanager
def load(baton: Baton, key: str) -> Iterator[list[Sender]]:
    stop = threading.Event()
    senders = [Sender(baton, key, number, stop) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    try:
        yield senders
    finally:
        stop.set()
        for sender in senders:
            sender.join()


def kill_at_random(baton: Baton) -> None:
    chance = random.Random(SEED)
    for target in chance.sample(TARGETS, len(TARGETS)):
        # The point is the moment: nothing is waited for here.
        time.sleep(chance.uniform(0.2, 1.5))
        if target == "everything":
            baton.kill_everything()
            baton.start()
            continue
        baton.kill(target)
        if target == "web":
            wait_for(baton.answers, "gunicorn to be started again")
    time.sleep(chance.uniform(0.2, 1.5))


def is_settled(baton: Baton) -> bool:
    spool = baton.var / "spool.jsonl"
    if spool.exists() and spool.stat().st_size:
        return False
    (row,) = rows(
        baton,
        "SELECT (SELECT count(*) FROM deliveries WHERE state IN ('received', 'retrying')) "
        "+ (SELECT count(*) FROM pagerduty_outbox WHERE state = 'waiting') AS waiting",
    )
    return row.waiting == 0


def assert_every_alert_is_in_its_incident(baton: Baton, told: list[Told]) -> None:
    members = defaultdict(list)
    for row in rows(
        baton,
        "SELECT m.fingerprint, m.firing, i.failure_mode, ml.slug FROM incident_members m "
        "JOIN incidents i ON i.id = m.incident_id LEFT JOIN ml_models ml ON ml.id = i.model_id",
    ):
        members[row.fingerprint].append(row)
    wrong = []
    for one in told:
        for fingerprint in one.fingerprints:
            found = members.pop(fingerprint, [])
            if len(found) > 1 or (one.fired and not found):
                wrong.append((fingerprint, "members", len(found), one))
            for row in found:
                if (row.slug, row.failure_mode) != (one.model, one.mode):
                    wrong.append((fingerprint, "is in", row.slug, row.failure_mode, one))
                if one.ended and row.firing:
                    wrong.append((fingerprint, "should be over", one))
                if not one.end_sent and not row.firing:
                    wrong.append((fingerprint, "should fire", one))
    assert not wrong, f"{len(wrong)} alerts, the first: {wrong[:3]}"
    assert not members, "Members that nobody sent."
    (dead,) = rows(baton, "SELECT count(*) AS count FROM deliveries WHERE state = 'dead'")
    assert dead.count == 0


def assert_one_incident_for_each_failure(baton: Baton) -> None:
    """It may have opened several times, since alerts came and went; it is still one."""
    doubled = rows(
        baton,
        "SELECT model_id, failure_mode FROM incidents "
        "GROUP BY model_id, failure_mode HAVING count(*) > 1",
    )
    assert not doubled
    wrong = rows(
        baton,
        "SELECT i.id, i.state, i.member_count, i.firing_count, count(m.id) AS members, "
        "sum(CASE WHEN m.firing THEN 1 ELSE 0 END) AS firing "
        "FROM incidents i JOIN incident_members m ON m.incident_id = i.id GROUP BY i.id "
        "HAVING i.member_count <> count(m.id) "
        "OR i.firing_count <> sum(CASE WHEN m.firing THEN 1 ELSE 0 END) "
        "OR (i.state = 'resolved') <> (sum(CASE WHEN m.firing THEN 1 ELSE 0 END) = 0)",
    )
    assert not wrong


def assert_pages_are_as_the_incidents(baton: Baton, pager: TlsPager) -> None:
    pages = defaultdict(list)
    for page in pager.pages():
        pages[page.incident].append(page)
    incidents = rows(baton, "SELECT id, uuid, state, episode FROM incidents")
    assert len(incidents) > len(MODELS)
    for incident in incidents:
        found = pages.pop(incident.id, [])
        # Each time it opened is one page, by a key of its own. Those before the last are over.
        keys = [page.dedup_key.partition(f"{incident.uuid}:")[2] for page in found]
        assert keys == [str(number) for number in range(1, incident.episode + 1)], incident
        states = [page.status for page in found]
        assert states == ["resolved"] * (incident.episode - 1) + [incident.state], incident
    assert not pages, "Pages for incidents that do not exist."


def rows(baton: Baton, query: str) -> list[Row[Any]]:
    """Read the installation's database past it."""
    url = baton.environment["BATON_DATABASE_URL"] or f"sqlite:///{baton.var / 'baton.sqlite3'}"
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        return list(connection.execute(text(query)).all())
