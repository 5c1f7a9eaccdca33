"""Which runbook an alert calls for, and how names and durations are read."""

from datetime import timedelta
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.runbooks.rules import (
    Matching,
    Published,
    duration,
    failure_mode_key,
    failure_mode_title,
    fits,
    kebab,
    severity_number,
    squeezed,
)


def published(slug, *alertnames, mode=None, models=(), tags=(), **more):
    facts = {
        "version_id": hash(slug),
        "number": 1,
        "title": slug,
        "severity": None,
        "owner": None,
        "escalate_to": None,
        "escalate_after": None,
    }
    names = frozenset(name.lower() for name in alertnames)
    return Published(
        slug=slug, alertnames=names, failure_mode=mode, models=models, tags=tags, **(facts | more)
    )


def best(runbooks, alertname="P99High", *, labels=None, model="recsys-home", tags=()):
    found = Matching(tuple(runbooks)).best(alertname, labels or {}, model, tags)
    return (found.runbook.slug, found.why) if found else None


def test_the_name_of_the_alert_decides_in_any_case():
    runbooks = [published("a", "RecsysHomeP99High"), published("b", "Other")]

    assert best(runbooks, "recsyshomeP99HIGH") == ("a", "alertname is recsyshomeP99HIGH")


def test_the_name_goes_before_the_failure_mode():
    runbooks = [published("by-mode", mode="input_drift"), published("by-name", "P99High")]

    assert best(runbooks, labels={"failure_mode": "input_drift"}) == (
        "by-name",
        "alertname is P99High",
    )


def test_without_a_name_the_failure_mode_decides_however_it_is_written():
    runbooks = [published("a", mode="latency_regression"), published("b", mode="input_drift")]

    assert best(runbooks, labels={"failure_mode": "Input-Drift"}) == (
        "b",
        "failure_mode is input_drift",
    )


def test_an_alert_that_no_runbook_names_has_none():
    assert best([published("a", "Other", mode="input_drift")]) is None
    assert best([published("a", mode=None)], labels={"failure_mode": ""}) is None


def test_a_runbook_for_other_models_does_not_fit():
    runbooks = [published("a", "P99High", models=("eta-*",)), published("b", mode="latency")]

    assert best(runbooks, labels={"failure_mode": "latency"}) == ("b", "failure_mode is latency")


@pytest.mark.parametrize(
    ("closer", "wider"),
    [
        ({"models": ("recsys-home",)}, {"models": ("recsys-*",)}),
        ({"models": ("recsys-*",)}, {"models": ("re*",)}),
        ({"models": ("re*",)}, {"models": ("*",)}),
        ({"models": ("re*",)}, {}),
        ({"models": ("re*",)}, {"tags": ("ranking",)}),
        ({"tags": ("ranking",)}, {}),
        ({"tags": ("ranking", "feed")}, {"tags": ("feed", "other")}),
        ({"models": ("*", "recsys-home")}, {"models": ("recsys-h*",)}),
    ],
)
def test_the_runbook_that_is_written_for_fewer_models_wins(closer, wider):
    runbooks = [
        published("a-wider", "P99High", **wider),
        published("z-closer", "P99High", **closer),
    ]

    assert best(runbooks, tags=("ranking", "feed"))[0] == "z-closer"
    assert best(reversed(runbooks), tags=("ranking", "feed"))[0] == "z-closer"


def test_between_equals_the_slug_decides():
    runbooks = [published("b", "P99High"), published("a", "P99High")]

    assert best(runbooks)[0] == best(reversed(runbooks))[0] == "a"


def test_tags_are_needed_beside_a_model_that_fits():
    runbook = published("a", "P99High", models=("*",), tags=("tabular",))

    assert best([runbook], tags=("tabular",)) is not None
    assert best([runbook], tags=("ranking",)) is None
    assert best([runbook]) is None


def test_an_unknown_model_gets_what_is_written_for_every_model():
    runbooks = [published("a", "P99High", models=("recsys-*",)), published("b", "P99High")]

    assert best(runbooks, model=None)[0] == "b"
    assert best(runbooks[:1], model=None) is None


@given(st.text("ab-*", max_size=6), st.text("ab-", max_size=8))
def test_a_star_stands_for_any_run_of_characters(glob, name):
    assert fits(glob, name) is fnmatchcase(name, glob)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("90s", 90), ("15m", 900), ("1h30m", 5400), ("7d", 604_800), ("2w", 1_209_600)],
)
def test_durations_are_read(said, seconds):
    assert duration(said) == timedelta(seconds=seconds)


@pytest.mark.parametrize("said", ["", "15", "15 m", "soon", "-5m", "1.5h", "9999999m"])
def test_anything_else_is_not_a_duration(said):
    assert duration(said) is None


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("KubeAPIDown", "kube-api-down"),
        ("RecsysHomeP99High", "recsys-home-p99-high"),
        ("model_input drift", "model-input-drift"),
        ("Café: über", "cafe-uber"),
        ("--", ""),
        ("x" * 300, "x" * 120),
    ],
)
def test_a_name_becomes_part_of_an_address(name, slug):
    assert kebab(name) == slug


def test_spelling_does_not_tell_names_apart():
    assert squeezed("InputDrift") == squeezed("input_drift") == squeezed("Input-Drift")


@pytest.mark.parametrize(
    ("said", "number"), [("sev1", 1), ("SEV-2", 2), ("3", 3), ("sev5", None), ("bad", None)]
)
def test_severities_are_read(said, number):
    assert severity_number(said) == number


def test_failure_modes_have_a_key_and_a_title():
    assert failure_mode_key("Input-Drift ") == "input_drift"
    assert failure_mode_title("input_drift") == "Inputs drift"
    assert failure_mode_title("disk_full") == "Disk full"
