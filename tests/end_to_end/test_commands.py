"""`baton run` and its companions, as somebody uses them who has just read the README."""

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.support.processes import Baton, Greeting, database_on, free_port, wait_for

WELCOME = {
    "email": "ada@example.com",
    "name": "Ada",
    "password": "a few words in a row",
    "again": "a few words in a row",
}


def welcome(browser: requests.Session, link: str) -> requests.Response:
    """Follow a one-time link, and fill in what its page asks for."""
    form = browser.get(link, timeout=10)
    assert form.ok, form.text
    return send(browser, form, WELCOME)


def send(
    browser: requests.Session, page: requests.Response, values: dict[str, str]
) -> requests.Response:
    """Send the form of a page back, with the token that it carries against forgery."""
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
    assert token is not None, page.text
    return browser.post(page.url, data={**values, "csrf_token": token[1]}, timeout=10)


def in_words(page: requests.Response) -> str:
    return re.sub(r"<[^>]+>", " ", page.text)


def test_the_first_start_leads_to_a_signed_in_administrator_and_later_starts_keep_them(
    installed: Callable[..., Baton], new_database: Callable[[], str]
):
    baton = installed(database_url=new_database())

    first = baton.start()
    assert first.address == baton.url
    assert first.link is not None
    assert first.link.startswith(f"{baton.url}/welcome/")
    assert baton.interrupt() == 0

    # Nobody used the link. So there is a new one, and the old one is worthless.
    second = baton.start()
    assert second.link not in (None, first.link)
    with baton.browser() as browser:
        assert browser.get(first.link, timeout=10).status_code == 410
        page = welcome(browser, str(second.link))
        assert page.url == f"{baton.url}/"
        assert page.ok
        assert "Ada" in page.text
        assert browser.get(f"{baton.url}/settings/people", timeout=10).ok
    with baton.browser() as browser:
        assert browser.get(str(second.link), timeout=10).status_code == 410
    assert baton.interrupt() == 0

    # Now that there is an administrator, a start prints no link.
    assert baton.start() == Greeting(baton.url, None)
    assert "ada@example.com" in baton.command("user", "list").stdout
    with baton.browser() as browser:
        page = browser.get(f"{baton.url}/settings/people", timeout=10)
        assert page.url.startswith(f"{baton.url}/sign-in")
        page = send(browser, page, WELCOME)
        assert page.url == f"{baton.url}/settings/people"
        assert page.ok
    assert baton.interrupt() == 0


def test_ctrl_c_ends_everything_within_seconds(installed):
    baton = installed()
    baton.start()
    baton.wait_until_ready()
    running = " ".join(baton.processes().values())
    assert "gunicorn" in running
    assert "app.worker" in running
    # A browser that keeps its connection open holds nobody up.
    with baton.browser() as browser:
        assert browser.get(f"{baton.url}/sign-in", timeout=10).ok

        assert baton.interrupt() == 0  # which also sees that no process is left

    assert not baton.answers()
    assert "Traceback" not in baton.printed()


def test_children_do_not_outlive_a_supervisor_that_was_killed(installed):
    baton = installed()
    baton.start()

    baton.kill_supervisor()

    wait_for(lambda: not baton.processes(), "the children to end by themselves")


@pytest.mark.parametrize("child", ["web", "worker"])
def test_a_child_that_dies_is_started_again(installed, child):
    baton = installed()
    baton.start()
    before = baton.child(child)

    baton.kill(child)

    wait_for(lambda: baton.child(child) not in (None, before), f"another {child} process")
    baton.wait_until_ready()
    assert baton.interrupt() == 0


