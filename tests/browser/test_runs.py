"""Following a runbook in a real browser: by keyboard, on a phone, together, and without a network."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from app import create_app
from app.config import Settings
from app.core.clock import now
from app.core.db import db
from app.runbooks.runs import queries as runs
from tests.browser.conftest import Site
from tests.browser.looks import DESKTOP, PHONE, faults, overflow
from tests.support.following import LATENCY, publish, with_steps
from tests.support.processes import wait_for


@pytest.fixture(scope="session")
def inside(site: Site) -> Callable:
    """Do something with the site's database."""
    app = create_app(Settings(var=site._baton.var, bind=site._baton.bind))

    def act(what: Callable):
        with app.app_context():
            try:
                return what()
            finally:
                db.session.remove()

    act(lambda: publish(LATENCY, at=now()))
    act(lambda: publish(with_steps(12, "ManyChecks"), slug="checks", at=now()))
    yield act
    with app.app_context():
        db.engine.dispose()


def begin(site: Site, page: Page, alertname: str = "FollowMe") -> int:
    """Start the runbook of a new incident; its number."""
    incident_id = site.alert(alertname=alertname, cluster="prod-eu1")
    page.goto(f"/incidents/{incident_id}")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(step(page, 1)).to_have_attribute("data-state", "doing")
    page.wait_for_load_state()
    return incident_id


def step(page: Page, number: int) -> Locator:
    return page.locator(f"#s{number}")


def state(page: Page, number: int, wanted: str) -> None:
    expect(step(page, number)).to_have_attribute("data-state", wanted)


def ready(page: Page) -> None:
    """The script has given the current step its keys."""
    expect(page.locator('#run-steps [aria-current="step"] [data-key]').first).to_be_attached()


def inside_of(box: Locator) -> bool:
    """Whether nothing in it stands over its edge."""
    return box.evaluate("box => box.scrollWidth <= box.clientWidth")


def events_of(inside, incident_id):
    def read():
        run = runs.open_run_of(incident_id)
        return [(event.kind.value, event.step_id) for event in runs.events(run.id)][1:]

    return inside(read)


