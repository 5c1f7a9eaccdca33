"""Links that show one panel in somebody's own dashboard."""

import json
import logging
import re
from datetime import timedelta

import pytest
from pydantic import ValidationError
from sqlalchemy import insert, select

from app.config import Settings
from app.core.clock import now
from app.core.db import db, unit_of_work
from app.core.errors import ConflictError, RefusedError
from app.health import embeds, service
from app.health.rules import LampState
from app.health.tables import EmbedLink, Lamp, Panel, Reading
from app.people.rules import Actor, Role
from app.people.tables import AuditEntry
from app.web.logs import handler
from tests.support import factories

BY = Actor("system", None, "Baton")
HERE = "/models/recsys-home/health/panels/p99"


@pytest.fixture
def panel(app):
    model = factories.model("recsys-home", owner=factories.team("serving"))
    made = factories.panel(model, slug="p99", created_at=now() - timedelta(days=1))
    at = now()
    with unit_of_work() as session:
        session.add(
            Lamp(panel_id=made.id, model_id=model.id, lane=made.lane, state=LampState.BREACH,
                 since=at, value=612.0, newest_at=at, looked_at=at, windows=[])
        )  # fmt: skip
        session.execute(
            insert(Reading),
            [
                {"panel_id": made.id, "at": at - timedelta(minutes=number), "value": 600.0 + number,
                 "state": LampState.BREACH, "rows": 9.0, "series": "p99"}
                for number in range(30)
            ],
        )  # fmt: skip
    return made


@pytest.fixture
def token(panel):
    return embeds.make(panel.id, "Wall in the office", by=BY, at=now())[1]


@pytest.fixture
def with_origins(app, monkeypatch):
    changed = app.config["SETTINGS"].model_copy(
        update={"embed_origins": "https://dashboards.example.com"}
    )
    monkeypatch.setitem(app.config, "SETTINGS", changed)


def link():
    db.session.expire_all()
    return db.session.scalars(select(EmbedLink)).one()


def test_a_link_is_shown_once_and_kept_as_a_hash(signed_in, panel):
    browser = signed_in(Role.MAINTAINER)

    page = browser.post(f"{HERE}/embeds", data={"name": "Wall in the office"})

    token = re.search(r"/embed/panels/(\w{40})", page.text)[1]
    assert page.headers["Cache-Control"] == "no-store"
    assert link().token_hash != token
    assert link().created_by
    listed = browser.get(HERE).text
    assert "Wall in the office" in listed
    assert token not in listed
    entry = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry.action == "health.embed.create"
    assert token not in json.dumps([entry.after, entry.target_name])
    assert browser.get(f"/embed/panels/{token}").status_code == 200


def test_a_link_needs_a_name(signed_in, panel):
    page = signed_in(Role.MAINTAINER).post(f"{HERE}/embeds", data={"name": "  "})

    assert page.status_code == 422
    assert "Say which dashboard it is for." in page.text


def test_viewers_make_no_links(signed_in, panel):
    reply = signed_in(Role.VIEWER).post(f"{HERE}/embeds", data={"name": "Mine"})

    assert reply.status_code == 403


def test_both_limits_of_a_panel_are_drawn(client, panel, token):
    assert client.get(f"/embed/panels/{token}").text.count('class="lim"') == 1
    with unit_of_work() as session:
        session.get_one(Panel, panel.id).below = 100.0

    page = client.get(f"/embed/panels/{token}").text

    assert "limits 100 ms and 250 ms" in page
    assert len(set(re.findall(r'class="lim" x2="100%" y1="([\d.]+)%"', page))) == 2


def test_whoever_has_the_link_reads_the_panel_and_nothing_else(client, panel, token):
    page = client.get(f"/embed/panels/{token}")

    assert page.status_code == 200
    for words in ("p99 latency", "recsys-home", "Breach", "612", "limit 250 ms", "Open in Baton"):
        assert words in page.text
    assert "<path" in page.text
    assert "Models" not in page.text
    assert "csrf" not in page.text
    assert "Set-Cookie" not in page.headers
    assert client.get(HERE).status_code == 303


