"""The head of a file is read with patience, and never runs or unfolds into anything."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.runbooks.front_matter import UnreadableError, facts, load, split


def test_known_keys_are_read():
    said = facts(
        load(
            """\
schema: runbook/1
id: model-input-drift
title: "Inputs: moved"
failure_mode: Input-Drift
severity: SEV-2
applies_to: {models: ["reco-*"], tags: ranking}
signals:
  - {alertname: ModelInputDrift}
  - {metric: feature_psi, op: ">", value: 0.25, for: 30m}
  - JustAName
owner: team-reco-ml
escalate_to: oncall
escalate_after: 1h30m
est_minutes: 20
last_verified: 2026-08-01
verified_how: drill
review_every: 90d
requires: [read:metrics, write:model-routing]
variables:
  - {name: model, from: incident.model, pattern: "^[a-z-]+$", required: true}
  - {name: window, default: 1h, choices: [15m, 1h]}
  - token
related: [feature-stale]
"""
        )
    )

    assert (said.id, said.title, said.failure_mode) == (
        "model-input-drift",
        "Inputs: moved",
        "input_drift",
    )
    assert (said.severity, said.models, said.tags) == (2, ("reco-*",), ("ranking",))
    assert [(one.alertname, one.metric) for one in said.signals] == [
        ("modelinputdrift", None),
        (None, "feature_psi"),
        ("justaname", None),
    ]
    assert said.signals[1].condition == {
        "metric": "feature_psi",
        "op": ">",
        "value": 0.25,
        "for": "30m",
    }
    assert said.escalate_after == timedelta(minutes=90)
    assert (said.last_verified, said.review_every) == (date(2026, 8, 1), timedelta(days=90))
    assert (said.est_minutes, said.owner, said.escalate_to) == (20, "team-reco-ml", "oncall")
    assert [one.name for one in said.variables] == ["model", "window", "token"]
    assert said.variables[0].required
    assert said.variables[1].choices == ("15m", "1h")
    assert said.remarks == ()


def test_unknown_keys_are_kept():
    front_matter, _, _, _ = split("---\nid: a\nweight: 20\nlayout: {a: [1, yes]}\n---\ntext")

    assert front_matter == {"id": "a", "weight": 20, "layout": {"a": [1, "yes"]}}


@pytest.mark.parametrize(
    ("line", "remark"),
    [
        ("schema: runbook/9", "`schema: runbook/9` is unknown"),
        ("id: Not An Id", "`id: Not An Id` is not made of lower-case letters"),
        ("severity: bad", "`severity: bad` is not one of sev1 to sev4"),
        ("escalate_after: soon", "`escalate_after: soon` is not a duration"),
        ("est_minutes: long", "`est_minutes: long` is not a number"),
        ("last_verified: yesterday", "`last_verified: yesterday` is not a date"),
        ("title: [a]", "`title: ['a']` is not a text"),
        ("applies_to: all", "`applies_to: all` is not a mapping"),
        ("requires: [{a: b}]", "is not a list of words"),
        ("signals: [{op: 1}]", "names no alertname and no metric"),
        ("variables: [{default: 1}]", "has no usable name"),
    ],
)
def test_what_cannot_be_used_is_told_and_the_rest_is_read(line, remark):
    said = facts(load(f"{line}\nowner: somebody\n"))

    assert remark in said.remarks[0]
    assert said.owner == "somebody"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [1, 2", "did not find expected"),
        ("a: &x [1]\nb: *x", "refers to itself"),
        ("- a\n- b", "holds no keys"),
        ("[a]: b", "a key is not a word"),
        ("a: " + "[" * 40 + "]" * 40, "nested deeper"),
        ("a: " + "b" * 70_000, "longer than 64 KB"),
        ("\tb: c", "cannot start any token"),
        (r'a: "\ud800"', "invalid Unicode"),
    ],
)
def test_unreadable_yaml_is_refused_with_a_reason(text, why):
    with pytest.raises(UnreadableError, match=why.replace("[", r"\[")):
        load(text)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("2026-08-01", "2026-08-01"),
        ("12:30", "12:30"),
        ("0x1f", "0x1f"),
        ("1e999", "1e999"),
        (".inf", ".inf"),
        ("99999999999999999999", "99999999999999999999"),
        ("007", "007"),
        ("12", 12),
        ("'12'", "12"),
        ("!!int 12", "12"),
        ("!!python/object:os.system x", "x"),
        ("1.5", 1.5),
        ("true", True),
        ("~", None),
        (r'"\0"', "\ufffd"),
    ],
)
def test_a_scalar_is_what_it_looks_like(written, value):
    assert load(f"a: {written}") == {"a": value}


def test_broken_front_matter_is_left_out_and_told():
    front_matter, body, above, remarks = split("---\ntitle: [\nid: x\n---\n# Text\n")

    assert (front_matter, body, above) == ({}, "# Text\n", 4)
    assert "can't be read" in remarks[0]


@pytest.mark.parametrize(
    "text",
    [
        "---\n\nJust prose between rules.\n\n---\nMore.",
        "text\n---\nid: a\n---\n",
        "---\nid: a\n",
        "----\n",
    ],
)
def test_a_rule_across_the_page_is_not_a_front_matter(text):
    assert split(text) == ({}, text, 0, ())


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@`, \n\t0~?\\x", max_size=120))
def test_any_yaml_is_read_or_refused(text):
    try:
        found = load(text)
    except UnreadableError:
        return
    facts(found)
