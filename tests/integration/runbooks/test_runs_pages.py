"""Following a runbook in the pages: each thing a person does, and what stands in their way."""

import re

import pytest

from app.core.db import db, end_read
from app.people.rules import Role
from app.runbooks.runs import queries as runs
from app.runbooks.runs import service
from app.runbooks.runs.rules import Mode, StepState
from app.runbooks.runs.service import Beginning
from tests.support import factories
from tests.support.following import LATENCY, publish

HTMX = {"HX-Request": "true"}


@pytest.fixture
def version(app, at):
    return publish(LATENCY, at=at)


@pytest.fixture
def incident(version, at):
    model = factories.model("recsys-home")
    return factories.incident(
        model_id=model.id, severity=2, runbook_version_id=version.id, opened_at=at
    )


@pytest.fixture
def browser(signed_in):
    return signed_in(Role.RESPONDER)


@pytest.fixture
def run(browser, incident, version):
    reply = browser.post(f"/incidents/{incident.id}/runs", data={"version_id": version.id})
    assert reply.status_code == 303
    return runs.open_run_of(incident.id).id


def stand(run_id, step_id):
    end_read()
    return runs.followed(run_id).state.of(step_id)


def current(run_id):
    end_read()
    return runs.followed(run_id).state.current


def say(browser, run_id, step_id, kind, *, script=False, **more):
    seen = more.pop("seen", None)
    form = {"kind": kind, "seen": stand(run_id, step_id).seq if seen is None else seen, **more}
    headers = HTMX if script else {}
    return browser.post(f"/runs/{run_id}/steps/{step_id}", data=form, headers=headers)


# --- Starting


def test_an_incident_without_a_run_shows_its_runbook_and_offers_to_start(browser, incident):
    text = browser.get(f"/incidents/{incident.id}").text

    assert "Start</button>" in text
    assert "Change runbook" in text
    assert "Confirm the breach" in text


def test_a_run_is_pinned_and_its_values_come_from_the_incident(run, incident, version):
    found = runs.run(run)

    assert found.version_id == version.id
    assert found.variables["model"] == "recsys-home"
    assert found.incident_id == incident.id


def test_two_people_who_start_at_once_follow_one_run(run, signed_in, incident, version):
    signed_in(Role.RESPONDER).post(
        f"/incidents/{incident.id}/runs", data={"version_id": version.id}
    )

    assert [one.id for one in runs.of_incident(incident.id)] == [run]


def test_values_come_from_the_labels_of_the_alert(browser, incident, version, at):
    from app.incidents.tables import Member

    factories.keep(
        Member(
            incident_id=incident.id, integration_id=1, fingerprint="f", firing=True, name="a",
            summary="s", severity=2, labels={"cluster": "prod-eu1"}, annotations={}, links=[],
            starts_at=at, first_seen_at=at, last_seen_at=at,
        )
    )  # fmt: skip
    browser.post(f"/incidents/{incident.id}/runs", data={"version_id": version.id})

    assert runs.open_run_of(incident.id).variables["cluster"] == "prod-eu1"


def test_missing_values_are_asked_once_before_step_1(browser, run, incident):
    asked = browser.get(f"/incidents/{incident.id}").text
    browser.post(f"/runs/{run}/values", data={"value:cluster": "prod-eu1"})
    after = browser.get(f"/incidents/{incident.id}").text

    assert "Before step 1: 1 value" in asked
    assert "Before step 1" not in after
    assert "prod-eu1" in after


def test_a_value_that_does_not_fit_is_refused_and_kept(browser, run):
    reply = browser.post(f"/runs/{run}/values", data={"value:cluster": "not; a cluster"})

    assert reply.status_code == 422
    assert "not; a cluster" in reply.text
    assert "cluster" not in runs.run(run).variables


@pytest.mark.parametrize("moved", [True, False])
def test_a_value_that_does_not_fit_is_told_where_it_was_typed(browser, run, moved):
    if moved:
        say(browser, run, "confirm", "done")
    typed = {"value:model": "no; model", "value:cluster": "prod-eu1"}

    reply = browser.post(f"/runs/{run}/values", data=typed)

    dialog = re.search(r'<dialog[^>]* id="values"[^>]*>.*?</dialog>', reply.text, re.DOTALL)[0]
    assert dialog.split(">", 1)[0].endswith(" open")
    assert "no; model" in dialog
    assert 'aria-invalid="true"' in dialog