def test_a_run_is_followed_to_its_end_with_the_keyboard_alone(site, inside, visit):
    page = site.signed_in(visit)
    incident_id = site.alert(alertname="FollowMe", cluster="prod-eu1")
    page.goto(f"/incidents/{incident_id}")
    page.get_by_role("button", name="Start", exact=True).focus()
    page.keyboard.press("Enter")
    ready(page)
    page.keyboard.press("n")
    page.keyboard.type("p99 is 612 ms, d and p are only letters here")
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    state(page, 1, "done")
    page.keyboard.press("u")
    state(page, 1, "doing")
    page.keyboard.press("d")
    state(page, 2, "doing")
    page.keyboard.press("2")
    state(page, 3, "doing")
    expect(step(page, 2)).to_contain_text("Answer 2, Replicas are full")
    page.keyboard.press("f")
    dialog = page.get_by_role("dialog", name="What happened at step 3?")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    expect(page.get_by_role("dialog", name="Why is step 3 skipped?")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    state(page, 3, "skipped")
    state(page, 6, "doing")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(step(page, 6).locator("summary")).to_be_focused()
    page.keyboard.press("d")
    state(page, 7, "doing")
    page.keyboard.press("d")
    state(page, 7, "done")
    expect(page.get_by_role("button", name="Finish the run")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Was the runbook right?")).to_be_visible()
    page.get_by_label("Wrong").first.focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Send feedback").focus()
    page.keyboard.press("Enter")
    correct = page.get_by_role("link", name="Correct step 1 in a draft")
    expect(correct).to_be_visible()
    assert faults(page) == []
    correct.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Said after v")).to_be_visible()
    expect(page.locator("#source")).to_be_focused()
    expect(page.locator(".ed__paint .is-here")).to_have_text("### Confirm the breach")


def test_a_risky_step_has_no_key_and_opens_with_the_name(site, inside, visit):
    page = site.signed_in(visit)
    begin(site, page)
    ready(page)
    page.keyboard.press("d")
    state(page, 2, "doing")
    page.keyboard.press("1")
    state(page, 4, "doing")
    done = step(page, 4).get_by_role("button", name="Done: Go back")

    page.keyboard.press("d")
    expect(done).to_be_disabled()
    expect(step(page, 4).get_by_role("button", name="Copy")).to_be_disabled()
    assert inside_of(step(page, 4).locator(".step__main"))
    page.set_viewport_size(PHONE)
    assert inside_of(step(page, 4).locator(".step__main"))
    page.set_viewport_size(DESKTOP)
    step(page, 4).get_by_label("Type recsys-home to unlock").fill("recsys-home")
    expect(step(page, 4).get_by_role("button", name="Copy")).to_be_enabled()
    assert faults(page) == []
    done.click()
    state(page, 4, "done")


def test_a_value_that_does_not_fit_is_told_in_its_dialog(site, inside, visit):
    page = site.signed_in(visit)
    begin(site, page)
    ready(page)
    step(page, 1).get_by_role("link", name="Change").click()
    dialog = page.get_by_role("dialog", name="Values of this run")
    dialog.get_by_label("cluster").fill("not; a cluster")
    page.keyboard.press("Enter")

    expect(dialog.locator(".err")).to_contain_text("cluster must")
    expect(dialog.get_by_label("cluster")).to_be_focused()
    expect(dialog.get_by_label("cluster")).to_have_value("not; a cluster")
    dialog.get_by_label("cluster").fill("prod-us2")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(step(page, 1).locator("pre")).to_contain_text("prod-us2")


def test_on_a_phone_the_bar_at_the_foot_answers(site, inside, visit):
    page = site.signed_in(visit, viewport=PHONE)
    begin(site, page)
    bar = page.locator("#actbar")
    expect(bar).to_contain_text("Step 1 of 7")
    bar.get_by_role("link", name="Note").click()
    page.get_by_label("What did you see?").first.fill("612 ms")
    bar.get_by_role("button", name="Problem").click()
    page.get_by_role("dialog").get_by_label("It timed out").check()
    page.get_by_role("button", name="Go on", exact=True).click()
    state(page, 1, "failed")
    expect(page.get_by_role("dialog", name=re.compile("Escalate"))).to_be_visible()
    page.keyboard.press("Escape")
    expect(bar).to_contain_text("Step 2 of 7")
    assert overflow(page) <= 0


def test_two_people_tick_the_same_step_and_the_second_is_told(site, inside, visit):
    priya = site.signed_in(visit)
    incident_id = begin(site, priya)
    ines = site.signed_in(visit, "Ines Duarte", complains=True)
    # What Ines would hear of Priya stays away, as it does in the second in which both press.
    ines.route("**/part/**", lambda route: route.abort())
    ines.goto(f"/incidents/{incident_id}")
    ready(ines)
    step(ines, 1).get_by_label("What did you see?").fill("598 ms on my side")
    priya.keyboard.press("d")
    state(priya, 1, "done")
    step(ines, 1).get_by_role("button", name="Done").click()

    told = step(ines, 1).get_by_role("alert")
    expect(told).to_contain_text("Priya Raman marked step 1 done")
    expect(step(ines, 1).locator("textarea")).to_have_value("598 ms on my side")
    step(ines, 1).get_by_role("button", name="Add mine as a note").click()
    expect(step(priya, 1)).to_contain_text("598 ms on my side", use_inner_text=False)
    kinds = events_of(inside, incident_id)
    assert kinds.count(("done", "confirm")) == 1
    assert kinds.count(("noted", "confirm")) == 1


def test_what_others_do_arrives_and_typed_text_stays(site, inside, visit):
    priya = site.signed_in(visit)
    incident_id = begin(site, priya)
    ines = site.signed_in(visit, "Ines Duarte")
    ines.goto(f"/incidents/{incident_id}")
    ready(ines)
    step(ines, 1).get_by_label("What did you see?").fill("still typing")
    priya.keyboard.press("d")

    state(ines, 1, "done")
    expect(step(ines, 1).locator("textarea")).to_have_value("still typing")
    expect(ines.locator("#run-news")).to_contain_text("Step 1")
    expect(ines.locator("#run-people")).to_contain_text("Priya Raman")


def test_ten_answers_without_a_network_arrive_once_and_in_order(site, inside, visit):
    page = site.signed_in(visit, complains=True)
    incident_id = begin(site, page, "ManyChecks")
    ready(page)
    kept = "async path => Boolean(navigator.serviceWorker.controller && await caches.match(path))"
    path = f"/incidents/{incident_id}"
    wait_for(lambda: page.evaluate(kept, path) or None, "the page to be kept")

    page.context.set_offline(True)
    for number in range(1, 6):
        page.keyboard.press("d")
        state(page, number, "done")
    expect(page.locator(".live").first).to_have_text("Offline, 5 answers waiting")
    page.reload()
    state(page, 5, "done")
    state(page, 6, "doing")
    ready(page)
    step(page, 6).get_by_label("What did you see?").fill("seen without a network")
    for number in range(6, 11):
        step(page, number).get_by_role("button", name="Done").click()
        state(page, number, "done")
    expect(page.locator(".live").first).to_have_text("Offline, 10 answers waiting")
    assert events_of(inside, incident_id) == []
    page.context.set_offline(False)

    wanted = [("done", f"look-{number}") for number in range(1, 11)]
    wait_for(lambda: len(events_of(inside, incident_id)) >= 10 or None, "ten events")
    expect(page.locator(".live").first).to_contain_text("Live")
    state(page, 11, "doing")
    assert events_of(inside, incident_id) == wanted
    expect(step(page, 6)).to_contain_text("seen without a network")


def test_without_a_network_none_of_these_says_that_nobody_is_paged(site, inside, visit):
    page = site.signed_in(visit, complains=True)
    incident_id = begin(site, page)
    ready(page)
    page.context.set_offline(True)
    page.keyboard.press("d")
    state(page, 1, "done")
    page.keyboard.press("0")
    state(page, 2, "done")

    expect(page.get_by_text("Without a network nobody is paged from here.")).to_be_visible()
    expect(page.locator(".live").first).to_have_text("Offline, 2 answers waiting")
    page.context.set_offline(False)
    wait_for(lambda: len(events_of(inside, incident_id)) == 2 or None, "two events")


def test_what_was_answered_last_is_still_there_when_the_network_goes(site, inside, visit):
    page = site.signed_in(visit, complains=True)
    incident_id = begin(site, page, "ManyChecks")
    ready(page)
    page.keyboard.press("d")
    state(page, 1, "done")
    state_kept = """async path => {
        const kept = navigator.serviceWorker.controller && await caches.match(path);
        if (!kept) return null;
        const page = new DOMParser().parseFromString(await kept.text(), "text/html");
        return page.getElementById("s1").dataset.state;
    }"""
    path = f"/incidents/{incident_id}"
    wait_for(lambda: page.evaluate(state_kept, path) == "done" or None, "the answer to be kept")

    page.context.set_offline(True)
    page.reload()

    state(page, 1, "done")
    state(page, 2, "doing")
    page.context.set_offline(False)


def test_a_new_version_is_told_in_the_middle_and_switched_to(site, inside, visit):
    page = site.signed_in(visit)
    begin(site, page)
    ready(page)
    page.keyboard.press("d")
    state(page, 1, "done")
    newer = LATENCY.replace("one number", "two numbers").replace("replicas=12", "replicas=16")
    inside(lambda: publish(newer, at=now()))
    try:
        banner = page.locator("#run-live .banner")
        expect(banner).to_contain_text("this run stays on v")
        expect(banner).to_contain_text("1 of your remaining steps changed")
        assert faults(page) == []
        banner.get_by_role("button", name=re.compile("Switch to v")).click()
        expect(step(page, 1)).to_contain_text("Check again")
        expect(page.locator("#run-live .banner")).to_have_count(0)
    finally:
        inside(lambda: publish(LATENCY + "\n", at=now()))


def test_a_run_alone_and_on_paper_are_sound(site, inside, visit):
    page = site.signed_in(visit)
    begin(site, page)
    page.get_by_role("link", name="Print").click()
    expect(page.get_by_role("heading", name="Latency is high", level=1)).to_be_visible()
    assert faults(page) == []
    page.emulate_media(media="print")
    expect(page.locator(".paper-head")).to_be_visible()
    assert "Back to the run" not in page.inner_text("main")
    page.emulate_media(media="screen")
    page.get_by_role("link", name="Back to the run").click()
    ready(page)
    assert faults(page) == []


def test_without_a_script_a_run_is_answered_all_the_same(site, inside, visit):
    page = site.signed_in(visit, java_script_enabled=False)
    incident_id = site.alert(alertname="FollowMe", cluster="prod-eu1")
    page.goto(f"/incidents/{incident_id}")
    page.get_by_role("button", name="Start", exact=True).click()
    step(page, 1).get_by_label("What did you see?").fill("612 ms")
    step(page, 1).get_by_role("button", name="Skip").click()
    page.get_by_label("Or in your words").fill("known already")
    page.get_by_role("button", name="Skip it", exact=True).click()
    state(page, 1, "skipped")
    step(page, 2).get_by_role("button", name="None of these").click()
    expect(page).to_have_url(re.compile(r"#escalate$"))
    state(page, 2, "done")


def test_a_drill_says_that_nobody_is_paged_and_what_it_showed(site, inside, visit):
    page = site.signed_in(visit)
    page.goto("/runbooks/latency/drill")
    page.get_by_role("button", name="Start the drill").click()
    ready(page)
    page.keyboard.press("d")
    state(page, 1, "done")
    page.keyboard.press("0")
    expect(page.get_by_text("Here somebody would be paged. In a drill nobody is.")).to_be_visible()
    state(page, 2, "done")
    page.get_by_role("button", name="Leave it unfinished").click()

    expect(page.get_by_role("heading", name="What this drill showed")).to_be_visible()
    expect(page.locator("header dl")).not_to_contain_text("Escalates")
    expect(page.get_by_text("The run is left as it is.")).to_be_visible()
    assert faults(page) == []
