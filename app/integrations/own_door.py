"""Baton's own doors, called over HTTP as any sender calls them.

Only a path can be chosen here. The host and the port are those that Baton itself listens on, so
that no test can be turned against anything else in the network.
"""

from dataclasses import dataclass
from typing import Any

import requests

from app.config import settings
from app.core.errors import UpstreamError

CONNECT, ANSWER = 1.0, 10.0  # seconds
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: dict[str, Any]


def post(path: str, key: str, document: Any) -> Reply:
    """Hand a document to one of our doors. Raises UpstreamError when it does not answer."""
    with requests.Session() as session:
        # Neither a proxy from the environment nor a redirect leads anywhere else.
        session.trust_env = False
        try:
            answer = session.post(
                own_address(settings().bind) + path,
                json=document,
                headers={"Authorization": f"Bearer {key}", "User-Agent": "Baton/1 (test)"},
                timeout=(CONNECT, ANSWER),
                allow_redirects=False,
            )
        except requests.RequestException:
            raise UpstreamError(
                f"Baton's own door at {settings().bind} did not answer. Nothing was sent."
            ) from None
    return Reply(answer.status_code, _json_object(answer))


def own_address(bind: str) -> str:
    """Where to reach what listens on this address. Who listens everywhere is reached at home."""
    host, _, port = bind.rpartition(":")
    host = EVERYWHERE.get(host.strip("[]"), host.strip("[]"))
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _json_object(answer: requests.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
