"""Figures where a person would rather look: bars, each with its table beside it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from backend.face.book import Book, Query
from backend.face.browse import Table
from backend.face.lines import Count
from ui import show


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars. ``labels`` along the bottom; each series a label and rupiah per bar."""

    labels: tuple[tuple[str, str], ...]
    series: tuple[tuple[Count, tuple[int, ...]], ...]

    @property
    def has_any(self) -> bool:
        """Whether there is a bar to see."""
        return any(any(values) for _, values in self.series)


FLOW = (Count.REDEEMED, Count.FORFEITED, Count.RESIDUAL, Count.MOVED)


def flow_chart(table: Table) -> Chart:
    """Where each programme's entitled rupiah are now."""
    at = [table.counts.index(c) for c in FLOW]
    return Chart(
        tuple(r.name for r in table.rows),
        tuple(
            (c, tuple(r.figures[n].minor or r.figures[n].amount for r in table.rows))
            for c, n in zip(FLOW, at, strict=True)
        ),
    )


def day_chart(book: Book, query: Query) -> Chart:
    """Rupiah redeemed per day, days without any included."""
    per_day: Counter[int] = Counter()
    for line in book.tally(query).lines:
        per_day[_day_number(line.time_s)] += line.minor
    days = range(min(per_day), max(per_day) + 1) if per_day else range(0)
    labels = tuple(show.day(n * 86_400) for n in days)
    return Chart(labels, ((query.count, tuple(per_day[n] for n in days)),))


def place_chart(table: Table) -> Chart:
    """Rupiah redeemed per place."""
    at = table.counts.index(Count.REDEEMED)
    rows = [r for r in table.rows if r.figures[at].amount]
    values = tuple(r.figures[at].minor or r.figures[at].amount for r in rows)
    return Chart(tuple(r.name for r in rows), ((Count.REDEEMED, values),))


def _day_number(time_s: int) -> int:
    """Days since 1970 in western Indonesian time."""
    return (time_s + int(show.WIB.total_seconds())) // 86_400
