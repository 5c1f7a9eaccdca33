import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.integrations.pagerduty.client import PagerDuty
from app.integrations.pagerduty.rules import Action, Outcome, Outgoing
from app.integrations.pagerduty.sandbox import SandboxPager
from app.integrations.pagerduty.shape import fit, fit_dedup_key

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "payload": st.dictionaries(
            st.sampled_from(
                ["summary", "source", "severity", "component", "class", "group", "timestamp",
                 "custom_details", "unknown"]
            ),
            JSON,
        ),
        "client": JSON,
        "client_url": JSON,
        "links": st.lists(st.dictionaries(st.sampled_from(["href", "text"]), JSON), max_size=3),
        "images": st.lists(
            st.dictionaries(st.sampled_from(["src", "href", "alt"]), JSON), max_size=3
        ),
    },
)  # fmt: skip


def event(**payload):
    return {"payload": {"summary": "p99 612 ms", "source": "fraud", "severity": "error"} | payload}


@pytest.fixture(scope="module")
def pager():
    return PagerDuty(SandboxPager(None, calls_per_minute=10**6))


@given(EVENTS, st.text(st.characters(), min_size=1, max_size=400))
@settings(max_examples=150, deadline=None)
def test_whatever_is_to_be_said_pagerduty_takes_it(pager, said, dedup_key):
    answer = pager.send(
        Outgoing(None, "us", fit_dedup_key(dedup_key) or "key", Action.TRIGGER, fit(said))
    )

    assert answer.outcome is Outcome.ACCEPTED, answer.sentence


def test_a_summary_is_cut_by_code_points():
    assert fit(event(summary="🔥" * 2000))["payload"]["summary"] == "🔥" * 1024


def test_fields_that_pagerduty_requires_are_never_missing():
    assert fit({})["payload"] == {
        "summary": "Incident without a title",
        "source": "baton",
        "severity": "error",
    }


@pytest.mark.parametrize("severity", ["critical", "error", "warning", "info"])
def test_a_severity_that_pagerduty_knows_stays(severity):
    assert fit(event(severity=severity))["payload"]["severity"] == severity


def test_a_small_event_goes_out_as_it_is():
    said = event(
        component="fraud",
        group="payments",
        timestamp=datetime(2026, 3, 12, tzinfo=UTC).isoformat(),
        custom_details={"psi": 0.31, "features": ["amount", "age"]},
    ) | {
        "client": "Baton",
        "client_url": "https://baton.test/incidents/7",
        "links": [{"href": "https://baton.test/incidents/7", "text": "INC-7"}],
        "images": [{"src": "https://baton.test/psi.png", "alt": "PSI over time"}],
    }

    assert fit(said) == said


def test_details_that_are_too_large_become_a_link():
    said = event(custom_details={"values": "€" * 200_000}) | {
        "client_url": "https://baton.test/incidents/7"
    }

    fitted = fit(said)

    assert fitted["payload"]["custom_details"] == {
        "details": "The details are too large for PagerDuty. See https://baton.test/incidents/7"
    }
    assert len(json.dumps(fitted, ensure_ascii=False).encode()) < 512_000


def test_details_just_small_enough_stay_whole():
    details = {"values": "x" * 509_000}

    assert fit(event(custom_details=details))["payload"]["custom_details"] == details


@pytest.mark.parametrize("href", ["javascript:alert(1)", "ftp://files", "", None, 7])
def test_links_that_a_browser_could_not_follow_are_left_out(href):
    assert "links" not in fit(event() | {"links": [{"href": href, "text": "x"}]})


def test_images_need_https():
    assert "images" not in fit(event() | {"images": [{"src": "http://baton.test/psi.png"}]})


def test_the_event_that_was_given_is_not_changed():
    said = event(custom_details={"values": "x" * 600_000})

    fit(said)

    assert len(said["payload"]["custom_details"]["values"]) == 600_000


def test_two_long_keys_are_not_cut_to_the_same():
    one, other = (fit_dedup_key("k" * 300 + end) for end in "ab")

    assert one != other
    assert len(one) == len(other) == 255


def test_a_key_that_fits_is_kept():
    assert fit_dedup_key("portal:ab12:incident:1") == "portal:ab12:incident:1"
