"""The failover ladder: the best answer that can be had, and which rung it came from."""

from collections.abc import Callable, Sequence

RUNGS = ("provider", "cached", "popular")


class RungFailedError(Exception):
    """This rung has no answer; the next one down may have."""


def first_answer(rungs: Sequence[tuple[str, Callable[[], list[int]]]]) -> tuple[str, list[int]]:
    """Try rung after rung from the top. The last one has to hold."""
    *upper, (last_name, last_rung) = rungs
    for name, rung in upper:
        try:
            return name, rung()
        except RungFailedError:
            continue
    return last_name, last_rung()
