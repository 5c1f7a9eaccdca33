"""Layout, components, errors, navigation, assets: what every page has in common."""

import json

from flask import Flask

from app.config import settings
from app.web import (
    assets,
    components,
    converters,
    errors,
    navigation,
    requests,
    texts,
    times,
    toast,
    views,
)
from app.web.csrf import csrf

HTMX = {
    "includeIndicatorStyles": False,
    "allowEval": False,
    "selfRequestsOnly": True,
    "historyCacheSize": 0,  # pages may not outlive the sign-in in the browser's storage
    "scrollBehavior": "auto",
    "responseHandling": [
        {"code": "204", "swap": False},
        {"code": "[23]..", "swap": True},
        {"code": "409|422", "swap": True},
        {"code": "[45]..", "swap": False, "error": True},
    ],
}


def register(app: Flask) -> None:
    """Give the app its shell. Call it before any feature: it sets the id of each request."""
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    # A form stays good for as long as its session: nobody loses text to an hour's limit.
    app.config.setdefault("WTF_CSRF_TIME_LIMIT", None)
    requests.register(app)
    texts.register(app)
    converters.register(app)
    toast.register(app)
    assets.register(app)
    navigation.register(app)
    components.register(app)
    times.register(app)
    errors.register(app)
    csrf.init_app(app)
    app.jinja_env.globals["htmx_config"] = json.dumps(HTMX, separators=(",", ":"))
    app.register_blueprint(views.bp)
    with app.app_context():
        if settings().development:
            app.register_blueprint(views.development)
