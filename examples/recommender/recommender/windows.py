"""Windows of requests and answers, closed one after the other, without gaps between them."""

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from recommender import model
from recommender.drift import MINIMUM_ROWS, Features, Reference, input_report, output_report

WAITS_AT_MOST = 3  # lengths of a window
KEPT = 10


class Windows:
    """Collects what is asked and shown, and closes it into drift reports.

    At night a window of one length holds too few requests to compare, so it stays open for longer;
    but not for ever: then it is told with its rows and without a value.
    """

    def __init__(self, reference: Reference, *, length: timedelta, at: datetime) -> None:
        self._reference = reference
        self._length = length
        self._lock = Lock()
        self._start = at
        self._requests: list[Features] = []
        self._shown: list[int] = []
        self._closed: deque[list[dict[str, Any]]] = deque(maxlen=KEPT)

    def asked(self, request: Features) -> None:
        with self._lock:
            self._requests.append(request)

    def answered(self, items: Sequence[int]) -> None:
        with self._lock:
            self._shown.extend(items)

    def close_if_due(self, version: str, *, at: datetime) -> bool:
        with self._lock:
            open_for = at - self._start
            has_enough = len(self._requests) >= MINIMUM_ROWS
            if open_for < self._length * (1 if has_enough else WAITS_AT_MOST):
                return False
            start, requests, shown = self._start, self._requests, self._shown
            self._start, self._requests, self._shown = at, [], []
        envelope = {
            "model": model.NAME,
            "version": version,
            "window_start": start.isoformat(),
            "window_end": at.isoformat(),
            "reference_id": self._reference.id,
            "reference_at": self._reference.taken_at,
            "source": "recommender",
        }
        inputs = {
            "kind": "input",
            "rows": len(requests),
            "report": input_report(requests, self._reference),
        }
        output = {
            "kind": "output_quality",
            "rows": len(shown),
            "report": output_report(shown, self._reference),
        }
        self._closed.append([envelope | inputs, envelope | output])
        return True

    def as_json(self) -> list[dict[str, Any]]:
        """Give the newest closed windows, the oldest of them first."""
        return [envelope for window in list(self._closed) for envelope in window]
