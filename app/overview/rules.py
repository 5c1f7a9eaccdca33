"""What Now says in sentences: pure functions."""

from collections.abc import Sequence

NUMBERS = (
    "no", "one", "two", "three", "four", "five", "six",
    "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip


def in_words(number: int) -> str:
    """`two`, and 13 from there on."""
    return NUMBERS[number] if 0 <= number < len(NUMBERS) else f"{number:,}"


def at_most(count: int, limit: int) -> str:
    """`3`, or `1,000+` for a count that stopped at its limit."""
    return f"{limit:,}+" if count >= limit else f"{count:,}"


def what_is_open(count: int, mine: int) -> str:
    """`Two incidents are open; you lead one of them.`"""
    if count == 0:
        return "No incident is open."
    said = in_words(count).capitalize()
    sentence = f"{said} incident is open" if count == 1 else f"{said} incidents are open"
    if mine == 0:
        return f"{sentence}."
    if mine == count:
        return f"{sentence}; you lead {'it' if count == 1 else 'all of them'}."
    return f"{sentence}; you lead {in_words(mine)} of them."


def what_is_left(steps: int) -> str:
    """The same while Baton is being set up and nothing is open."""
    left = "One step is" if steps == 1 else f"{in_words(steps).capitalize()} steps are"
    return f"Nothing needs you yet. {left} left until alerts come in and people are paged."


def where_pages_go(named: Sequence[str], unconnected: int, teams: int) -> str | None:
    """What everybody must know while a page wakes nobody; None when every team is connected.

    Pages of so many `unconnected` of all `teams` go to the sandbox pager. Two of them are `named`.
    """
    if teams == 0:
        return "Pages go nowhere: there is no team yet, so nobody is woken."
    if unconnected == 0:
        return None
    if unconnected == teams:
        return (
            "Pages go to the sandbox pager: no team is connected to PagerDuty, so nobody is woken."
        )
    *most, last = [*named, *_and_more(unconnected - len(named))]
    listed = f"{', '.join(most)} and {last}" if most else last
    return f"Pages of {listed} go to the sandbox pager, so nobody is woken."


def _and_more(teams: int) -> list[str]:
    if teams <= 0:
        return []
    return [f"{in_words(teams)} more {'team' if teams == 1 else 'teams'}"]