def test_changing_the_runbook_leaves_the_run_before_and_pins_the_other(browser, run, incident, at):
    other = publish(LATENCY.replace("id: latency", "id: other"), slug="other", at=at)

    choice = browser.get(f"/incidents/{incident.id}/runbooks").text
    browser.post(f"/incidents/{incident.id}/runs", data={"version_id": other.id})

    assert "failure mode Latency above its limit" in choice
    end_read()
    assert [one.status for one in runs.of_incident(incident.id)] == ["open", "left"]
    assert runs.open_run_of(incident.id).version_id == other.id


# --- Answering


def test_done_keeps_the_note_and_opens_the_next_step(browser, run):
    reply = say(browser, run, "confirm", "done", note="612 ms")

    assert reply.status_code == 303
    assert reply.location.endswith("#s2")
    assert stand(run, "confirm").note == "612 ms"
    assert current(run) == "which"


def test_a_script_gets_the_changed_column(browser, run):
    reply = say(browser, run, "confirm", "done", script=True)

    assert reply.status_code == 200
    assert reply.headers["X-Said"] == "Step 1 is done."
    assert "<html" not in reply.text
    assert 'data-state="done"' in reply.text


def test_a_script_that_says_what_it_has_gets_only_what_changed(browser, run):
    known = {**HTMX, "X-Known": str(runs.run(run).last_seq)}
    form = {"kind": "done", "seen": 0}

    reply = browser.post(f"/runs/{run}/steps/confirm", data=form, headers=known)
    later = browser.get(f"/runs/{run}/part/column", headers=known)

    assert re.findall(r'data-step="([a-z-]+)"', reply.text)[:3] == ["confirm", "which", "scale"]
    for part in (reply.text, later.text):
        assert 'id="s3"' in part
        assert 'id="s7"' not in part


def test_a_problem_asks_what_happened_and_keeps_the_note(browser, run):
    asked = say(browser, run, "confirm", "failed", note="no answer")
    said = say(browser, run, "confirm", "failed", what="timed_out", note="no answer")

    assert asked.status_code == 422
    assert "What happened at step 1?" in asked.text
    assert "no answer" in asked.text
    assert said.status_code == 303
    assert said.location.endswith("#escalate")  # the runbook names no step to go on with
    assert stand(run, "confirm").state is StepState.FAILED


def test_a_problem_goes_where_the_runbook_says(browser, run):
    say(browser, run, "confirm", "done")
    reply = say(browser, run, "soak", "failed", what="failed")

    assert current(run) == "which"
    assert "#escalate" not in reply.location


def test_skipping_wants_a_reason(browser, run):
    asked = say(browser, run, "confirm", "skipped")
    said = say(browser, run, "confirm", "skipped", reason="Done before", other_reason="")

    assert asked.status_code == 422
    assert "Why is step 1 skipped?" in asked.text
    assert said.status_code == 303
    assert "Reason: Done before" in browser.get(f"/runs/{run}").text


def test_an_option_leads_to_its_step_and_leaves_the_others_out(browser, run):
    say(browser, run, "confirm", "done")
    say(browser, run, "which", "decided", option=2)

    assert current(run) == "scale"
    text = browser.get(f"/runs/{run}").text
    assert "Answer <b>2, Replicas are full</b>" in text


def test_none_of_these_escalates(browser, run):
    say(browser, run, "confirm", "done")
    reply = say(browser, run, "which", "decided", option=0)

    assert reply.location.endswith("#escalate")
    assert stand(run, "which").answer == 0


def test_a_risky_step_needs_its_name_typed_and_the_server_checks_it(browser, run):
    say(browser, run, "confirm", "done")
    say(browser, run, "which", "decided", option=1)
    refused = say(browser, run, "back", "done", typed="recsys", note="went fine")
    taken = say(browser, run, "back", "done", typed="recsys-home")

    assert refused.status_code == 422
    assert "Type recsys-home to confirm it." in refused.text
    assert "went fine" in refused.text
    assert taken.status_code == 303
    assert stand(run, "back").state is StepState.DONE


def test_a_risky_step_without_a_way_back_stays_closed(browser, incident, at):
    source = LATENCY.replace(" undo=again", "")
    version = publish(source.replace("id: latency", "id: open"), slug="open", at=at)
    browser.post(f"/incidents/{incident.id}/runs", data={"version_id": version.id})
    run = runs.open_run_of(incident.id).id

    text = browser.get(f"/runs/{run}").text
    reply = say(browser, run, "back", "done", typed="recsys-home")

    assert "It stays closed" in text
    assert reply.status_code == 422
    assert stand(run, "back").state is StepState.TODO


