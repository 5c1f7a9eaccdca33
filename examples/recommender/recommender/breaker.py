"""A circuit breaker: stop asking a service that keeps failing, and find out when it is back."""

from collections.abc import Callable
from threading import Lock
from time import monotonic


class Breaker:
    """Opens after several failures in a row; once in a while lets one call through to try."""

    def __init__(
        self, *, failures: int, cool_down: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._failures_allowed = failures
        self._cool_down = cool_down
        self._clock = clock
        self._lock = Lock()
        self._failures = 0
        self._next_trial: float | None = None  # none: closed

    @property
    def is_open(self) -> bool:
        return self._next_trial is not None

    def lets_through(self) -> bool:
        with self._lock:
            if self._next_trial is None:
                return True
            if self._clock() < self._next_trial:
                return False
            # One call is the trial. The next one waits, so that a dead service isn't stormed.
            self._next_trial = self._clock() + self._cool_down
            return True

    def succeeded(self) -> None:
        with self._lock:
            self._failures = 0
            self._next_trial = None

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            if self._failures >= self._failures_allowed:
                self._next_trial = self._clock() + self._cool_down
