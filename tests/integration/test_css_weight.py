"""What a page loads before it can be shown: UI.md allows it 40 KB of CSS."""

import re

import pytest

from app.core.db import db
from app.people.rules import BATON, Role
from app.runbooks.runs import service
from app.runbooks.runs.service import Beginning
from app.web.assets import FOLDER
from tests.support import factories, runbooks

LIMIT = 40_960
PAGES = [
    "/", "/incidents", "/incidents/declare", "/incidents/{reading}", "/incidents/{following}",
    "/incidents/{following}/alerts", "/incidents/{following}/runbooks", "/runs/{run}",
    "/runs/{run}/print", "/drills", "/models", "/models/new", "/models/import", "/models/try",
    "/models/ranking", "/models/ranking/health", "/models/ranking/runbooks",
    "/models/ranking/health/panels", "/models/ranking/health/panels/p99",
    "/models/ranking/health/panels/new", "/models/ranking/health/panels/p99/edit",
    "/models/ranking/health/levels", "/models/ranking/health/levels/new",
    "/models/ranking/health/levels/fast", "/models/ranking/health/budget", "/inputs", "/teams",
    "/teams/serving", "/runbooks", "/runbooks/latency",
    "/r/NoRunbookForThis", "/runbooks/latency/edit", "/runbooks/latency/v1/review",
    "/runbooks/latency/drill", "/runbooks/latency/effectiveness", "/runbooks/new",
    "/runbooks/reviews", "/runbooks/coverage", "/runbooks/freshness", "/runbooks/sync",
    "/search?q=latency", "/deliveries", "/settings/integrations", "/settings/sources",
    "/settings/sources/new?kind=drift", "/settings/hosts", "/settings/people",
    "/settings/tokens", "/settings/audit", "/settings/general", "/profile", "/_components",
    "/nowhere",
]  # fmt: skip


@pytest.fixture
def places(app, at):
    version = runbooks.published(runbooks.latency(), slug="latency")
    model = factories.model("ranking", owner=factories.team("serving"))
    factories.panel(model, slug="p99")
    factories.slo(model, slug="fast")
    reading = factories.incident(model_id=model.id, runbook_version_id=version.id)
    following = factories.incident(
        model_id=model.id, failure_mode="input_drift", runbook_version_id=version.id
    )
    run = service.start(Beginning(version.id, incident_id=following.id), by=BATON, at=at)
    found = {"reading": reading.id, "following": following.id, "run": run.id}
    db.session.remove()
    return found


def css_of(page):
    sheets = re.findall(r'<link rel="stylesheet" href="/static/v-[^/]+/([^"]+)"', page)
    return {sheet: (FOLDER / sheet).stat().st_size for sheet in sheets}


def test_no_page_loads_more_css_than_it_may(signed_in, places):
    client = signed_in(Role.ADMINISTRATOR)
    heavy = {}
    for path in PAGES:
        answer = client.get(path.format(**places), follow_redirects=True)
        assert answer.status_code == (404 if path == "/nowhere" else 200), path
        found = css_of(answer.text)
        assert found, path
        if sum(found.values()) > LIMIT:
            heavy[path] = found

    assert heavy == {}


def test_every_sheet_that_a_template_names_is_there():
    sheets = {path.stem for path in (FOLDER / "css/pages").glob("*.css")}

    for template in FOLDER.parent.glob("app/**/templates/**/*.html"):
        for names in re.findall(r"set styles = (.*?) %}", template.read_text()):
            assert set(re.findall(r'"(\w+)"', names)) <= sheets, template
