"""The serving process: recommendations, metrics, drift, contracts and the fault switches."""

import argparse
import hmac
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

from flask import Flask, Response, abort, request
from werkzeug.exceptions import HTTPException

from recommender.catalogue import ITEMS, USERS, Catalogue
from recommender.contracts import DataStep
from recommender.drift import Reference
from recommender.faults import FAULTS, Faults
from recommender.folder import Folder
from recommender.http import serve_http
from recommender.metrics import Metrics
from recommender.model import BAD, GOOD, Model
from recommender.pipeline import InvalidAnswerError, Pipeline
from recommender.processes import state_folder
from recommender.ranking import Provider
from recommender.visits import DEVICES, Visit
from recommender.warehouse import Warehouse
from recommender.windows import Windows

THREADS = 24
LONGEST_LIST = 20

log = logging.getLogger("recommender")


def create_app(
    *,
    pipeline: Pipeline,
    metrics: Metrics,
    windows: Windows,
    data: DataStep,
    faults: Faults,
    control_token: str,
) -> Flask:
    app = Flask(__name__)

    @app.get("/recommend")
    def recommend() -> tuple[dict[str, Any], int]:
        # Read before the clock starts: a question nobody can answer is not a slow or failed answer.
        visit, k = asked_visit(), number("k", 1, LONGEST_LIST, default=10)
        with metrics.request():
            try:
                answer = pipeline.recommend(visit, k)
            except InvalidAnswerError as invalid:
                metrics.ended("invalid")
                return {"error": str(invalid)}, 500
            except Exception:  # whatever it was, it counts as an error and the visitor is told
                metrics.ended("error")
                log.exception("A recommendation failed.")
                return {"error": "The recommendation failed."}, 500
            metrics.ended("ok")
            return {
                "items": answer.items,
                "rung": answer.rung,
                "arm": answer.arm,
                "version": answer.version,
            }, 200

    @app.get("/metrics")
    def exposition() -> Response:
        body, content_type = metrics.exposition(request.headers.get("Accept", ""))
        return Response(body, content_type=content_type)

    @app.get("/drift")
    def drift() -> list[dict[str, Any]]:
        return windows.as_json()

    @app.get("/contracts")
    def contracts() -> list[dict[str, Any]]:
        return data.as_json()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"version": pipeline.model.version}

    @app.before_request
    def guard_switches() -> None:
        given = request.headers.get("Authorization", "")
        if request.path.startswith("/faults") and not hmac.compare_digest(
            given.encode(), f"Bearer {control_token}".encode()
        ):
            abort(401, "Send the token of the file control-token as a bearer token.")

    @app.get("/faults")
    def list_faults() -> list[dict[str, Any]]:
        return faults.as_json()

    @app.put("/faults/<name>")
    def inject(name: str) -> list[dict[str, Any]]:
        faults.inject(known_fault(name))
        return faults.as_json()

    @app.delete("/faults/<name>")
    def heal(name: str) -> list[dict[str, Any]]:
        faults.heal(known_fault(name))
        return faults.as_json()

    @app.delete("/faults")
    def heal_all() -> list[dict[str, Any]]:
        faults.heal_all()
        return faults.as_json()

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> tuple[dict[str, Any], int]:
        return {"error": error.description}, error.code or 500

    return app


def asked_visit() -> Visit:
    device = request.args.get("device", DEVICES[0])
    if device not in DEVICES:
        abort(400, f"device is one of {', '.join(DEVICES)}.")
    return Visit(
        user=number("user", 0, USERS - 1),
        item=number("item", 0, ITEMS - 1),
        device=DEVICES.index(device),
        session_events=number("session_events", 0, 10_000, default=1),
    )


def number(name: str, least: int, most: int, default: int | None = None) -> int:
    value = request.args.get(name, default, type=int)
    if value is None or not least <= value <= most:
        abort(400, f"{name} is a whole number from {least} to {most}.")
    return value


def known_fault(name: str) -> str:
    if name not in FAULTS:
        abort(404, f"There is no fault of that name. There are: {', '.join(FAULTS)}.")
    return name


def every(seconds: float, work: Callable[[datetime], None]) -> None:
    """Repeat background work for as long as the process lives, whatever one turn of it meets."""

    def repeat() -> None:
        while True:
            time.sleep(seconds)
            try:
                work(datetime.now(UTC))
            except Exception:  # one bad turn must not end all later ones
                log.exception("Background work failed; it is tried again.")

    Thread(target=repeat, daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--var", type=state_folder, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--provider-port", type=int, required=True)
    parser.add_argument("--window", type=float, required=True)
    options = parser.parse_args()
    logging.basicConfig(format="%(name)s: %(message)s")
    serve(options.var, options.port, options.provider_port, options.window)


def serve(folder: Folder, port: int, provider_port: int, window: float) -> None:
    """Put the parts together, once; nothing else in this package is global."""
    faults = Faults(folder)
    catalogue = Catalogue.load(folder.catalogue)
    models = {version: Model.load(folder.model(version)) for version in (GOOD, BAD)}
    warehouse = Warehouse(folder, catalogue, faults)
    data = DataStep(warehouse)
    metrics = Metrics()
    windows = Windows(
        Reference.load(folder.reference),
        length=timedelta(seconds=window),
        at=datetime.now(UTC),
    )
    pipeline = Pipeline(
        model=models[GOOD],
        catalogue=catalogue,
        data=data,
        provider=Provider(f"http://127.0.0.1:{provider_port}", connections=THREADS),
        windows=windows,
        metrics=metrics,
    )

    def load_data(at: datetime) -> None:
        warehouse.administer(at=at)
        warehouse.export(at=at)
        data.run(at=at)

    def follow_pushes(at: datetime) -> None:
        pushed = models[BAD if faults.active("bad-model-push") else GOOD]
        if pushed is not pipeline.model:
            pipeline.go_live(pushed)

    def close_windows(at: datetime) -> None:
        windows.close_if_due(pipeline.model.version, at=at)

    load_data(datetime.now(UTC))
    every(max(1.0, window / 6), load_data)
    every(0.5, follow_pushes)
    every(0.5, close_windows)

    app = create_app(
        pipeline=pipeline,
        metrics=metrics,
        windows=windows,
        data=data,
        faults=faults,
        control_token=folder.control_token(),
    )
    serve_http(app, port=port, threads=THREADS)


if __name__ == "__main__":
    main()