def test_a_risky_step_is_closed_in_a_drill(app, browser, version, at):
    from app.people.rules import BATON

    found = service.start(
        Beginning(version.id, Mode.DRILL, model_name="recsys-home",
                  known={"incident.model": "recsys-home"}),
        by=BATON, at=at,
    )  # fmt: skip
    text = browser.get(f"/runs/{found.id}").text
    copied = say(browser, found.id, "back", "copied", command=1)

    assert "Nobody is paged" in text
    assert "In a drill nothing risky is done." in text
    assert copied.status_code == 422


def test_a_timer_runs_beside_the_other_steps_and_can_be_stopped(browser, run):
    say(browser, run, "soak", "waiting")
    waiting = stand(run, "soak")
    text = browser.get(f"/runs/{run}").text
    say(browser, run, "soak", "taken_back", seq=waiting.by_seq)

    assert waiting.state is StepState.WAITING
    assert waiting.until is not None
    assert "Runs beside the other steps." in text
    assert stand(run, "soak").state is not StepState.WAITING


def test_what_was_said_can_be_taken_back_and_nothing_is_erased(browser, run, incident):
    say(browser, run, "confirm", "done")
    offered = browser.get(f"/runs/{run}").text
    say(browser, run, "confirm", "taken_back", seq=stand(run, "confirm").by_seq)

    assert "Take back step 1" in offered
    assert current(run) == "confirm"
    timeline = browser.get(f"/incidents/{incident.id}/part/timeline").text
    assert "Step 1 “Confirm the breach” done" in timeline
    assert "Step 1 “Confirm the breach” taken back" in timeline


def test_a_note_stands_on_its_step_and_in_the_timeline(browser, run, incident):
    say(browser, run, "confirm", "noted", note="looks like v43")

    assert "looks like v43" in browser.get(f"/runs/{run}").text
    assert "looks like v43" in browser.get(f"/incidents/{incident.id}/part/timeline").text


def test_a_note_needs_words(browser, run):
    assert say(browser, run, "confirm", "noted", note=" ").status_code == 422


def test_what_was_copied_is_logged_as_the_server_fills_it_in(browser, run):
    browser.post(f"/runs/{run}/values", data={"value:cluster": "prod-eu1"})
    reply = say(browser, run, "confirm", "copied", command=1, script=True)

    assert reply.status_code == 200
    last = runs.events(run)[-1]
    assert last.kind == "copied"
    assert last.detail == {"name": "p99", "text": "promtool query prod-eu1 recsys-home"}


def test_a_command_with_an_empty_value_cannot_be_copied_but_filled(browser, run):
    text = browser.get(f"/runs/{run}").text

    assert "fill 1 value<" in text
    assert 'data-run-copy="c-confirm-1"' not in text


def test_a_risky_command_is_not_copied_without_its_name(browser, run):
    assert say(browser, run, "back", "copied", command=1).status_code == 422
    assert say(browser, run, "back", "copied", command=1, typed="recsys-home").status_code == 303


# --- Two people


def test_the_second_of_two_is_told_who_was_first_and_keeps_the_text(browser, run, signed_in):
    seen = stand(run, "confirm").seq
    other = signed_in(Role.RESPONDER)
    say(other, run, "confirm", "done", seen=seen)

    reply = say(browser, run, "confirm", "done", seen=seen, note="I see 598 ms", script=True)

    assert reply.status_code == 409
    assert re.search(r"Person \d+ marked step 1 done", reply.text)
    assert "I see 598 ms" in reply.text
    assert "Add mine as a note" in reply.text


def test_without_a_script_a_conflict_is_a_page_with_the_text(browser, run, signed_in):
    seen = stand(run, "confirm").seq
    say(signed_in(Role.RESPONDER), run, "confirm", "done", seen=seen)

    reply = say(browser, run, "confirm", "done", seen=seen, note="I see 598 ms")

    assert reply.status_code == 409
    assert "<html" in reply.text
    assert "I see 598 ms" in reply.text


