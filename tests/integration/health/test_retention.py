"""Readings are kept whole for some days, then by the hour."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.core.db import db
from app.health import retention
from app.health.rules import LampState
from app.health.tables import Reading, ReadingHour
from tests.support import factories


@pytest.fixture
def keep(app, at):
    """Keep readings: (minutes before the full hour, state, value)."""

    def keep(*found, panel_id=1):
        hour = at.replace(minute=0)
        for minutes, state, value in found:
            factories.keep(
                Reading(
                    panel_id=panel_id,
                    at=hour - timedelta(minutes=minutes),
                    state=LampState(state),
                    value=value,
                    rows=10.0,
                )
            )

    return keep


def hours():
    return list(db.session.scalars(select(ReadingHour).order_by(ReadingHour.panel_id)))


def test_an_hour_is_summed_up_with_its_worst_state(keep, at):
    keep((50, "ok", 100.0), (40, "breach", 700.0), (30, "no_data", None), (20, "ok", 200.0))
    keep((10, "ok", 5.0), panel_id=2)
    keep((70, "breach", 9.0), (0, "breach", 9.0), panel_id=2)  # not of this hour

    assert retention.roll_up(at=at) == 2

    first, second = hours()
    assert first.at == at.replace(minute=0) - timedelta(hours=1)
    assert first.state is LampState.BREACH
    assert (first.count, first.low, first.high, first.rows) == (4, 100.0, 700.0, 40.0)
    assert first.mean == pytest.approx(1000 / 3)
    assert (second.count, second.state) == (1, LampState.OK)


def test_summing_up_again_changes_nothing(keep, at):
    keep((50, "ok", 100.0))
    retention.roll_up(at=at)
    retention.roll_up(at=at)

    assert [(one.count, one.mean) for one in hours()] == [(1, 100.0)]


def test_old_readings_go_and_their_hours_stay(keep, at, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    keep(*((minutes, "ok", 1.0) for minutes in range(1, 8)))
    retention.roll_up(at=at)
    keep((-30, "ok", 1.0))

    retention.purge(at=at + timedelta(days=3))

    assert db.session.query(Reading).count() == 1
    assert len(hours()) == 1
    retention.purge(at=at + timedelta(days=402))
    assert hours() == []
