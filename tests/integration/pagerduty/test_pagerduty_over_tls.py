"""The real client against the sandbox pager over a socket with TLS."""

import ssl
import threading
import time

import pytest
import trustme
from werkzeug.serving import make_server

from app.integrations.pagerduty.client import PagerDuty
from app.integrations.pagerduty.rules import Action, Outcome, Outgoing
from app.integrations.pagerduty.sandbox import Fault, SandboxPager, Trouble

KEY = "0123456789abcdef0123456789abcdef"
MESSAGE = Outgoing(
    KEY,
    "us",
    "incident-1",
    Action.TRIGGER,
    {"payload": {"summary": "p99 612 ms", "source": "fraud", "severity": "error"}},
)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def ca(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def sandbox():
    return SandboxPager(None)


@pytest.fixture
def url(sandbox, authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = make_server("localhost", 0, sandbox.app, threaded=True, ssl_context=context)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"https://localhost:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def pager(url, ca):
    return PagerDuty(SandboxPager(None), events_url=url, ca=ca, timeout=0.4)


def test_a_page_arrives_over_tls(pager, sandbox):
    answer = pager.send(MESSAGE)

    assert (answer.outcome, answer.sentence) == (Outcome.ACCEPTED, "PagerDuty took it.")
    assert [incident.title for incident in sandbox.incidents()] == ["p99 612 ms"]


def test_many_threads_share_a_client(pager, sandbox):
    outcomes = []

    def send():
        outcomes.extend(pager.send(MESSAGE).outcome for _ in range(5))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes == [Outcome.ACCEPTED] * 30
    assert len(sandbox.incidents()) == 1


def test_a_certificate_that_is_not_trusted_is_named(url):
    answer = PagerDuty(SandboxPager(None), events_url=url).send(MESSAGE)

    assert (answer.outcome, answer.may_have_arrived) == (Outcome.TRY_AGAIN, False)
    assert answer.sentence == ("No connection to PagerDuty: its certificate is not trusted here.")


def test_a_pager_that_hangs_is_left_after_the_timeout(pager, sandbox):
    sandbox.inject(Fault(Trouble.HANG, seconds=1))
    started = time.monotonic()

    answer = pager.send(MESSAGE)

    assert time.monotonic() - started < 0.9
    assert (answer.outcome, answer.sentence) == (
        Outcome.TRY_AGAIN,
        "No answer from PagerDuty in time.",
    )
    assert answer.may_have_arrived


@pytest.mark.parametrize("trouble", [Trouble.DROP, Trouble.LOSE_ANSWER])
def test_a_connection_that_breaks_may_have_carried_the_page(pager, sandbox, trouble):
    sandbox.inject(Fault(trouble))

    answer = pager.send(MESSAGE)

    assert (answer.outcome, answer.may_have_arrived) == (Outcome.TRY_AGAIN, True)
    assert len(sandbox.incidents()) == (1 if trouble is Trouble.LOSE_ANSWER else 0)


@pytest.mark.parametrize("status", [429, 503])
def test_trouble_is_reported_at_once_and_not_slept_through(pager, sandbox, status):
    sandbox.inject(Fault(Trouble.STATUS, status=status))
    started = time.monotonic()

    assert pager.send(MESSAGE).outcome is Outcome.TRY_AGAIN
    assert time.monotonic() - started < 0.9


def test_a_slow_pager_within_the_timeout_is_waited_for(pager, sandbox):
    sandbox.inject(Fault(Trouble.SLOW, seconds=0.1))

    assert pager.send(MESSAGE).outcome is Outcome.ACCEPTED


def test_a_port_where_nobody_listens_took_nothing(ca):
    answer = PagerDuty(SandboxPager(None), events_url="https://localhost:1", ca=ca).send(MESSAGE)

    assert (answer.outcome, answer.may_have_arrived) == (Outcome.TRY_AGAIN, False)
    assert answer.sentence == "No connection to PagerDuty."
