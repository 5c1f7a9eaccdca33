"""What a process does once before it works, so that no request and no batch pays for it."""

import gc

from sqlalchemy.orm import configure_mappers

# New objects between two collections. A batch of deliveries makes tens of thousands that all live
# until it is written; with Python's default of 700, looking at them takes a third of the time.
YOUNG, MIDDLE, OLD = 50_000, 20, 50


def warm_up() -> None:
    """Configure the mappers, and take all that is loaded out of the collector's sight.

    Left to the first request, the mappers keep a process a fifth of a second from answering, and
    so does each full collection over everything that was imported. Call it before gunicorn forks.
    """
    configure_mappers()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
