"""Sources of drift and of contracts, on a fake of HTTP."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.health.rules import LampState, Lane, Rule, judge
from app.health.sources import SOURCES
from app.health.sources.base import Page, Report, UnreachableError, Watch
from app.health.sources.drift.observing import observation

RECORDED = Path(__file__).parents[2] / "support/payloads/health"
NOW = datetime(2026, 3, 12, 2, 15, tzinfo=UTC)
END = datetime(2026, 3, 12, 2, 14, tzinfo=UTC)
TOOL = {"verdict": "tool"}


def envelope(value=0.1, **more):
    report = {"method": "psi", "value": value, "threshold": 0.2, "direction": "above"}
    return {"model": "recsys-home", "kind": "input", "window_end": END.isoformat(), "rows": 1200,
            "report": report} | more  # fmt: skip


def watch(panel_id=1, lane=Lane.INPUT_DRIFT, model="recsys-home", **spec):
    return Watch(panel_id, model, lane, TOOL | spec, 60)


def fake(answers):
    """Answers by path. What is no page is JSON."""

    def fetch(path="", *, form=None, accept="application/json"):
        said = answers[path]
        if isinstance(said, Page):
            return said
        return Page(200, "application/json", json.dumps(said).encode())

    return fetch


def look(source, answers, *watches, **options):
    return SOURCES[source].read(
        watches, (), fake(answers), lambda _: None, options=options, now=NOW
    )


def test_a_list_of_envelopes_becomes_observations_and_reports():
    answer = look("drift", {"": [envelope(0.3), envelope(kind="output_quality")]},
                  watch(1), watch(2, Lane.OUTPUT_QUALITY), watch(3, model="other"))  # fmt: skip

    assert answer.observations[1].said_outside is True
    assert answer.observations[2].said_outside is False
    assert answer.observations[3].gap is LampState.NO_DATA
    assert len(answer.reports) == 2


def test_an_empty_list_says_nothing_about_any_panel():
    answer = look("drift", {"": []}, watch())
    seen = answer.observations[1]
    assert (seen.gap, seen.remark) == (LampState.NO_DATA, "no report at the moment")
    assert answer.remarks


def test_one_envelope_that_can_not_be_read_fails_alone():
    answer = look("drift", {"": [envelope(window_end="soon"), envelope(), {"report": 3}]}, watch())
    assert answer.observations[1].said_outside is False
    assert len(answer.remarks) == 2


QUALITY = Lane.OUTPUT_QUALITY
SOON = "its report can't be read: window_end, “soon”, is not a time that can be read"


@pytest.mark.parametrize(
    ("said", "panel", "why"),
    [
        ([envelope(window_end="soon")], watch(), SOON),
        ([envelope(kind="gossip")], watch(lane=QUALITY), "its report can't be read: A kind is one"),
        ([envelope(report={"what": 1})], watch(), "its report can't be read: This is no report"),
        ([envelope(window_end="soon")], watch(lane=QUALITY), "no report about recsys-home, only"),
        ([envelope()], watch(lane=QUALITY), "no report of its output quality, only of input drift"),
        ([envelope()], watch(method="ks", version="v2"), "no report by ks of version v2"),
        ([envelope()], watch(version="v2"), "no report of version v2"),
        ([envelope(model="recsys_home")], watch(), "no report about recsys-home, only about other"),
        ([envelope(model="", window_end="soon")], watch(), "no report about recsys-home: window_e"),
        ([envelope(model="")], watch(), "no report about recsys-home: Reports without a model"),
    ],
)
def test_a_panel_without_a_report_says_why(said, panel, why):
    answer = look("drift", {"": [*said, envelope(model="other")]}, panel)
    seen = answer.observations[1]
    assert (seen.gap, seen.value) == (LampState.NO_DATA, None)
    assert seen.remark.startswith(why)


def test_a_project_of_evidently_that_can_not_be_read_says_so_on_its_own_panels():
    service = evidently()
    project = service["/api/v2/projects"][0]
    other = {**project, "id": "2", "name": "Basket", "org_id": None}
    service["/api/v2/projects"] = [project, other]
    service["/api/projects/2/snapshots"] = []
    answer = look("evidently", service, watch(1, model="shop-similar"), watch(2, model="Basket"))
    assert answer.observations[1].said_outside is True
    assert answer.observations[2].remark == (
        "its report can't be read: Basket: The project has no snapshot"
    )


@pytest.mark.parametrize(
    "said",
    [
        [envelope(window_end="soon")],
        {"hello": "world"},
        Page(200, "text/html", b"<h1>Sign in</h1>"),
        Page(200, "application/json", b"{"),
        Page(200, "application/json", b"[" * 100_000),
        Page(403, "application/json", b"[]"),
        Page(302, "text/plain", b""),
    ],
)
@pytest.mark.parametrize("kind", ["drift", "contracts"])
def test_an_answer_of_which_nothing_can_be_read_is_as_good_as_none(kind, said):
    with pytest.raises(UnreachableError) as refusal:
        look(kind, {"": said}, watch())
    assert refusal.value.args[0].endswith(".")


def test_the_file_of_a_tool_is_read_with_what_the_settings_say():
    drifted = json.loads((RECORDED / "evidently_old/report-drifted.json").read_text())
    drifted["timestamp"] = "2026-03-12 03:10:00"
    answer = look(
        "drift", {"/report.json": drifted}, watch(),
        path="/report.json", model="recsys-home", kind="input", zone="Europe/Rome", version="v7",
    )  # fmt: skip
    (report,) = answer.reports
    assert report.window_end == datetime(2026, 3, 12, 2, 10, tzinfo=UTC)
    assert report.model_version == "v7"
    assert answer.observations[1].said_outside is True


def test_a_report_that_names_no_model_is_left_out_with_a_remark():
    alibi = json.loads((RECORDED / "alibi/ks-batch-steady.json").read_text())
    answer = look("drift", {"": alibi}, watch())
    assert answer.reports == ()
    assert "name it in the settings" in answer.remarks[0]


def test_settings_that_are_wrong_are_told():
    with pytest.raises(UnreachableError, match="settings are wrong"):
        look("drift", {"": []}, zone="Mars/Olympus")


def evidently(**more):
    service = {name: json.loads((RECORDED / f"evidently_service/{name}.json").read_text())
               for name in ("projects", "snapshots", "download")}  # fmt: skip
    project = service["projects"][0]["id"]
    # Newest first would be luck.
    snapshots = sorted(service["snapshots"], key=lambda one: one["timestamp"][::-1])
    newest = max(snapshots, key=lambda one: one["timestamp"])
    place = f"/api/projects/{project}"
    return {
        "/api/v2/projects": service["projects"],
        f"{place}/snapshots": snapshots,
        f"{place}/{newest['id']}/download?report_format=json": service["download"],
    } | more


def test_the_newest_snapshot_of_a_project_is_found_in_a_list_without_an_order():
    answer = look("evidently", evidently(), watch(model="shop-similar"))

    (report,) = answer.reports
    assert report.window_end == datetime(2026, 3, 12, 2, tzinfo=UTC)
    assert (report.model, report.model_version, report.rows) == ("shop-similar", "v1", 1200)
    assert answer.observations[1].said_outside is True


def test_a_project_of_evidently_may_be_given_another_model_s_name():
    answer = look("evidently", evidently(), watch(), projects={"shop-similar": "recsys-home"})
    assert answer.observations[1].said_outside is True
    assert look("evidently", evidently(), projects={"other": "recsys-home"}).reports == ()


def test_contracts_are_read_as_a_list_of_checks():
    answer = look("contracts", {"": [
        {"dataset": "d", "kind": "access", "format": "baton", "report": {"granted": True}},
        {"dataset": "d", "kind": "schema", "format": "pandera",
         "report": {"rows": 2, "SCHEMA": {}, "DATA": {}}},
        {"dataset": "d", "kind": "schema", "format": "pandera", "report": {}},
    ]})  # fmt: skip
    assert [one.about for one in answer.datasets] == [Lane.ACCESS, Lane.SCHEMA]
    assert answer.remarks == ("A report of pandera has SCHEMA or DATA.",)
    assert answer.unread == {"d": answer.remarks[0]}


def test_a_file_of_dbt_is_read_with_what_is_expected_of_it():
    sources = json.loads((RECORDED / "dbt/sources.json").read_text())
    answer = SOURCES["contracts"].read(
        (), (), fake({"": sources}), lambda _: None,
        options={"expected": ["shop.gone"]}, now=datetime(2026, 11, 24, tzinfo=UTC),
    )  # fmt: skip
    assert [one.dataset for one in answer.datasets if one.is_unknown] == ["shop.gone"]


# --- What reports of one window say together ---------------------------------------------------


def report(value=0.1, outside=False, method="psi", **more):
    return Report("recsys-home", Lane.INPUT_DRIFT, END, "baton", method=method, value=value,
                  said_outside=outside, rows=1200, **more)  # fmt: skip


def state(reports, spec, **rule):
    return judge(observation(reports, spec), Rule(**rule), now=END + timedelta(minutes=1)).state


def test_the_worst_report_of_a_window_counts():
    fine, bad, unknown = report(), report(0.9, True), report(0.5, None)
    assert state([fine, bad, unknown], TOOL) is LampState.BREACH
    assert state([fine, unknown], TOOL) is LampState.NOT_MEASURABLE
    assert state([fine, fine], TOOL) is LampState.OK


def test_an_older_window_does_not_count():
    old = report(0.9, True)
    newer = Report("recsys-home", Lane.INPUT_DRIFT, END + timedelta(seconds=30), "baton",
                   method="psi", value=0.1, said_outside=False)  # fmt: skip
    assert state([newer, old], TOOL) is LampState.OK


def test_without_a_verdict_of_the_tool_its_limit_is_not_used_in_secret():
    assert state([report(0.1, None)], TOOL, above=0.2) is LampState.NOT_MEASURABLE
    assert observation([report(0.1, None)], TOOL).value == 0.1


def test_a_limit_is_for_one_method_only():
    spec = {"verdict": "limit", "limit_of": "jensenshannon"}
    assert state([report(0.001, None, "ks")], spec, above=0.2) is LampState.NOT_MEASURABLE
    assert state([report(0.1, None, "jensenshannon")], spec, above=0.2) is LampState.OK
    assert state([report(0.3, None, "jensenshannon")], spec, above=0.2) is LampState.BREACH


def test_two_numbers_of_one_window_are_not_all_right_together():
    spec = {"verdict": "limit"}
    both = [report(0.1), report(0.15, model_version="v2")]
    assert state(both, spec, above=0.2) is LampState.PARTIAL
    assert state([report(0.1), report(0.3)], spec, above=0.2) is LampState.BREACH


def test_a_report_without_a_number_is_not_hidden_by_another_of_its_window():
    spec = {"verdict": "limit", "limit_of": "psi"}
    silent = report(None, None, model_version="v2")
    assert state([report(0.1), silent], spec, above=0.2) is LampState.PARTIAL
    assert state([report(0.3), silent], spec, above=0.2) is LampState.BREACH
    # Of another method it is not meant at all.
    assert state([report(0.1), report(None, None, "ks")], spec, above=0.2) is LampState.OK


def test_a_panel_may_be_about_one_method_or_one_version():
    spec = TOOL | {"method": "psi", "version": "v2"}
    assert observation([report(), report(model_version="v1")], spec) is None
    assert observation([report(model_version="v2")], spec).said_outside is False


@pytest.mark.parametrize("spec", [{}, {"verdict": "vibes"}, TOOL | {"method": 3}])
def test_a_spec_that_can_not_be_used_is_refused(spec):
    assert SOURCES["drift"].why_not(spec).endswith(".")
    assert SOURCES["drift"].why_not(TOOL) is None
