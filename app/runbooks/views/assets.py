"""Pictures and downloads of a version."""

from urllib.parse import quote

from flask import Response, request
from flask.typing import ResponseReturnValue

from app.people.access import requires
from app.people.rules import Role
from app.runbooks import assets, files
from app.runbooks.views.blueprint import bp

# Opened by itself, a file may do nothing: its bytes are a stranger's.
POLICY = "default-src 'none'; sandbox"


@bp.get("/runbooks/<slug>/v<int:number>/files/<path:address>")
@requires(Role.VIEWER)
def file(slug: str, number: int, address: str) -> ResponseReturnValue:
    path = files.path_at(address)
    kept = assets.find(slug, number, path)
    picture = files.picture_type(path)
    response = Response(kept.content, mimetype=picture or "application/octet-stream")
    if not picture:
        name = quote(path.rsplit("/", 1)[-1], safe="")
        response.headers.set("Content-Disposition", "attachment", **{"filename*": f"UTF-8''{name}"})
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    # A version never changes, and neither does what it shows.
    response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    response.set_etag(kept.sha256)
    return response.make_conditional(request)