def test_the_same_answer_again_changes_nothing(browser, run):
    first = say(browser, run, "confirm", "done", seen=0, client_event_id="a.1")
    again = say(browser, run, "confirm", "done", seen=0, client_event_id="a.1")

    assert (first.status_code, again.status_code) == (303, 303)
    assert sum(event.kind == "done" for event in runs.events(run)) == 1


def test_a_queue_knows_what_it_said_itself(browser, run):
    say(browser, run, "soak", "failed", what="failed", seen=0, client_event_id="tab.1")
    say(browser, run, "soak", "opened", seen=0, client_event_id="tab.2")
    late = say(browser, run, "soak", "done", seen=0, client_event_id="tab.3")
    other = say(browser, run, "soak", "done", seen=0, client_event_id="other.4")

    assert late.status_code == 303
    assert other.status_code == 409


def test_a_quiet_answer_has_no_body(browser, run):
    reply = browser.post(
        f"/runs/{run}/steps/confirm",
        data={"kind": "done", "seen": 0, "said_at": "2026-03-12T02:00:00Z"},
        headers={**HTMX, "X-Quiet": "1"},
    )

    assert (reply.status_code, reply.text) == (204, "")
    assert runs.events(run)[-1].said_at.year == 2026


def test_who_looks_and_who_is_on_it_is_shown(browser, run, signed_in):
    other = signed_in(Role.VIEWER)
    other.post(f"/runs/{run}/here", data={"step": "which"})
    browser.post(f"/runs/{run}/here", data={"step": "confirm", "claim": "yes"})

    text = browser.get(f"/runs/{run}").text
    assert "Reading step 2" in text
    assert "On step 1" in text
    assert "Doing, Person" in text


# --- Another version


def test_a_new_version_is_told_and_can_be_switched_to(browser, run, at):
    say(browser, run, "confirm", "done")
    newer = publish(
        LATENCY.replace("one number", "two numbers").replace("kubectl scale", "kubectl patch"),
        at=at,
    )
    text = browser.get(f"/runs/{run}").text
    browser.post(f"/runs/{run}/switch", data={"version_id": newer.id})
    after = browser.get(f"/runs/{run}").text

    assert "v2 is out; this run stays on v1." in text
    assert "1 of your remaining steps changed." in text
    assert runs.run(run).version_id == newer.id
    assert "v2, pinned" in after
    assert "Check again" in after


# --- The end


def finish(browser, run_id):
    say(browser, run_id, "confirm", "done")
    say(browser, run_id, "which", "decided", option=2)
    say(browser, run_id, "scale", "done")


def test_a_run_ends_when_its_verifications_are_done_or_waived(browser, run, incident):
    finish(browser, run)
    refused = browser.post(f"/runs/{run}/end", data={})
    waived = browser.post(f"/runs/{run}/end", data={"waive:soak": "traffic is off"})

    assert refused.status_code == 422
    assert "Verify step" in refused.text
    assert waived.status_code == 303
    end_read()
    assert runs.run(run).status == "finished"
    assert "Runbook Latency is high finished" in browser.get(f"/incidents/{incident.id}").text


def test_feedback_says_what_was_wrong_and_leads_to_a_draft(signed_in, run):
    browser = signed_in(Role.MAINTAINER)
    say(browser, run, "soak", "done")
    finish(browser, run)
    browser.post(f"/runs/{run}/end", data={})
    browser.post(
        f"/runs/{run}/feedback",
        data={"verdict:confirm": "wrong", "note:confirm": "the flag is gone",
              "verdict:scale": "worked"},
    )  # fmt: skip

    text = browser.get(f"/runs/{run}").text
    assert "/runbooks/latency/edit?step=confirm" in text
    assert "the flag is gone" in text
    editor = browser.get("/runbooks/latency/edit").text
    assert "“the flag is gone”" in editor
    assert 'data-to-step="confirm"' in editor
    assert 'data-to-step="scale"' not in editor


def test_what_was_said_of_a_text_is_gone_from_the_editor_with_the_next_one(signed_in, run, at):
    browser = signed_in(Role.MAINTAINER)
    browser.post(f"/runs/{run}/end", data={"leave": "yes"})
    for note in ("the flag is gone", "the flag is called otherwise"):
        said = {"verdict:confirm": "wrong", "note:confirm": note}
        browser.post(f"/runs/{run}/feedback", data=said)

    before = browser.get("/runbooks/latency/edit").text
    publish(LATENCY.replace("one number", "two numbers"), at=at)
    after = browser.get("/runbooks/latency/edit").text

    assert before.count('data-to-step="confirm"') == 1
    assert "the flag is called otherwise" in before
    assert "data-to-step" not in after


