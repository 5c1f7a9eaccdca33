"""How a source reads: whether it answers, since when, and what is wrong."""

from datetime import datetime, timedelta

from app.health.rules import LampState
from app.health.showing import GRACE, Shown
from app.health.tables import HealthSource
from app.web.times import duration


def how_it_goes(source: HealthSource, *, at: datetime) -> Shown:
    """What the lamp of a source says at this moment."""
    if source.trouble:
        since = source.answered_at or source.created_at
        word = "tries" if source.failures > 1 else "try"
        line = f"{source.failures} {word}, {duration(at - since)}"
        return Shown(LampState.UNREACHABLE, line, source.trouble)
    if source.asked_at is None:
        late = at - max(source.due_at, source.created_at) > GRACE
        line = "not asked yet: is a worker at work?" if late else "not asked yet"
        return Shown(LampState.NO_DATA, line, f"{source.name}: {line}")
    silence = at - source.asked_at
    if silence > timedelta(seconds=2 * source.every) + GRACE:
        line = f"not asked for {duration(silence)}"
        return Shown(LampState.NO_DATA, line, f"{source.name}: {line}. Is a worker at work?")
    line = f"{duration(at - (source.answered_at or source.asked_at))} ago"
    return Shown(LampState.OK, line, f"{source.name} answered {line}")
