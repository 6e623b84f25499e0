"""Receipts in lists: one page at a time, narrowed by what an auditor asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from backend.audit.model import Held
from backend.audit.names import card_name
from backend.face.book import Book, Query
from backend.face.lines import Count, place_of
from backend.face.parts import same
from backend.face.texts import STATES, Stage, State
from ui import show
from wire.objects import Unit
from wire.receipt import ReceiptKind

PAGE = 100
"""Rows on one page of a long list."""
NOBODY = ("Belum diserahkan", "Not handed over")


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """One receipt in a list."""

    name: str
    card: str
    card_name: str
    sequence: int
    is_debit: bool
    programme: int
    title: tuple[str, str]
    amount: int
    unit: Unit
    minor: int
    time_s: int
    place: str
    station: str
    state: State
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which receipts a list shows."""

    programme: int | None = None
    provider: str | None = None
    place: str | None = None
    card: str | None = None
    day: str | None = None
    state: State | None = None

    def href(self, **changes: object) -> str:
        """The list's address under this filter, changed."""
        f = replace(self, **changes)  # type: ignore[arg-type]
        values = {
            "program": f.programme, "penyalur": f.provider, "tempat": f.place, "kartu": f.card,
            "hari": f.day, "keadaan": f.state,
        }  # fmt: skip
        shown = {k: str(v) for k, v in values.items() if v is not None}
        return f"/struk?{urlencode(shown)}" if shown else "/struk"


@dataclass(frozen=True, slots=True)
class Facet:
    """One value by which a list can be narrowed, and how many receipts have it."""

    group: Stage | str
    name: tuple[str, str]
    number: int
    href: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class ReceiptList:
    """One page of receipts. ``amount`` is their sum in rupiah, reversals taken off."""

    filter: Filter
    rows: tuple[ReceiptRow, ...]
    number: int
    page: int
    pages: int
    facets: tuple[Facet, ...]


def receipt_row(book: Book, held: Held) -> ReceiptRow:
    """One receipt as a list shows it."""
    r = held.receipt
    code = book.wallets.get(r.wallet, 0)
    state, why = book.state(held)
    figure = book.figure(Query(Count.REDEEMED, programme=code))
    price = book.programmes[code].price_minor if code in book.programmes else 0
    return ReceiptRow(
        r.hash.hex(), r.card_id.hex(), card_name(r.card_id), r.sequence,
        r.kind == ReceiptKind.DEBIT, code, book.title(code), r.amount, figure.unit,
        r.amount * price, r.terminal_time_s, place_of(book.world, r.terminal_id),
        r.terminal_id.hex(), state, why,
    )  # fmt: skip


def matching(book: Book, f: Filter, *, state: bool = False) -> list[Held]:
    """Receipts a filter lets through, oldest first; ``state``: judge by what became of them too."""
    provider_of = {p.code: p.provider for p in book.report.programmes}
    found = []
    for held in book.world.receipts.values():
        r = held.receipt
        code = book.wallets.get(r.wallet, 0)
        if (
            (f.programme is not None and code != f.programme)
            or (f.provider is not None and provider_of.get(code) != f.provider)
            or (f.place is not None and place_of(book.world, r.terminal_id) != f.place)
            or (f.card is not None and r.card_id.hex() != f.card)
            or (f.day is not None and day_key(r.terminal_time_s) != f.day)
            or (state and f.state is not None and book.state(held)[0] != f.state)
        ):
            continue
        found.append(held)
    return sorted(found, key=lambda h: (h.receipt.terminal_time_s, h.name))


def receipts(book: Book, f: Filter, page: int = 1) -> ReceiptList:
    """One page of the receipts that a filter lets through, oldest first."""
    found = matching(book, f, state=True)
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(1, page), pages)
    rows = tuple(receipt_row(book, h) for h in found[(page - 1) * PAGE : page * PAGE])
    return ReceiptList(f, rows, len(found), page, pages, tuple(_facets(book, f, found)))


def _facets(book: Book, f: Filter, found: list[Held]) -> Iterable[Facet]:
    programmes = Counter(book.wallets.get(h.receipt.wallet, 0) for h in found)
    at = Counter(place_of(book.world, h.receipt.terminal_id) for h in found)
    states = Counter(book.state(h)[0] for h in found)
    days = Counter(h.receipt.terminal_time_s for h in found)
    per_day: Counter[str] = Counter()
    spoken: dict[str, tuple[str, str]] = {}
    for time_s, n in days.items():
        per_day[day_key(time_s)] += n
        spoken[day_key(time_s)] = show.day(time_s)
    for code, n in sorted(programmes.items()):
        chosen = f.programme == code
        yield Facet(Stage.PROGRAMME, book.title(code), n,
                    f.href(programme=None if chosen else code), chosen)  # fmt: skip
    for place, n in sorted(at.items()):
        chosen = f.place == place
        yield Facet(Stage.PLACE, same(place) if place else NOBODY, n,
                    f.href(place=None if chosen else place), chosen)  # fmt: skip
    for state, n in sorted(states.items()):
        chosen = f.state == state
        yield Facet("state", STATES[state], n, f.href(state=None if chosen else state), chosen)
    for day, n in per_day.most_common(10):
        chosen = f.day == day
        yield Facet("day", spoken[day], n, f.href(day=None if chosen else day), chosen)


def day_key(time_s: int) -> str:
    """The local day as it stands in addresses: ``2026-04-01``."""
    return show.local(time_s).date().isoformat()
