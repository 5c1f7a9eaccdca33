"""What can be seen of a page without taste: axe's rules, and that it fits its screen."""

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
ALL = {"resultTypes": ["violations"], "preload": False}
# Markup is the same in the dark; colours are not.
COLOURS = {**ALL, "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}


def faults(page: Page) -> list[str]:
    """What is wrong with the page at hand, in light and dark, on a desk and on a phone."""
    before = page.viewport_size
    page.evaluate(AXE_SCRIPT)
    found = []
    for where, size in (("1440 px", DESKTOP), ("390 px", PHONE)):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        found += _violations(page, ALL, f"light, {where}")
        if (over := overflow(page)) > 0:
            found.append(f"{page.url} at {where}: scrolls sideways by {over} px")
    page.set_viewport_size(before)  # type: ignore[arg-type]
    page.emulate_media(color_scheme="dark")
    found += _violations(page, COLOURS, "dark")
    page.emulate_media(color_scheme="light")
    return found


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its screen."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def _violations(page: Page, options: dict[str, Any], where: str) -> list[str]:
    results = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{page.url} in {where}: {one['id']}: {node['html'][:160]}"
        for one in results["violations"]
        for node in one["nodes"]
    ]
