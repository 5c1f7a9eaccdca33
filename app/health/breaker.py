"""Hosts that do not answer are left alone for a while, whichever of their sources is due."""

from dataclasses import dataclass
from datetime import datetime, timedelta

SILENCES = 3  # in a row, until a host is left alone
FIRST_REST, LONGEST_REST = timedelta(seconds=30), timedelta(minutes=5)


@dataclass(slots=True)
class _Silence:
    times: int
    until: datetime  # nobody asks before


class Breaker:
    """One for each worker. It forgets with its process: the next one finds out anew.

    While it is open, one look at the host is let through at the end of each rest; the others are
    told at once that it does not answer.
    """

    def __init__(self) -> None:
        self._silent: dict[str, _Silence] = {}

    def lets(self, host: str, *, at: datetime) -> bool:
        """Whether to ask this host now. The look that is let through after a rest is the probe."""
        silence = self._silent.get(host)
        if silence is None or silence.times < SILENCES:
            return True
        if at < silence.until:
            return False
        silence.until = at + _rest(silence.times)
        return True

    def was_silent(self, host: str, *, at: datetime) -> None:
        silence = self._silent.setdefault(host, _Silence(0, at))
        silence.times += 1
        silence.until = at + _rest(silence.times)

    def answered(self, host: str) -> None:
        self._silent.pop(host, None)


def _rest(silences: int) -> timedelta:
    doublings = min(max(silences - SILENCES, 0), 10)
    return min(LONGEST_REST, FIRST_REST * float(2**doublings))
