"""How times and durations are written. Pure functions first; the template filters stand below.

The filters read the viewer's zone and the time of the page from the template's context:
`viewer_zone` (an IANA name, UTC if missing) and `at` (the moment the page was made, now if missing).
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask, before_render_template, g

from app.core.clock import now

DAY = timedelta(days=1)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def zone_named(name: str | None) -> ZoneInfo:
    """The zone of that IANA name; UTC if there is none, because a page must not fail over it."""
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def iso(moment: datetime) -> str:
    """For the `datetime` attribute of `<time>`: in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_of_day(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%H:%M")


def short_day(moment: datetime, zone: ZoneInfo, *, at: datetime) -> str:
    """`11 March`, with the year when it is another than now."""
    local = moment.astimezone(zone)
    year = "" if local.year == at.astimezone(zone).year else f" {local.year}"
    return f"{local.day} {MONTHS[local.month - 1]}{year}"


def long_day(moment: datetime, zone: ZoneInfo, *, at: datetime) -> str:
    """`Thursday 12 March`: for the day headings of a timeline."""
    return f"{WEEKDAYS[moment.astimezone(zone).weekday()]} {short_day(moment, zone, at=at)}"


def date_and_time(moment: datetime, zone: ZoneInfo, *, at: datetime) -> str:
    """`11 March 17:20`."""
    return f"{short_day(moment, zone, at=at)} {time_of_day(moment, zone)}"


def both_zones(moment: datetime, zone: ZoneInfo) -> str:
    """`Thu 12 Mar 2026, 02:51 CET · 01:51 UTC`: what hovering over a time shows."""
    local, utc = moment.astimezone(zone), moment.astimezone(UTC)
    shown = f"{_abbreviated_day(local)} {local.year}, {local:%H:%M} {zone_abbreviation(local)}"
    if local.utcoffset() == timedelta(0):
        return shown
    other_day = "" if local.date() == utc.date() else f"{_abbreviated_day(utc)}, "
    return f"{shown} · {other_day}{utc:%H:%M} UTC"


def zone_abbreviation(local: datetime) -> str:
    """`CET`; zones without letters of their own get `UTC+04`."""
    name = local.tzname() or "UTC"
    return name if name[:1].isalpha() else f"UTC{name}".replace("-", "−")


def _abbreviated_day(moment: datetime) -> str:
    weekday, month = WEEKDAYS[moment.weekday()][:3], MONTHS[moment.month - 1][:3]
    return f"{weekday} {moment.day} {month}"


def duration(length: timedelta | float) -> str:
    """`8 s`, `23 min`, `2 h 10 min`, `3 d 4 h`. Takes seconds, too."""
    seconds = int(_seconds(length))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 86400:
        return _two(seconds // 3600, "h", seconds % 3600 // 60, "min")
    return _two(seconds // 86400, "d", seconds % 86400 // 3600, "h")


def clock(length: timedelta | float) -> str:
    """`23:41`, or `1:02:03` from an hour on."""
    minutes, seconds = divmod(int(_seconds(length)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"


def ago(moment: datetime, zone: ZoneInfo, *, at: datetime) -> str:
    """`23 min ago`, `in 46 min`; a date when it is a day or more away."""
    away = at - moment
    if abs(away) >= DAY:
        return short_day(moment, zone, at=at)
    if abs(away) < timedelta(seconds=1):
        return "now"
    return f"{duration(away)} ago" if away > timedelta(0) else f"in {duration(-away)}"


def deadline(moment: datetime, zone: ZoneInfo, *, at: datetime) -> str:
    """`Sat 14 March, 2 days left`: the day and what is left until it."""
    local = moment.astimezone(zone)
    day = f"{WEEKDAYS[local.weekday()][:3]} {short_day(moment, zone, at=at)}"
    left = moment - at
    word = "left" if left >= timedelta(0) else "over"
    if abs(left) < DAY:
        return f"{day} {time_of_day(moment, zone)}, {duration(abs(left))} {word}"
    days = abs(left) // DAY
    return f"{day}, {days} {'day' if days == 1 else 'days'} {word}"


def _seconds(length: timedelta | float) -> float:
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    return max(0.0, seconds)


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"


def viewer_zone() -> ZoneInfo:
    """The zone of whoever reads the page that is being made."""
    return zone_named(g.get("viewer_zone"))


def page_time() -> datetime:
    """The moment that the page being made calls now."""
    at = g.get("page_time")
    return at if isinstance(at, datetime) else now()


def keep_viewer(context: dict[str, Any]) -> None:
    """Remember zone and time of a template's context, because macros and filters do not see it."""
    zone = context.get("viewer_zone") or getattr(context.get("current_person"), "time_zone", None)
    if zone:
        g.viewer_zone = str(zone)
    if isinstance(context.get("at"), datetime):
        g.page_time = context["at"]


def register(app: Flask) -> None:
    """Add the filters that the time macros of `web/components.html` use."""
    filters = {
        "iso": iso,
        "both_zones": lambda moment: both_zones(moment, viewer_zone()),
        "ago": lambda moment: ago(moment, viewer_zone(), at=page_time()),
        "clock": lambda moment: time_of_day(moment, viewer_zone()),
        "day": lambda moment: long_day(moment, viewer_zone(), at=page_time()),
        "when": lambda moment: date_and_time(moment, viewer_zone(), at=page_time()),
        "deadline": lambda moment: deadline(moment, viewer_zone(), at=page_time()),
        "elapsed": lambda moment: clock(page_time() - moment),
        "open_for": lambda moment: duration(page_time() - moment),
        "duration": duration,
    }
    app.jinja_env.filters.update(filters)
    app.jinja_env.globals["served_at"] = lambda: int(page_time().timestamp())

    def on_render(_app: Flask, context: dict[str, Any], **_: Any) -> None:
        keep_viewer(context)

    before_render_template.connect(on_render, app, weak=False)
