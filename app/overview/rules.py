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


NAMED = 2  # teams


def where_pages_go(unconnected: Sequence[str], teams: int) -> str | None:
    """What everybody must know while a page wakes nobody; None when every team is connected.

    `unconnected` names the teams whose pages go to the sandbox pager, of so many `teams` in all.
    """
    if teams == 0:
        return "Pages go nowhere: there is no team yet, so nobody is woken."
    if not unconnected:
        return None
    if len(unconnected) == teams:
        return (
            "Pages go to the sandbox pager: no team is connected to PagerDuty, so nobody is woken."
        )
    if len(unconnected) == 1:
        return f"Pages of {unconnected[0]} go to the sandbox pager, so nobody is woken."
    named, rest = list(unconnected[:NAMED]), len(unconnected) - NAMED
    if rest > 0:
        named.append(f"{in_words(rest)} more {'team' if rest == 1 else 'teams'}")
    listed = f"{', '.join(named[:-1])} and {named[-1]}"
    return f"Pages of {listed} go to the sandbox pager, so nobody is woken."