def test_the_page_refreshes_itself_and_says_when_nothing_is_new(client, token):
    first = client.get(f"/embed/panels/{token}?part=now", headers={"HX-Request": "true"})
    assert first.text.lstrip().startswith("<section")

    again = client.get(
        f"/embed/panels/{token}?part=now", headers={"If-None-Match": first.headers["ETag"]}
    )

    assert again.status_code in (200, 304)  # a second may have passed
    assert again.headers["Cache-Control"] == "private, no-cache"


def test_nobody_may_frame_it_until_an_origin_is_named(client, token):
    headers = client.get(f"/embed/panels/{token}").headers

    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "private, no-cache"


def test_only_the_named_origins_may_frame_it_and_no_other_page(client, token, with_origins):
    headers = client.get(f"/embed/panels/{token}").headers
    assert "frame-ancestors https://dashboards.example.com;" in headers["Content-Security-Policy"]
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in headers

    other = client.get("/sign-in").headers
    assert "frame-ancestors 'none'" in other["Content-Security-Policy"]
    assert other["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    "said", ["*", "dashboards", "https://a.example.com; script-src *", "'self'"]
)
def test_what_is_no_origin_is_refused_at_the_start(said):
    with pytest.raises(ValidationError, match="is no origin"):
        Settings(embed_origins=said)


@pytest.mark.parametrize(("asked", "kept"), [("light", True), ("dark", True), ("pink", False)])
def test_a_dashboard_may_pin_the_colours(client, token, asked, kept):
    page = client.get(f"/embed/panels/{token}?theme={asked}").text

    assert (f'data-theme="{asked}"' in page) is kept


@pytest.mark.parametrize("wrong", ["x" * 40, "%00", "é" * 40])
def test_a_token_that_nobody_was_given_leads_nowhere(client, token, wrong):
    assert client.get(f"/embed/panels/{wrong}").status_code == 404


def test_a_revoked_link_leads_nowhere(signed_in, client, panel, token):
    browser = signed_in(Role.MAINTAINER)

    reply = browser.post(f"{HERE}/embeds/{link().id}/revoke")

    assert "is revoked" in browser.get(reply.location).text
    assert client.get(f"/embed/panels/{token}").status_code == 404
    with pytest.raises(ConflictError):
        embeds.revoke(panel.id, link().id, by=BY, at=now())


def test_the_link_of_a_closed_panel_leads_nowhere(client, panel, token):
    service.close_panel(panel.id, by=BY, at=now())

    assert client.get(f"/embed/panels/{token}").status_code == 404
    with pytest.raises(RefusedError):
        embeds.make(panel.id, "Another", by=BY, at=now())


def test_a_link_of_another_panel_can_t_be_revoked_here(signed_in, panel, token):
    factories.panel(panel.model, slug="p50")

    reply = signed_in(Role.MAINTAINER).post(
        f"/models/recsys-home/health/panels/p50/embeds/{link().id}/revoke"
    )

    assert reply.status_code == 404


def test_people_see_whether_a_link_is_in_use(signed_in, client, token):
    browser = signed_in(Role.VIEWER)
    assert "not opened yet" in browser.get(HERE).text

    client.get(f"/embed/panels/{token}")

    assert link().used_on == now().date()
    assert "not opened yet" not in browser.get(HERE).text


def test_the_token_is_in_no_log(client, token, caplog):
    writer = handler()
    lines = []

    class Keeper(logging.Handler):
        def emit(self, record):
            if all(one.filter(record) for one in writer.filters):
                lines.append(writer.format(record))

    keeper = Keeper()
    logging.getLogger().addHandler(keeper)
    caplog.set_level(logging.INFO)
    try:
        for path in (token, f"{token}/", f"{token}/more", "x" * 40):
            client.get(f"/embed/panels/{path}")
    finally:
        logging.getLogger().removeHandler(keeper)

    assert any("/embed/panels/…" in json.loads(line).get("path", "") for line in lines)
    assert token not in "".join(lines)
    assert "x" * 40 not in "".join(lines)


def test_the_embedded_page_loads_no_more_css_than_it_may(client, token):
    from tests.integration.test_css_weight import LIMIT, css_of

    assert 0 < sum(css_of(client.get(f"/embed/panels/{token}").text).values()) <= LIMIT
