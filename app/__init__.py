"""Baton: the operations portal for machine-learning models.

`create_app` is the list of features and the wiring between them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask_openapi3 import Info, OpenAPI
from werkzeug.middleware.proxy_fix import ProxyFix

from app import web
from app.alerts import api as alerts_api
from app.alerts import door, express
from app.alerts import views as alerts_views
from app.config import Settings
from app.core.db import db, engine_options, prepare_engine
from app.core.metrics import observe_job
from app.health import api as health_api
from app.health import views as health_views
from app.incidents import api as incidents_api
from app.incidents import views as incidents_views
from app.integrations import Gateways, default_gateways
from app.overview import operations
from app.overview import views as overview_views
from app.overview.sample import views as sample_views
from app.people import access
from app.people import api as people_api
from app.people import views as people_views
from app.registry import api as registry_api
from app.registry import views as registry_views
from app.runbooks import reports_api as runbooks_api
from app.runbooks import views as runbooks_views
from app.runbooks.runs import api as runs_api
from app.runbooks.runs import views as runs_views
from app.runbooks.runs.drills import api as drills_api
from app.runbooks.runs.drills import views as drills_views
from app.web.csrf import csrf

ROOT = Path(__file__).parent.parent

PAGES = (
    overview_views.bp,
    operations.bp,
    alerts_views.bp,
    door.bp,
    incidents_views.bp,
    health_views.bp,  # before runbooks: its tab is the first of a model's
    runbooks_views.bp,
    runs_views.bp,
    drills_views.bp,
    registry_views.bp,
    people_views.bp,
)
APIS = (
    alerts_api.api,
    incidents_api.api,
    runbooks_api.api,
    runs_api.api,
    drills_api.api,
    health_api.api,
    registry_api.api,
    people_api.api,
)


class Portal(OpenAPI):
    """Flask, with links that a request can't bend."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func  # none is a coroutine, so none is asked on each request

    def url_for(self, /, endpoint: str, *, _external: bool | None = None, **values: Any) -> str:
        """A link that leaves Baton starts with its own address, whatever Host a request names."""
        path = super().url_for(endpoint, _external=False, **values)
        return f"{self.config['SETTINGS'].url}{path}" if _external else path


def create_app(settings: Settings | None = None, gateways: Gateways | None = None) -> OpenAPI:
    """The portal. Settings come from the environment, gateways from the settings, if not given."""
    settings = settings or Settings()
    app = Portal(
        "app",
        info=Info(title="Baton", version="1"),
        static_folder=str(ROOT / "static"),
        doc_ui=False,
        doc_prefix="/api/v1",
        doc_url="/openapi.json",
        validation_error_status=422,
        validation_error_callback=web.errors.invalid_request,
    )
    settings.make_var()
    app.config.update(
        SETTINGS=settings,
        SECRET_KEY=settings.key,
        SQLALCHEMY_DATABASE_URI=settings.database,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(settings.database),
        MAX_CONTENT_LENGTH=settings.max_delivery_bytes,
        TEMPLATES_AUTO_RELOAD=settings.development,
    )
    app.wsgi_app = express.in_front_of(app)  # type: ignore[method-assign,assignment]
    if settings.trusted_proxies:
        proxies = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, proxies, proxies, proxies)  # type: ignore[method-assign]

    db.init_app(app)
    with app.app_context():
        prepare_engine(db.engine)
    app.extensions["gateways"] = gateways or default_gateways(settings)
    app.extensions["observe_job"] = observe_job
    web.register(app)
    access.register(app)
    for pages in PAGES:
        app.register_blueprint(pages)
    if settings.sample:
        app.register_blueprint(sample_views.bp)
    for api in APIS:
        app.register_api(api)
        csrf.exempt(api)  # tokens only: no cookie speaks for a person there
    csrf.exempt(door.bp)
    alerts_views.register(app)
    incidents_views.register(app)
    return app
