"""A serving API that is scraped, and the memory of whoever scrapes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from app.health.rules import Lane, Observation
from app.health.sources.base import Answer, CountWatch, Page, Totals, Watch
from app.health.sources.openmetrics import OpenMetrics

NEAR = timedelta(minutes=10)
TEXT = "text/plain"


@dataclass
class Scraper:
    """Scrapes pages at moments, and keeps the totals as Baton does."""

    start: datetime
    kept: list[Totals] = field(default_factory=list)

    def history(self, moment: datetime) -> Totals | None:
        near = [each for each in self.kept if moment - NEAR < each.at <= moment]
        return max(near, key=lambda each: each.at, default=None)

    def scrape(
        self,
        page: str | bytes | Page,
        *specs: Mapping[str, Any],
        after: float = 0,
        window: int = 300,
        counts: Sequence[CountWatch] = (),
        kind: str = TEXT,
    ) -> Answer:
        """Read a page some seconds after the start."""
        if not isinstance(page, Page):
            page = Page(200, kind, page.encode() if isinstance(page, str) else page)
        watches = [
            Watch(number, "shop-similar", Lane.OTHER, spec, window)
            for number, spec in enumerate(specs)
        ]
        answer = OpenMetrics().read(
            watches, counts, lambda *_, **__: page, self.history,
            options={}, now=self.start + timedelta(seconds=after),
        )  # fmt: skip
        if answer.totals is not None:
            self.kept.append(answer.totals)
        return answer

    def watch(
        self, pages: Sequence[tuple[float, str]], spec: Mapping[str, Any], window: int = 300
    ) -> Observation:
        """What a panel shows after the last of these pages, each at its second."""
        for after, page in pages:
            answer = self.scrape(page, spec, after=after, window=window)
        return answer.observations[0]


def histogram(name: str, counts: Mapping[str, float], **labels: str) -> str:
    """A page with a histogram: its buckets by their ends, and how many events there were."""
    written = "".join(f'{label}="{value}",' for label, value in labels.items())
    lines = [f'{name}_bucket{{{written}le="{end}"}} {count}' for end, count in counts.items()]
    total = counts.get("+Inf", 0)
    return "\n".join([*lines, f"{name}_count{{{written}}} {total}", ""])
