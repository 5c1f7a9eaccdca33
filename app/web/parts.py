"""One template block is both page and htmx part, so that they can't drift apart.

    page("incidents/detail.html", incident=incident)
        The whole page. With `part="list"` an htmx request gets only the block `list`.
    part_or_redirect("incidents/detail.html", part="status", to=url, incident=incident)
        After a write: htmx gets the changed block, a plain browser is sent on to `to`.
    live("incidents/detail.html", part="status", incident=incident)
        A block that the browser asks for every 5 seconds; 304 while it is the same.
    go(to)
        After a write that leads elsewhere: htmx and a plain browser both go to `to`.
    is_htmx()
        Whether the request wants a part.

An invalid form comes back as `page(..., part="form", status=422, form=form)`: the block with the
errors for htmx, the whole page for a plain browser. The block holds its own outer element with an
id, and the form that asks for it says `hx-target="#that-id" hx-swap="outerHTML"`.

A live region is an element of its own block: `<section id="status" {{ live_region(url) }}>` (see
`web/components.html`). It holds no field.

A template imports its macros at its head, before any other output, so that its blocks see them:

    {% extends "layout.html" %}
    {% from "web/components.html" import badge, ago %}
"""

import hashlib
import re
from typing import Any

from flask import (
    Response,
    before_render_template,
    current_app,
    g,
    make_response,
    redirect,
    render_template,
    request,
)
from werkzeug.wrappers import Response as AnyResponse

# What a script keeps ticking is no news.
TICKING = re.compile(r"(<time[^>]*\sdata-tick[^>]*>)[^<]*")


def is_htmx() -> bool:
    """Whether the request wants a part, not a page."""
    asked = request.headers.get("HX-Request") == "true"
    return asked and "HX-Boosted" not in request.headers and not _restores_history()


def page(template: str, part: str | None = None, status: int = 200, **context: Any) -> Response:
    """The page, or only its block `part` when htmx asks."""
    if part is not None and is_htmx():
        response = make_response(render_block(template, part, **context), status)
    else:
        response = make_response(render_template(template, **context), status)
    response.vary.add("HX-Request")
    return response


def part_or_redirect(
    template: str, *, part: str, to: str, status: int = 200, **context: Any
) -> AnyResponse:
    """The block `part` for htmx, or a redirect (303) to `to` for a plain browser."""
    if is_htmx():
        return page(template, part, status, **context)
    return redirect(to, 303)


def go(to: str) -> AnyResponse:
    """Send the browser on to another page, with htmx or without."""
    if not is_htmx():
        return redirect(to, 303)
    response = make_response("", 204)
    response.headers["HX-Redirect"] = to
    return response


def live(template: str, *, part: str, **context: Any) -> AnyResponse:
    """A block for a live region, with an ETag: 304 while the browser has the same."""
    body = render_block(template, part, **context)
    response = make_response(body)
    # Tokens in forms differ each time, though they mean the same.
    same = TICKING.sub(r"\1", body.replace(g.get("csrf_token") or "\0", ""))
    response.set_etag(hashlib.sha256(same.encode()).hexdigest()[:32], weak=True)
    response.headers["Cache-Control"] = "private, no-cache"
    response.vary.update(("HX-Request", "Cookie"))
    return response.make_conditional(request)


def render_block(template: str, block: str, **context: Any) -> str:
    """Only the block of the template, with all that the page would see."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    found = app.jinja_env.get_template(template)
    app.update_template_context(context)
    before_render_template.send(app, template=found, context=context)
    inner = found.new_context(context)
    # Runs the head of the template (its imports, and what it extends) up to the first output.
    head = found.root_render_func(inner)
    next(head, None)
    head.close()
    if block not in inner.blocks:
        raise LookupError(f"{template} has no block {block}.")
    return "".join(inner.blocks[block][0](inner))


def _restores_history() -> bool:
    return request.headers.get("HX-History-Restore-Request") == "true"
