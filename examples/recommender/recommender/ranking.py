"""Asking the ranking provider, with a timeout and a circuit breaker around it."""

from typing import Any

import urllib3

from recommender.breaker import Breaker
from recommender.ladder import RungFailedError

FAILURES_IN_A_ROW = 5
COOL_DOWN = 2.0


class Provider:
    """The provider as the pipeline sees it: an order of items, or a rung that failed."""

    def __init__(self, url: str, *, connections: int) -> None:
        self._url = url
        # No retries: a second try would spend the budget twice, and the next rung is at hand.
        self._http = urllib3.PoolManager(maxsize=connections, retries=False)
        self.breaker = Breaker(failures=FAILURES_IN_A_ROW, cool_down=COOL_DOWN)

    def rank(self, question: dict[str, Any], *, timeout: float) -> list[int]:
        if not self.breaker.lets_through():
            raise RungFailedError
        try:
            reply = self._http.request("POST", f"{self._url}/rank", json=question, timeout=timeout)
            ranked: list[int] = reply.json()["ranked"]
        except (urllib3.exceptions.HTTPError, ValueError, KeyError) as failed:
            self.breaker.failed()
            raise RungFailedError from failed
        self.breaker.succeeded()
        return ranked
