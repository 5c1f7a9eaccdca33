"""Lamps of many models: seven each, with as much memory of their last windows as they keep."""

from datetime import timedelta

from sqlalchemy import insert, select

from app.core.clock import now
from app.core.db import db
from app.health.recording import MAX_WINDOWS
from app.health.rules import FLEET, LampState
from app.health.tables import Dataset, HealthSource, Lamp, Panel
from app.registry.tables import MlModel

# How many lamps of a hundred are not OK.
TROUBLE = {
    3: LampState.BREACH,
    17: LampState.UNREACHABLE,
    31: LampState.NO_DATA,
    53: LampState.PARTIAL,
    71: LampState.NO_TRAFFIC,
    89: LampState.NOT_MEASURABLE,
}
EVERY = 30  # seconds
BATCH = 2_000


def light_lamps() -> int:
    """Seven panels and lamps for every model, each read in the last half minute. How many."""
    at = now()
    with db.engine.connect().execution_options(write=True) as connection, connection.begin():
        connection.execute(
            insert(HealthSource.__table__),
            {
                "id": 1, "slug": "prometheus", "name": "Prometheus", "kind": "prometheus",
                "url": "http://prometheus.example.com:9090", "secret_hint": "", "options": {},
                "every": EVERY, "due_at": at + timedelta(seconds=EVERY), "asked_at": at,
                "answered_at": at, "trouble": "", "failures": 0, "created_at": at,
                "created_by": "Bench", "version": 1,
            },
        )  # fmt: skip
        connection.execute(
            insert(Dataset.__table__),
            [{"slug": f"input-{n}", "created_at": at} for n in range(2_000)],
        )
        models = list(connection.scalars(select(MlModel.id).order_by(MlModel.id)))
        panels, lamps = [], []
        for place, (model_id, lane) in enumerate(
            (model_id, lane) for model_id in models for lane in FLEET
        ):
            state = TROUBLE.get(place % 1_009, LampState.OK)
            newest_at = at - timedelta(seconds=place % EVERY)
            panels.append(
                {
                    "id": place + 1, "model_id": model_id, "slug": lane.value,
                    "title": lane.value.replace("_", " "), "lane": lane, "source_id": 1,
                    "spec": {"query": "rate(x[$w])"}, "unit": "ms", "window": 300, "above": 250.0,
                    "k": 3, "n": 5, "stale_after": 300, "created_at": at, "created_by": "Bench",
                }
            )  # fmt: skip
            lamps.append(
                {
                    "panel_id": place + 1, "model_id": model_id, "lane": lane, "state": state,
                    "in_breach": state is LampState.BREACH, "since": at - timedelta(hours=2),
                    "value": float(place % 240), "rows": 1_000.0, "newest_at": newest_at,
                    "looked_at": newest_at,
                    "windows": [
                        [round(newest_at.timestamp() - EVERY * n, 3), "clear"]
                        for n in range(MAX_WINDOWS, 0, -1)
                    ],
                }
            )  # fmt: skip
        for start in range(0, len(panels), BATCH):
            connection.execute(insert(Panel.__table__), panels[start : start + BATCH])
            connection.execute(insert(Lamp.__table__), lamps[start : start + BATCH])
    return len(panels)
