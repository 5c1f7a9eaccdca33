"""`baton run` and its companions, as somebody uses them who has just read the README.

On SQLite; one test takes the same installation to PostgreSQL, where the other end-to-end tests
run as well.
"""

import re
import socket
from collections.abc import Iterator

import pytest
import requests

from tests.support.processes import Baton, Greeting, database_on, free_port, wait_for

WELCOME = {
    "email": "ada@example.com",
    "name": "Ada",
    "password": "a few words in a row",
    "again": "a few words in a row",
}
ONE_WORKER = {"BATON_WORKERS": "1"}  # which starts sooner, and here nobody is in a hurry


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Baton]:
    """An installation that the tests only talk to."""
    baton = Baton(tmp_path_factory.mktemp("running") / "var", **ONE_WORKER)
    baton.start()
    baton.wait_until_ready()
    yield baton
    baton.end()


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


def test_the_first_start_leads_to_a_signed_in_administrator_and_later_starts_keep_them(
    installed,
):
    baton = installed(**ONE_WORKER)

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
        page = welcome(browser, second.link)
        assert page.url == f"{baton.url}/"
        assert page.ok
        assert "Ada" in page.text
        assert browser.get(f"{baton.url}/settings/people", timeout=10).ok
    with baton.browser() as browser:
        assert browser.get(second.link, timeout=10).status_code == 410
    assert baton.interrupt() == 0

    # Now that there is an administrator, a start prints no link.
    assert baton.start() == Greeting(baton.url, None)
    with baton.browser() as browser:
        page = browser.get(f"{baton.url}/settings/people", timeout=10)
        assert page.url.startswith(f"{baton.url}/sign-in")
        page = send(browser, page, WELCOME)
        assert page.url == f"{baton.url}/settings/people"
        assert page.ok
    assert baton.interrupt() == 0


def test_ctrl_c_ends_everything_within_seconds(installed):
    baton = installed(**ONE_WORKER)
    baton.start()
    wait_for(lambda: baton.child("worker") and baton.child("web"), "both children")
    # A browser that keeps its connection open holds nobody up.
    with baton.browser() as browser:
        assert browser.get(f"{baton.url}/sign-in", timeout=10).ok

        assert baton.interrupt() == 0  # which also sees that no process is left

    assert not baton.answers()
    assert "Traceback" not in baton.printed()


def test_children_do_not_outlive_a_supervisor_that_was_killed(installed):
    baton = installed(**ONE_WORKER)
    baton.start()

    baton.kill_supervisor()

    wait_for(lambda: not baton.processes(), "the children to end by themselves")


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


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("BATON_LOG_LEVEL", "verbose", "BATON_LOG_LEVEL: it is DEBUG, INFO, WARNING or ERROR."),
        ("BATON_RUNBOOKS", "/nowhere/at/all", "The folder /nowhere/at/all can't be read."),
        # Nobody listens on port 1.
        ("BATON_DATABASE_URL", "postgresql://baton@127.0.0.1:1/baton", "The database can't be"),
    ],
)
def test_what_keeps_it_from_starting_is_said_in_a_sentence(installed, variable, value, said):
    baton = installed()
    baton.environment[variable] = value

    done = baton.command("run")

    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_a_command_without_tables_names_the_one_that_makes_them(installed, postgres_server):
    on_sqlite, on_postgresql = installed("one"), installed("other")
    url = database_on(postgres_server, "without_tables")
    on_postgresql.environment["BATON_DATABASE_URL"] = url

    for baton in (on_sqlite, on_postgresql):
        done = baton.command("runbooks", "list")

        assert done.returncode == 1
        assert done.stderr == "Error: The database is not set up: baton migrate\n"


def test_the_database_url_alone_takes_an_installation_to_postgresql(installed, postgres_server):
    baton = installed(**ONE_WORKER)
    assert baton.command("migrate").returncode == 0
    baton.secret("user", "add", "on-sqlite@example.com")

    baton.environment["BATON_DATABASE_URL"] = database_on(postgres_server, "taken_there")
    assert baton.start().link is not None
    baton.secret("user", "add", "on-postgresql@example.com")
    on_postgresql = baton.command("user", "list").stdout
    assert baton.interrupt() == 0
    baton.environment["BATON_DATABASE_URL"] = ""
    on_sqlite = baton.command("user", "list").stdout

    assert "on-postgresql@example.com" in on_postgresql
    assert "on-sqlite@example.com" not in on_postgresql
    assert "on-postgresql@example.com" not in on_sqlite
    assert "on-sqlite@example.com" in on_sqlite


def test_secrets_stand_alone_on_the_last_line(running):
    key = running.secret("key", "create", "generic")
    token = running.secret("token", "create", "scripts", "--scope", "read")
    link = running.secret("user", "add", "grace@example.com", "--role", "maintainer")

    assert re.fullmatch(r"[A-Za-z0-9]{32}", key)
    assert re.fullmatch(r"bt_[A-Za-z0-9]{40}", token)
    assert re.fullmatch(rf"{re.escape(running.url)}/welcome/[A-Za-z0-9]{{32}}", link)
    # Each of them works, at once and without a restart.
    with running.browser() as browser:
        answer = browser.post(
            f"{running.url}/in/generic",
            json={"name": "Test"},
            headers={"Authorization": f"Bearer {key}"},
            timeout=10,
        )
        assert answer.status_code == 202
        assert welcome(browser, link).url == f"{running.url}/"
    assert running.api(token).get("/me")["name"] == "scripts"


def test_the_doctor_finds_nothing_wrong_with_what_runs(running):
    done = running.command("doctor")

    assert "fails" not in done.stdout
    assert done.returncode == 0


def test_the_doctor_says_what_is_missing_and_exits_with_1(installed):
    baton = installed()
    unborn = baton.command("doctor")
    assert baton.command("migrate").returncode == 0
    stopped = baton.command("doctor")

    assert unborn.returncode == stopped.returncode == 1
    assert "baton migrate" in unborn.stdout
    assert "baton worker" in stopped.stdout
    assert len(failures(stopped.stdout)) == 1
    assert "Traceback" not in unborn.stdout + unborn.stderr + stopped.stdout + stopped.stderr


def failures(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.lstrip().startswith("fails")]
