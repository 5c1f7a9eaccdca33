"""Static files under a path that changes with their content, so that browsers keep them a year.

One hash stands for the whole folder. It is part of the path and not of the query, so that the
modules that import each other by relative paths get it, too.
"""

import hashlib
from pathlib import Path

from flask import Flask, Response, current_app, g, send_from_directory, url_for

from app.config import settings

FOLDER = Path(__file__).resolve().parents[2] / "static"
A_YEAR = "public, max-age=31536000, immutable"


def content_hash(folder: Path) -> str:
    """Twelve characters that change when any file in the folder does."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def register(app: Flask, folder: Path = FOLDER) -> None:
    """Serve the folder, and let `url_for("static", filename=...)` carry the hash."""
    known = content_hash(folder)

    def serve(filename: str, version: str | None = None) -> Response:
        response = send_from_directory(folder, filename)
        # While developing, the hash of the start says nothing about the files.
        lasting = version == known and not settings().development
        response.headers["Cache-Control"] = A_YEAR if lasting else "no-cache"
        return response

    def with_hash(endpoint: str, values: dict[str, object]) -> None:
        if endpoint == "static":
            values.setdefault("version", known)

    app.view_functions["static"] = serve
    for rule in ("/static/v-<version>/<path:filename>", "/static/<path:filename>"):
        app.add_url_rule(rule, endpoint="static")
    app.url_defaults(with_hash)
    app.jinja_env.globals["static"] = static


def static(filename: str) -> str:
    """The URL of a static file. A missing one is a bug that shows at once while developing."""
    if current_app.debug and not (FOLDER / filename).is_file():
        raise LookupError(f"There is no static file {filename}.")
    # A page asks for the icons a hundred times, and `url_for` would be a fifth of its cost.
    urls: dict[str, str] = g.setdefault("static_urls", {})
    if filename not in urls:
        urls[filename] = url_for("static", filename=filename)
    return urls[filename]