def test_words_without_a_verdict_are_kept_and_count_as_unclear(signed_in, run):
    browser = signed_in(Role.MAINTAINER)
    say(browser, run, "confirm", "done")
    browser.post(f"/runs/{run}/end", data={"leave": "yes"})
    browser.post(f"/runs/{run}/feedback", data={"note:confirm": "say which cluster"})

    text = browser.get(f"/runs/{run}").text
    assert 'value="say which cluster"' in text
    assert 'name="verdict:confirm" value="unclear" checked' in text


def test_a_run_that_is_over_takes_no_answers(browser, run):
    browser.post(f"/runs/{run}/end", data={"leave": "yes"})

    assert say(browser, run, "confirm", "done").status_code == 422


# --- Who, what it costs, and print


def test_a_viewer_reads_and_cannot_act(signed_in, run):
    viewer = signed_in(Role.VIEWER)

    text = viewer.get(f"/runs/{run}").text

    assert "Confirm the breach" in text
    assert 'name="kind"' not in text
    assert say(viewer, run, "confirm", "done").status_code == 403
    assert viewer.post(f"/runs/{run}/end", data={"leave": "yes"}).status_code == 403


def test_every_form_needs_its_token(app, browser, run, monkeypatch):
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", True)

    for path in ("steps/confirm", "values", "switch", "end", "feedback", "here"):
        assert browser.post(f"/runs/{run}/{path}", data={"kind": "done"}).status_code == 400


def test_fifty_events_and_other_runs_cost_no_more(browser, run, incident, queries, at):
    from app.people.rules import BATON

    say(browser, run, "confirm", "done")
    say(browser, run, "confirm", "noted", note="n")
    pages = (f"/runs/{run}", f"/incidents/{incident.id}", f"/runs/{run}/part/live")
    for path in pages:
        browser.get(path)
    before = [queries(lambda path=path: browser.get(path)) for path in pages]
    for number in range(50):
        say(browser, run, "confirm", "noted", note=f"n{number}")
    version_id = runs.run(run).version_id
    for _ in range(5):
        service.start(Beginning(version_id), by=BATON, at=at)

    assert [queries(lambda path=path: browser.get(path)) for path in pages] == before


def test_live_parts_hold_no_field_and_answer_304(browser, run):
    for part in ("live", "people"):
        first = browser.get(f"/runs/{run}/part/{part}", headers=HTMX)
        again = browser.get(
            f"/runs/{run}/part/{part}", headers={**HTMX, "If-None-Match": first.headers["ETag"]}
        )
        assert again.status_code == 304
        assert not re.search(r"<(textarea|select|input(?! type=\"hidden\"))", first.text)


def test_print_has_all_branches_boxes_version_and_hash(browser, run, version):
    text = browser.get(f"/runs/{run}/print").text

    assert text.count("☐") >= 6
    assert "recsys-home" in text
    assert version.sha256[:12] in text
    assert "v1" in text


def test_the_worker_is_served_from_the_root_with_the_strict_policy(client):
    reply = client.get("/sw.js")

    assert reply.mimetype == "text/javascript"
    assert "__RELEASE__" not in reply.text
    assert "script-src 'self'" in reply.headers["Content-Security-Policy"]


def test_the_time_to_escalation_turns_amber_then_red(browser, run, incident, at):
    from datetime import timedelta

    from app.core.clock import now
    from app.incidents.tables import Incident

    def opened(ago):
        row = db.session.get(Incident, incident.id)
        row.opened_at = now() - ago
        db.session.commit()
        return browser.get(f"/incidents/{incident.id}/part/head").text

    assert 't-warn"><time' not in opened(timedelta(minutes=5))
    assert 't-warn"><time' in opened(timedelta(minutes=17))
    assert 't-bad"><time' in opened(timedelta(minutes=21))


def test_escalating_in_the_incident_stops_the_clock(browser, run, incident):
    team = factories.team("platform", name="Platform")
    browser.post(
        f"/incidents/{incident.id}/escalate", data={"escalate-team": team.id, "escalate-note": "x"}
    )

    assert runs.followed(run).state.escalated
    assert browser.get(f"/incidents/{incident.id}/part/timeline").text.count("Escalated to") == 1
