from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from flask import Blueprint, Flask, abort, g, session
from flask_wtf import FlaskForm
from jinja2 import FileSystemBytecodeCache
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm.exc import StaleDataError
from wtforms import StringField
from wtforms.validators import InputRequired

from app import web
from app.config import Settings
from app.core.errors import ConflictError, NotSignedInError, RefusedError, TooManyTriesError
from app.web.parts import go, live, page, part_or_redirect
from app.web.toast import toast

AT = datetime(2026, 3, 12, 2, 14, tzinfo=UTC)


class NoteForm(FlaskForm):
    text = StringField("Note", [InputRequired("Say something.")])


def shelf() -> Blueprint:
    """A small feature that uses every part of the shell."""
    bp = Blueprint("incidents", __name__, template_folder="templates")
    shelf.state = "triggered"
    shelf.at = AT

    def context():
        return {
            "state": shelf.state,
            "since": AT - timedelta(minutes=23),
            "at": shelf.at,
            "viewer_zone": "Europe/Berlin",
        }

    @bp.get("/incidents")
    def index():
        return page("shelf.html", part="status", **context())

    @bp.get("/status")
    def status():
        return live("shelf.html", part="status", guarded=True, **context())

    @bp.post("/notes")
    def notes():
        form = NoteForm()
        if not form.validate():
            return page("shelf.html", part="form", status=422, form=form, **context())
        toast("Note kept.")
        return part_or_redirect("shelf.html", part="status", to="/incidents", **context())

    @bp.post("/leave")
    def leave():
        toast("Done.")
        return go("/incidents")

    @bp.get("/signed-in")
    def signed_in():
        session["user"] = 1
        return ""

    @bp.route("/fails/<how>", methods=["GET", "POST"])
    @bp.route("/api/v1/fails/<how>", methods=["GET", "POST"])
    def fails(how):
        if how.isdigit():
            abort(int(how))
        raise {
            "conflict": ConflictError("Sam accepted this handoff while you were reading it."),
            "refused": RefusedError("This incident is already resolved."),
            "sign-in": NotSignedInError("Your session has ended."),
            "tries": TooManyTriesError("Try again in 90 s.", retry_after=90),
            "stale": StaleDataError("UPDATE on users expected to update 1 row(s); 0 were matched."),
            "bug": RuntimeError("the password is hunter2"),
            "database": OperationalError("SELECT 1", {}, Exception("connection refused")),
        }[how]

    return bp


@pytest.fixture(scope="session")
def compiled_templates(tmp_path_factory):
    """Compiling the components takes longer than most of these tests."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def make_shell(tmp_path, compiled_templates):
    """An app that has the shell and no database."""

    def make(development=True, **config):
        app = Flask("app", static_folder=None)
        app.jinja_options = {"bytecode_cache": compiled_templates}
        app.config.update(
            SETTINGS=Settings(var=tmp_path, development=development),
            SECRET_KEY="a key for tests, 32 characters or more",
            WTF_CSRF_ENABLED=False,
        )
        app.config.update(config)
        app.testing = True
        web.register(app)
        app.register_blueprint(shelf())
        return app

    return make


@pytest.fixture
def shell(make_shell):
    return make_shell()


@pytest.fixture
def browser(shell):
    return shell.test_client()


@pytest.fixture
def person(shell):
    """Somebody is signed in, and features have something to tell."""
    who = SimpleNamespace(name="Priya Raman", role="responder", single_keys=False, time_zone="UTC")

    @shell.before_request
    def act():
        g.actor = SimpleNamespace(kind="person", id=7, name=who.name)

    @shell.context_processor
    def context():
        return {
            "current_person": who,
            "open_incidents_in_sidebar": [
                SimpleNamespace(
                    id=214,
                    title="p99 latency 612 ms <limit>",
                    severity=2,
                    model_name="recsys-home",
                    opened_at=AT - timedelta(minutes=23),
                )
            ],
            "sandbox_notice": "Pages go to the sandbox pager: nobody is woken.",
            "nav_counts": {"incidents.index": 2},
        }

    return who
