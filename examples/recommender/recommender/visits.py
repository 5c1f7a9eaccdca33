"""Who asks for recommendations, and on what page."""

from dataclasses import dataclass

import numpy as np

from recommender.catalogue import Catalogue, Ints

DEVICES = ("web", "app", "tablet")
USUAL_DEVICES = (0.55, 0.35, 0.10)
CAMPAIGN_DEVICES = (0.05, 0.93, 0.02)
NEW_USER_DAYS = 60
SWING = 0.35  # how far the traffic of day and night is from the mean


@dataclass(frozen=True)
class Visit:
    user: int
    item: int
    device: int
    session_events: int  # pages seen so far in this session


class Visitors:
    """Draws visits: somebody looks at an item that they, or people like them, have bought."""

    def __init__(self, catalogue: Catalogue, rng: np.random.Generator) -> None:
        self._catalogue = catalogue
        self._rng = rng
        is_new = catalogue.tenure_days[catalogue.buyer] < NEW_USER_DAYS
        self._anybody: Ints = np.arange(len(catalogue.buyer))
        self._new_users: Ints = np.flatnonzero(is_new)

    def draw(self, count: int, *, campaign: bool = False) -> list[Visit]:
        """Draw visits; a campaign changes who comes and how, and not what they like."""
        rng = self._rng
        purchases = rng.choice(self._new_users if campaign else self._anybody, count)
        devices = CAMPAIGN_DEVICES if campaign else USUAL_DEVICES
        columns = (
            self._catalogue.buyer[purchases],
            self._catalogue.bought[purchases],
            rng.choice(len(DEVICES), count, p=devices),
            1 + rng.poisson(2 if campaign else 6, count),
        )
        return [Visit(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
