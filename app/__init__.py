"""Baton: the operations portal for machine-learning models.

`create_app` is the list of features and the wiring between them.
"""

from __future__ import annotations
from pathlib import Path

ROOT = Path(__file__).parent.parent


def create_app(settings: Settings | None = None, gateways: Gateways | None = None) -> OpenAPI:
    """The portal. Settings come from the environment, gateways from the settings, if not given."""

    import importlib
    from flask_migrate import Migrate
    from flask_openapi3 import Info, OpenAPI
    from werkzeug.middleware.proxy_fix import ProxyFix
    from app import web
    from app.config import Settings
    from app.core.db import db, engine_options, prepare_engine
    from app.core.metrics import observe_job
    from app.integrations import Gateways, default_gateways
    from app.people import access
    from app.alerts import door
    def there(names):
        out=[]
        for n, attr in names:
            try: out.append(getattr(importlib.import_module(n), attr))
            except (ImportError, AttributeError) as e: print("NOT YET", n, e)
        return out
    PAGES = there([("app.overview.views","bp"),("app.overview.operations","bp"),("app.alerts.views","bp"),("app.alerts.door","bp"),("app.incidents.views","bp"),("app.runbooks.views","bp"),("app.registry.views","bp"),("app.people.views","bp")])
    APIS = there([(f"app.{f}.api","api") for f in ("alerts","incidents","runbooks","registry","people")])
    settings = settings or Settings()  # type: ignore[call-arg]
    app = OpenAPI(
        "app",
        info=Info(title="Baton", version="1"),
        static_folder=str(ROOT / "static"),
        doc_ui=False,
        doc_prefix="/api/v1",
        doc_url="/openapi.json",
        validation_error_status=422,
        validation_error_callback=web.errors.invalid_request,
    )
    settings.var.mkdir(parents=True, exist_ok=True)
    app.config.update(
        SETTINGS=settings,
        SECRET_KEY=settings.key,
        SQLALCHEMY_DATABASE_URI=settings.database,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(settings.database),
        MAX_CONTENT_LENGTH=settings.max_delivery_bytes,
        TEMPLATES_AUTO_RELOAD=settings.development,
    )
    if settings.trusted_proxies:
        proxies = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, proxies, proxies, proxies)  # type: ignore[method-assign]

    db.init_app(app)
    with app.app_context():
        prepare_engine(db.engine)
    Migrate(app, db, directory=str(ROOT / "migrations"))
    app.extensions["gateways"] = gateways or default_gateways(settings)
    app.extensions["observe_job"] = observe_job
    web.register(app)
    access.register(app)
    for pages in PAGES:
        app.register_blueprint(pages)
    for api in APIS:
        app.register_api(api)
        web.csrf.exempt(api)  # tokens only: no cookie speaks for a person there
    web.csrf.exempt(door.bp)
    return app
