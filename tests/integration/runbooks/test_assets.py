"""Files of a version are served to people who may read it, and can do nothing there."""

import pytest

from app.core.db import db, unit_of_work
from app.people.rules import Role
from app.runbooks import assets, queries
from app.runbooks.files import File
from app.runbooks.tables import Asset

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
FOUND = (
    File("img/p 99.png", "image/png", PNG),
    File("../flow.svg", "image/svg+xml", SVG),
    File("f\u00fc.csv", "text/csv", b"a,b"),
)


@pytest.fixture
def version(bring_in, latency):
    latency()
    bring_in()
    found = queries.published("latency")
    with unit_of_work() as session:
        assets.keep(session, found.id, FOUND)
    return found


@pytest.fixture
def get(version, signed_in):
    client = signed_in(Role.VIEWER)
    return lambda address, **more: client.get(f"/runbooks/latency/v1/files/{address}", **more)


def test_a_picture_is_shown_and_may_be_kept_for_long(get):
    reply = get("img/p%2099.png")

    assert reply.status_code == 200
    assert reply.data == PNG
    assert reply.content_type == "image/png"
    assert "Content-Disposition" not in reply.headers
    assert reply.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert (
        get("img/p%2099.png", headers={"If-None-Match": reply.headers["ETag"]}).status_code == 304
    )


@pytest.mark.parametrize(
    ("address", "content", "name"),
    [("~/flow.svg", SVG, "flow.svg"), ("f%C3%BC.csv", b"a,b", "f%C3%BC.csv")],
)
def test_anything_else_is_a_download(get, address, content, name):
    reply = get(address)

    assert reply.data == content
    assert reply.content_type == "application/octet-stream"
    assert reply.headers["Content-Disposition"].startswith("attachment; filename")
    assert name in reply.headers["Content-Disposition"]
    assert "sandbox" in reply.headers["Content-Security-Policy"]


@pytest.mark.parametrize("address", ["img/p99.png", "flow.svg", "%00", "a" * 600])
def test_a_file_that_a_version_lacks_is_not_found(get, address):
    assert get(address).status_code == 404


def test_only_the_version_that_has_a_file_gives_it(signed_in, version):
    client = signed_in(Role.VIEWER)

    for path in ("latency/v2", "latency/v99999999999", "other/v1", "La%00/v1"):
        assert client.get(f"/runbooks/{path}/files/f%C3%BC.csv").status_code == 404


def test_nobody_reads_files_without_signing_in(client, version):
    assert client.get("/runbooks/latency/v1/files/img/p%2099.png").status_code in (302, 303, 401)


def test_the_same_bytes_are_kept_once(version, bring_in, latency):
    latency("Other text.")
    bring_in()
    second = queries.published("latency")

    with unit_of_work() as session:
        assets.keep(session, second.id, FOUND[:1])

    assert db.session.query(Asset).count() == len(FOUND)
    assert assets.paths_of(second.id) == {"img/p 99.png"}
    assert assets.find("latency", 2, "img/p 99.png").content == PNG


def test_an_edited_version_takes_over_what_it_still_refers_to(version, bring_in, latency):
    latency("Other text.")
    bring_in()
    second = queries.published("latency")

    with unit_of_work() as session:
        assets.carry_over(
            session, second.id, from_id=version.id, paths=["f\u00fc.csv", "not/there.png"]
        )

    assert assets.paths_of(second.id) == {"f\u00fc.csv"}
    assert assets.paths_of(None) == frozenset()
