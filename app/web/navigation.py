"""The menu. One line per page in it; a line whose page does not exist is not shown."""

from dataclasses import dataclass

from flask import Flask, current_app, request, url_for
from werkzeug.routing import BuildError


@dataclass(frozen=True, slots=True)
class Entry:
    endpoint: str
    label: str
    icon: str
    key: str = ""  # goes there after `g`
    foot: bool = False  # stands at the foot of the sidebar


MENU = (
    Entry("overview.now", "Now", "now", "n"),
    Entry("incidents.index", "Incidents", "incident", "i"),
    Entry("registry.models", "Models", "model", "m"),
    Entry("runbooks.index", "Runbooks", "runbook", "r"),
    Entry("drills.index", "Drills", "flag", "d"),
    Entry("registry.teams", "Teams", "owners", "t"),
    Entry("people.settings", "Settings", "settings", "s", foot=True),
)
HOME = "overview.now"
SEARCH = "overview.search"  # takes ?q=; answers htmx with a list of links
INCIDENT = "incidents.detail"  # takes incident_id
PROFILE = "people.profile"
SIGN_IN = "people.sign_in"
SIGN_OUT = "people.sign_out"  # POST


@dataclass(frozen=True, slots=True)
class Line:
    """An entry as it is shown on one page."""

    entry: Entry
    url: str
    current: bool


def url_if_there(endpoint: str, **values: object) -> str | None:
    """The URL of an endpoint, or None when this app has no such page."""
    try:
        return url_for(endpoint, **values)  # type: ignore[arg-type]
    except BuildError:
        return None


def lines() -> list[Line]:
    """The menu for the page at hand. The entry with the longest fitting path is the current one."""
    there = [(entry, url) for entry in MENU if (url := url_if_there(entry.endpoint)) is not None]
    path = request.path.rstrip("/") or "/"
    fitting = [url for _, url in there if _is_within(path, url)]
    current = max(fitting, key=len, default=None)
    return [Line(entry, url, url == current) for entry, url in there]


def _is_within(path: str, url: str) -> bool:
    root = url.rstrip("/")
    return path == (root or "/") if not root else path == root or path.startswith(f"{root}/")


def register(app: Flask) -> None:
    app.jinja_env.globals.update(
        menu_lines=lines,
        url_if_there=url_if_there,
        home_url=lambda: url_if_there(HOME) or "/",
        search_url=lambda: url_if_there(SEARCH),
        incident_url=lambda incident_id: url_if_there(INCIDENT, incident_id=incident_id),
        profile_url=lambda: url_if_there(PROFILE),
        sign_in_url=lambda: url_if_there(SIGN_IN),
        sign_out_url=lambda: url_if_there(SIGN_OUT),
        has_page=lambda endpoint: endpoint in current_app.view_functions,
    )
