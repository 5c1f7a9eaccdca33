"""Every page of the app: nothing for axe to find, nothing to scroll sideways, a quiet console."""

import pytest

from tests.browser.looks import faults

PAGES = {
    "incidents": ["/", "/incidents", "/incidents?state=all", "/incidents/{incident}",
                  "/incidents/{triage}", "/incidents/{incident}/alerts", "/incidents/declare"],
    "registry": ["/models", "/models/recsys-home", "/models/recsys-home/edit", "/models/new",
                 "/models/import", "/models/try", "/teams", "/teams/logistics",
                 "/teams/logistics/edit", "/teams/logistics/pager", "/teams/new"],
    "runbooks": ["/runbooks", "/runbooks/latency-regression", "/r/NoRunbookForThis",
                 "/runbooks/latency-regression/edit", "/runbooks/new", "/runbooks/reviews",
                 "/runbooks/coverage", "/runbooks/freshness", "/runbooks/sync", "/drills",
                 "/runbooks/latency-regression/effectiveness",
                 "/runbooks/latency-regression/drill",
                 "/search?q=recsys"],
    "deliveries": ["/deliveries", "/deliveries/1", "/settings/integrations",
                   "/settings/integrations/new", "/settings/integrations/1"],
    "settings": ["/settings/people", "/settings/people/1", "/settings/people/invite",
                 "/settings/tokens", "/settings/tokens/new", "/settings/audit",
                 "/settings/general", "/settings/sandbox-pager", "/profile", "/nowhere"],
}  # fmt: skip


@pytest.mark.parametrize("area", PAGES)
def test_the_pages_are_accessible_in_light_and_dark_on_a_desk_and_a_phone(area, site, visit):
    incident, triage = site.incident, site.in_triage
    page = site.signed_in(visit)

    found = []
    for path in PAGES[area]:
        page.goto(path.format(incident=incident, triage=triage))
        found += faults(page)

    assert found == []


def test_the_pages_for_those_who_may_not_are_accessible(site, visit):
    page = visit(site.url)
    page.goto("/sign-in")
    found = faults(page)
    site.sign_in(page, "Vera Lind")
    page.goto("/settings/people")
    assert page.get_by_text("administrator").first.is_visible()
    found += faults(page)
    page.goto(f"/incidents/{site.incident}")
    found += faults(page)

    assert found == []