def test_a_port_that_is_taken_is_said_in_a_sentence(installed):
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port()))
        other.listen()
        port = other.getsockname()[1]
        baton = installed()
        baton.environment["BATON_BIND"] = f"127.0.0.1:{port}"

        done = baton.command("run")

    assert done.returncode == 1
    assert f"127.0.0.1:{port} can't be listened on" in done.stderr
    assert "BATON_BIND" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_one_installation_moves_to_postgresql_by_its_database_url(
    installed, postgres_server, tmp_path: Path
):
    baton = installed()
    on_sqlite = baton.start()
    baton.secret("user", "add", "on-sqlite@example.com")
    assert baton.interrupt() == 0
    size = (baton.var / "baton.sqlite3").stat().st_size

    baton.environment["BATON_DATABASE_URL"] = database_on(postgres_server, "moved")
    on_postgresql = baton.start()
    assert on_postgresql.link not in (None, on_sqlite.link)
    baton.wait_until_ready()
    assert "on-sqlite@example.com" not in baton.command("user", "list").stdout
    assert baton.command("doctor").returncode == 0
    assert baton.interrupt() == 0
    assert (baton.var / "baton.sqlite3").stat().st_size == size

    baton.environment["BATON_DATABASE_URL"] = ""
    assert "on-sqlite@example.com" in baton.command("user", "list").stdout


def test_secrets_stand_alone_on_the_last_line(installed, new_database):
    baton = installed(database_url=new_database())
    baton.start()

    key = baton.secret("key", "create", "generic")
    token = baton.secret("token", "create", "scripts", "--scope", "read")
    link = baton.secret("user", "add", "grace@example.com", "--role", "maintainer")

    assert re.fullmatch(r"[A-Za-z0-9]{32}", key)
    assert re.fullmatch(r"bt_[A-Za-z0-9]{40}", token)
    assert re.fullmatch(rf"{re.escape(baton.url)}/welcome/[A-Za-z0-9]{{32}}", link)
    with baton.browser() as browser:
        bearer = {"Authorization": f"Bearer {key}"}
        door = f"{baton.url}/in/generic"
        # A new key opens its door at once.
        assert browser.post(door, json={"name": "A"}, headers=bearer, timeout=10).status_code == 202
        assert welcome(browser, link).url == f"{baton.url}/"
    assert baton.api(token).get("/me")["name"] == "scripts"
    assert baton.interrupt() == 0


def test_a_password_can_come_from_a_pipe(installed):
    baton = installed()
    baton.start()

    done = baton.command(
        "user", "add", "ada@example.com", "--role", "administrator", "--password-stdin",
        said="a few words in a row\n",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "a few words in a row" not in done.stdout + done.stderr
    with baton.browser() as browser:
        page = browser.get(f"{baton.url}/sign-in", timeout=10)
        assert send(browser, page, WELCOME).url == f"{baton.url}/"
    assert baton.interrupt() == 0


def test_the_doctor_says_what_is_wrong_and_exits_with_1(installed, new_database):
    baton = installed(database_url=new_database())
    unborn = baton.command("doctor")
    assert unborn.returncode == 1
    assert "Traceback" not in unborn.stdout + unborn.stderr

    assert baton.command("migrate").returncode == 0
    stopped = baton.command("doctor")
    assert stopped.returncode == 1
    assert "baton worker" in stopped.stdout
    failing = [line for line in stopped.stdout.splitlines() if line.strip().startswith("fails")]
    assert len(failing) == 1, stopped.stdout

    baton.start()
    well = wait_for(
        lambda: (done := baton.command("doctor")).returncode == 0 and done, "a doctor that is well"
    )
    assert "fails" not in well.stdout
    assert baton.interrupt() == 0


def test_a_refused_command_says_why_in_a_sentence(installed):
    baton = installed()
    assert baton.command("migrate").returncode == 0

    unknown = baton.command("token", "create", "scripts", "--scope", "everything")
    baton.secret("token", "create", "scripts", "--scope", "read")
    taken = baton.command("token", "create", "scripts", "--scope", "read")

    for done, words in ((unknown, "no scope everything"), (taken, "already a token")):
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr
