"""What people do in Baton on an incident's day, in a real browser on a real installation."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PASSWORD, address
from tests.browser.looks import PHONE, faults, overflow

REGISTRY = """\
teams:
  - name: Serving Platform
models:
  - slug: recsys-home
    purpose: Ranks the home feed
    tier: 1
    team: Serving Platform
"""


# --- What people do, on a desk, on a phone, with a script or without one


def press(page: Page | Locator, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def ask(page: Page, name: str) -> Locator:
    """Open the dialog behind a button of the incident, wherever that stands."""
    opener = page.get_by_role("link", name=name, exact=True)
    if not opener.is_visible():
        page.get_by_label("More to do").click()
    opener.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    return dialog


def arrive(page: Page, title: str) -> None:
    expect(page).to_have_title(re.compile(title))
    page.wait_for_load_state()  # from then on its keys work


def view(page: Page, name: str) -> None:
    """On a phone one view is shown at a time."""
    segment = page.get_by_role("button", name=name, exact=True)
    if segment.is_visible():
        segment.click()


def add_note(page: Page, text: str) -> None:
    view(page, "Timeline")
    page.get_by_label("Add a note, in Markdown").fill(text)
    press(page, "Add")


def change_severity(page: Page, severity: int) -> None:
    dialog = ask(page, "Change severity…")
    dialog.get_by_label("How bad is it?").select_option(str(severity))
    press(dialog, "Change severity")
    expect(head(page)).to_contain_text(f"SEV-{severity}")


def hand_over(page: Page, to: str, note: str) -> None:
    dialog = ask(page, "Hand over…")
    dialog.get_by_label("Who takes over?").select_option(to)
    dialog.get_by_label("What should they know?").fill(note)
    press(dialog, "Hand over")
    expect(head(page)).to_contain_text(f"Lead {to}", use_inner_text=True)


def escalate(page: Page, to: str, note: str) -> None:
    dialog = ask(page, "Escalate")
    dialog.get_by_label("Page", exact=True).select_option(to)
    dialog.get_by_label("What do they need to know?").fill(note)
    press(dialog, "Page them")
    expect(timeline(page)).to_contain_text(f"Escalated to {to}")


def resolve(page: Page, reason: str, *, noise: bool = False) -> None:
    dialog = ask(page, "Resolve")
    dialog.get_by_label("Why is it over?").fill(reason)
    if noise:
        dialog.get_by_label("It was noise").check()
    press(dialog, "Resolve anyway")
    expect(head(page)).to_contain_text("Resolved")
    # The head may have come anew by itself, before the answer with the timeline.
    expect(timeline(page)).to_contain_text(reason)


def head(page: Page) -> Locator:
    return page.locator("#head")


def timeline(page: Page) -> Locator:
    return page.locator("#happenings")


def happenings(page: Page) -> str:
    """The timeline as it is read, in one line."""
    return " ".join(timeline(page).inner_text().split())


# --- The whole story


def test_the_whole_story_from_the_first_link_to_a_page_that_is_over(fresh, visit):
    greeting = fresh.start()
    page = visit(fresh.url)
    page.goto(greeting.link)
    found = faults(page)
    become_administrator(page)
    found += faults(page)
    expect(page.locator("#set-up")).to_contain_text("0 of 3 done")
    expect(page.locator("#set-up li h3")).to_have_text(
        ["Create an integration key", "Send a test alert", "Connect PagerDuty"]
    )
    import_the_registry(page)
    invite(page, "Ines Duarte", visit(fresh.url))
    fresh.wait_until_ready()

    # A key, shown once; and a test that opens an incident on a page that is being looked at.
    page.goto("/")
    page.get_by_role("link", name="Create a key").click()
    key = create_a_key(page, "Alertmanager prod-eu1")
    assert len(key) == 32
    now = page.context.new_page()
    now.goto("/")
    expect(now.locator("#set-up")).to_contain_text("1 of 3 done")
    now.evaluate("window.neverLeft = true")
    page.get_by_label("Model").fill("recsys-home")
    press(page, "Send a test")
    expect(page.get_by_role("main")).to_contain_text("INC-1")
    page.goto("/settings/integrations")
    assert key not in page.content()
    assert key[-4:] in page.content()
    expect(now.locator("#needs")).to_contain_text("INC-1")
    assert now.evaluate("window.neverLeft")

    # Work on it.
    now.locator("#needs").get_by_role("link", name=re.compile("INC-1")).click()
    arrive(now, "^INC-1 ")
    now.keyboard.press("a")
    expect(now.get_by_role("button", name="Acknowledge")).to_be_focused()
    now.keyboard.press("Enter")
    expect(head(now)).to_contain_text("Acknowledged")
    expect(head(now)).to_contain_text("Lead Priya Raman", use_inner_text=True)
    add_note(now, "p99 is **612 ms** since `v43`")
    expect(timeline(now).locator("strong")).to_have_text("612 ms")
    change_severity(now, 1)
    hand_over(now, "Ines Duarte", "The ramp is held.")
    escalate(now, "Serving Platform", "Need somebody who knows the index.")
    resolve(now, "Rolled back to v42.", noise=True)

    said = happenings(now)
    for sentence in (
        "Priya Raman: Acknowledged",
        "Priya Raman p99 is 612 ms since v43",
        "Priya Raman: Severity changed from",
        "Priya Raman: Handed over to Ines Duarte The ramp is held.",
        "Priya Raman: Escalated to Serving Platform Need somebody who knows the index.",
        "Priya Raman: Resolved as noise: Rolled back to v42.",
    ):
        assert sentence in said
    expect(head(now)).to_contain_text("Noise")

    now.goto("/settings/sandbox-pager")
    page_of_it = now.get_by_role("row", name=re.compile("INC-1 (?!.*Escalated)")).first
    expect(page_of_it).to_contain_text("Serving Platform")
    expect(page_of_it).to_contain_text("Resolved")
    assert found == []


def become_administrator(page: Page) -> None:
    page.get_by_label("Work email").fill(address("Priya Raman"))
    page.get_by_label("Your name").fill("Priya Raman")
    set_password(page)
    expect(page.get_by_role("heading", name="Now", exact=True)).to_be_visible()


def set_password(page: Page) -> None:
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password, once more").fill(PASSWORD)
    press(page, "Save and sign in")


def import_the_registry(page: Page) -> None:
    page.get_by_role("link", name="Import YAML").click()
    page.locator("#text").fill(REGISTRY)
    press(page, "Check the file")
    press(page, "Import")
    arrive(page, "^Models ")
    expect(page.get_by_role("row", name=re.compile("recsys-home"))).to_be_visible()


def invite(page: Page, name: str, theirs: Page) -> None:
    page.goto("/settings/people/invite")
    page.get_by_label("Work email").fill(address(name))
    page.get_by_label("Name", exact=True).fill(name)
    press(page, "Make the link")
    theirs.goto(page.locator("#link").inner_text())
    set_password(theirs)
    expect(theirs.get_by_role("heading", name="Now", exact=True)).to_be_visible()


def create_a_key(page: Page, name: str) -> str:
    page.get_by_label("Alertmanager").check()
    page.get_by_label("Name", exact=True).fill(name)
    press(page, "Make its key")
    return page.locator("#secret").inner_text()


# --- On a phone


def test_an_incident_is_worked_on_from_a_phone(site, visit):
    page = site.signed_in(visit, viewport=PHONE, is_mobile=True, has_touch=True)
    page.goto(f"/incidents/{site.alert()}")

    def fits() -> bool:
        return overflow(page) <= 0

    expect(page.locator(".c-run")).to_be_visible()
    expect(page.locator("#timeline")).to_be_hidden()
    press(page, "Evidence")
    expect(page.locator("#facts")).to_be_visible()
    assert fits()
    press(page, "Acknowledge")
    expect(head(page)).to_contain_text("Acknowledged")
    add_note(
        page, "Looking.\n\n    a long line of code that would never fit on the screen of a phone"
    )
    expect(timeline(page)).to_contain_text("Looking.")  # the view of it is shown again
    assert fits()
    change_severity(page, 2)
    hand_over(page, "Ines Duarte", "I am on the train.")
    view(page, "Timeline")
    escalate(page, "Logistics", "Please look, too.")
    assert fits()
    resolve(page, "The ramp was held.")
    view(page, "Timeline")
    assert "Resolved: The ramp was held." in happenings(page)
    assert fits()


def test_the_header_of_an_incident_stays_on_screen_while_its_runbook_is_read(site, visit):
    page = site.signed_in(visit)
    page.goto(f"/incidents/{site.incident}")
    for size in ({"width": 1440, "height": 900}, PHONE):
        page.set_viewport_size(size)
        page.locator("#rb-verify").scroll_into_view_if_needed()
        expect(page.get_by_role("heading", level=1)).to_be_in_viewport()
        expect(page.locator("#head time[data-tick=clock]")).to_be_in_viewport()


# --- Two people


def test_the_second_of_two_learns_who_was_first_and_keeps_the_text(site, visit):
    number = site.alert()
    ines = site.signed_in(visit, "Ines Duarte")
    ines.goto(f"/incidents/{number}")
    dialog = ask(ines, "Resolve")
    dialog.get_by_label("Why is it over?").fill("The ramp was held.")

    priya = site.signed_in(visit)
    priya.goto(f"/incidents/{number}")
    press(priya, "Acknowledge")
    expect(head(priya)).to_contain_text("Acknowledged")
    press(dialog, "Resolve anyway")

    dialog = ines.get_by_role("dialog")
    expect(dialog).to_contain_text("Priya Raman: Acknowledged, while you were reading")
    expect(dialog.get_by_label("Why is it over?")).to_have_value("The ramp was held.")
    expect(head(ines)).to_contain_text("Lead Priya Raman", use_inner_text=True)
    press(dialog, "Add mine as a note")
    expect(timeline(ines)).to_contain_text("The ramp was held.")
    resolve(ines, "It is over.")


def test_a_dialog_that_was_not_filled_in_is_open_again_and_says_what_it_needs(site, visit):
    page = site.signed_in(visit)
    page.goto(f"/incidents/{site.incident}")
    dialog = ask(page, "Resolve")
    dialog.get_by_label("It was noise").check()
    dialog.get_by_label("Why is it over?").evaluate("field => field.required = false")
    press(dialog, "Resolve anyway")

    expect(page.get_by_role("dialog")).to_contain_text("Say why it is over.")
    reason = page.get_by_label("Why is it over?")
    expect(reason).to_be_focused()
    expect(page.get_by_label("It was noise")).to_be_checked()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


# --- Live


def test_what_others_do_appears_without_a_reload_and_nothing_moves_meanwhile(site, visit):
    number = site.alert()
    page = site.signed_in(visit)
    page.goto(f"/incidents/{number}")
    note = page.get_by_label("Add a note, in Markdown")
    note.fill("half a sentence")
    page.evaluate("window.neverLeft = true")
    expect(timeline(page)).to_contain_text("taken by the sandbox pager")
    wait_for_refresh(page)
    shown = timeline(page).element_handle()
    wait_for_refresh(page)
    assert shown.evaluate("node => node.isConnected")  # the same as before: nothing was swapped

    part, asks = f"/incidents/{number}/part/timeline", {"HX-Request": "true"}
    etag = page.request.get(part, headers=asks).headers["etag"]
    assert page.request.get(part, headers={**asks, "If-None-Match": etag}).status == 304

    site.api.post(f"/incidents/{number}/acknowledge", {})
    site.api.post(f"/incidents/{number}/notes", {"text": "The robot looked at it."})
    expect(timeline(page)).to_contain_text("The robot looked at it.")
    expect(head(page)).to_contain_text("Acknowledged")
    expect(page.get_by_role("button", name="Acknowledge", exact=True)).to_have_count(0)
    expect(note).to_have_value("half a sentence")
    expect(note).to_be_focused()
    assert page.evaluate("window.neverLeft")


def test_a_note_that_is_being_written_outlives_what_else_is_done(site, visit):
    page = site.signed_in(visit)
    page.goto(f"/incidents/{site.alert()}")
    note = page.get_by_label("Add a note, in Markdown")
    note.fill("half a sentence")
    press(page, "Acknowledge")
    expect(head(page)).to_contain_text("Acknowledged")
    expect(note).to_have_value("half a sentence")

    page.goto("/incidents")
    page.go_back()
    expect(note).to_have_value("half a sentence")
    press(page, "Add")
    expect(timeline(page)).to_contain_text("half a sentence")
    expect(note).to_have_value("")


def wait_for_refresh(page: Page) -> None:
    """Until the page has asked for its timeline once more, and done what the answer says."""
    page.evaluate("""() => new Promise((done) => {
        document.addEventListener("htmx:afterRequest", (event) => {
            if (event.detail.pathInfo.requestPath.endsWith("/part/timeline")) done();
        });
    })""")


def test_a_page_says_so_when_it_is_no_longer_live(site, visit):
    page = site.signed_in(visit, complains=True)
    page.clock.install()
    page.goto("/incidents")
    expect(page.get_by_text(re.compile("Live, checked"))).to_be_visible()
    page.route("**/part/list*", lambda route: route.fulfill(status=503, body=""))
    page.clock.run_for(40_000)

    expect(page.get_by_text(re.compile("Not live since .*, trying again"))).to_be_visible()
    page.unroute("**/part/list*")
    page.clock.run_for(60_000)
    expect(page.get_by_text(re.compile("Live, checked"))).to_be_visible()


# --- Without a script, and without a mouse


@pytest.mark.parametrize("size", [{"width": 1440, "height": 900}, PHONE], ids=["desk", "phone"])
def test_an_incident_is_read_and_worked_on_without_a_script(site, visit, size):
    page = visit(site.url, java_script_enabled=False, viewport=size)
    site.sign_in(page)
    page.goto(f"/incidents/{site.alert()}")
    for what in (page.locator(".c-run"), page.locator("#facts"), timeline(page)):
        expect(what).to_be_visible()
    assert page.get_by_role("button", name="Copy").count() == 0

    press(page, "Acknowledge")
    expect(head(page)).to_contain_text("Lead Priya Raman", use_inner_text=True)
    add_note(page, "Looking.")
    expect(timeline(page)).to_contain_text("Looking.")
    dialog = ask(page, "Resolve")
    dialog.get_by_label("Why is it over?").fill(" ")
    press(dialog, "Resolve anyway")
    dialog = page.get_by_role("dialog")  # it is open again, though no script opened it
    expect(dialog).to_contain_text("Say why it is over.")
    dialog.get_by_label("Why is it over?").fill("The ramp was held.")
    press(dialog, "Resolve anyway")
    expect(head(page)).to_contain_text("Resolved")


def test_the_keys_lead_everywhere(site, visit):
    number = site.alert(model="fraud-card")
    page = site.signed_in(visit)
    page.goto("/")
    keys = page.keyboard

    keys.press("/")
    expect(page.get_by_role("dialog").get_by_role("textbox")).to_be_focused()
    keys.type("fraud-card")
    found = page.locator("#palette-found a").filter(has_text=re.compile("^fraud-card"))
    expect(found.first).to_be_visible()
    keys.press("Escape")
    keys.press("Control+k")
    expect(page.get_by_role("dialog")).to_be_visible()
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)

    for key, title in (("m", "Models"), ("r", "Runbooks"), ("t", "Teams"), ("n", "Now"),
                       ("i", "Incidents")):  # fmt: skip
        keys.press("g")
        keys.press(key)
        arrive(page, f"^{title} · Baton$")

    keys.press("j")
    expect(page.locator("tbody tr").nth(0).get_by_role("link").first).to_be_focused()
    if page.locator("tbody tr").count() > 1:
        keys.press("j")
        keys.press("k")
    keys.press("Enter")
    arrive(page, f"^INC-{number} ")

    keys.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Acknowledge")
    expect(page.get_by_role("dialog")).to_contain_text("Add a note")
    keys.press("Escape")
    for key, name in (("e", "Escalate"), ("r", "Resolve")):
        keys.press(key)
        expect(page.get_by_role("link", name=name, exact=True)).to_be_focused()
        keys.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text(f"{name} INC-{number}")
        keys.press("Escape")
        expect(page.get_by_role("link", name=name, exact=True)).to_be_focused()

    keys.press("n")
    keys.type("a e r ? / are letters here")
    note = page.get_by_label("Add a note, in Markdown")
    expect(note).to_have_value("a e r ? / are letters here")
    keys.press("Escape")
    expect(note).not_to_be_focused()
    expect(note).to_have_value("a e r ? / are letters here")
    keys.press("a")
    keys.press("Enter")
    expect(head(page)).to_contain_text("Acknowledged")


@pytest.mark.parametrize("path", ["/", "/incidents", "/incidents/{incident}", "/settings/people"])
def test_tab_reaches_every_control_and_shows_where_it_is(site, visit, path):
    page = site.signed_in(visit)
    # What comes anew meanwhile would not carry the marks.
    page.route(re.compile("/part/|/now/"), lambda route: route.fulfill(status=204))
    page.goto(path.format(incident=site.incident))
    page.evaluate(MARK_CONTROLS)
    reached, hidden = set(), []
    while True:
        page.keyboard.press("Tab")
        at = page.evaluate(WHERE_FOCUS_IS)
        if at is None or at["number"] in reached:
            break
        reached.add(at["number"])
        if not at["outlined"]:
            hidden.append(at["html"])

    missed = page.evaluate(CONTROLS_BUT, sorted(reached))
    assert missed == []
    assert hidden == []


MARK_CONTROLS = """() => {
  const all = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']";
  [...document.querySelectorAll(all)].forEach((one, number) => { one.dataset.number = number; });
}"""
WHERE_FOCUS_IS = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const style = getComputedStyle(one);
  return {
    number: Number(one.dataset.number ?? -1),
    outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    html: one.outerHTML.slice(0, 160),
  };
}"""
CONTROLS_BUT = """reached => [...document.querySelectorAll("[data-number]")]
  .filter((one) => !one.disabled && one.checkVisibility() && !reached.includes(Number(one.dataset.number)))
  .map((one) => one.outerHTML.slice(0, 160))"""
