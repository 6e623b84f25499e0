"""The auditor's screens as values: each a projection of a :class:`backend.face.book.Book`.

Every amount here is a figure of the report or a sum of lines; nothing is judged. Names that a
signed object gives in one language only stand as pairs of the same text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urlencode

from backend.audit.model import Card, Held
from backend.audit.names import card_name
from backend.audit.report import ShelfLine
from backend.face.book import Book, Figure, Query
from backend.face.lines import Count, Line, Ref, RefKind
from backend.face.lists import NOBODY, PAGE, Filter, matching
from backend.face.parts import same
from backend.face.texts import Stage
from wire.receipt import ReceiptKind

PROGRAMME_COUNTS = (Count.RELEASED, Count.ISSUED, Count.REDEEMED, Count.FORFEITED, Count.RESIDUAL,
                    Count.MOVED)  # fmt: skip
PROVIDER_COUNTS = (Count.RELEASED, Count.LOADED, Count.REDEEMED, Count.HELD, Count.PAYABLE,
                   Count.SETTLED)  # fmt: skip
PLACE_COUNTS = (Count.ISSUED, Count.LOADED, Count.REDEEMED, Count.FORFEITED, Count.RESIDUAL,
                Count.MOVED)  # fmt: skip
CARD_COUNTS = (Count.ISSUED, Count.LOADED, Count.REDEEMED, Count.FORFEITED, Count.RESIDUAL)
_REPORTED = {Count.RELEASED: "released_minor"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table of figures. ``difference`` in rupiah, None where none is computed."""

    name: tuple[str, str]
    href: str
    figures: tuple[Figure, ...]
    note: tuple[str, str] = ("", "")
    difference: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of figures under what they count, and what they add up to."""

    counts: tuple[Count, ...]
    rows: tuple[Row, ...]
    total: Row | None = None


@dataclass(frozen=True, slots=True)
class TrailStep:
    """One station of the money. ``name``: the one chosen; else ``number`` of them."""

    stage: Stage
    href: str
    name: tuple[str, str] | None
    number: int
    figure: Figure | None
    is_here: bool


@dataclass(frozen=True, slots=True)
class Basis:
    """What one figure is made of."""

    figure: Figure
    lines: tuple[Line, ...]
    page: int
    pages: int

    @property
    def is_whole(self) -> bool:
        """Whether the lines add up to the figure."""
        return self.figure.total == self.figure.amount


def place_href(place: str) -> str:
    """The page of one place."""
    return f"/tempat/{quote(place, safe='')}"


def provider_href(provider: str) -> str:
    """The page of one provider."""
    return f"/penyalur/{quote(provider, safe='')}"


def basis_href(query: Query) -> str:
    """Where a figure opens."""
    values = {
        "hitung": query.count, "program": query.programme, "penyalur": query.provider,
        "tempat": query.place, "kartu": query.card, "barang": query.good,
    }  # fmt: skip
    return "/bukti?" + urlencode({k: str(v) for k, v in values.items() if v is not None})


# --- the trail ------------------------------------------------------------


def trail(
    book: Book, here: Stage, *, programme: int | None = None, provider: str | None = None,
    place: str | None = None, card: bytes | None = None, receipt: Held | None = None,
) -> tuple[TrailStep, ...]:  # fmt: skip
    """Fund to receipt, narrowed to what is chosen."""
    report = book.report
    if programme is not None and provider is None and programme in book.programmes:
        provider = book.programmes[programme].provider
    own = card.hex() if card is not None else None
    by_provider = provider if programme is None else None
    receipts = matching(book, Filter(programme, provider, place, own))
    counts = {
        Stage.FUND: 1, Stage.PROGRAMME: len(report.programmes),
        Stage.PROVIDER: len(report.providers), Stage.PLACE: len(places(book)),
        Stage.CARD: len(book.world.cards), Stage.RECEIPT: len(receipts),
    }  # fmt: skip
    names: dict[Stage, tuple[str, str] | None] = {
        Stage.PROGRAMME: book.title(programme) if programme is not None else None,
        Stage.PROVIDER: same(provider) if provider is not None else None,
        Stage.PLACE: (same(place) if place else NOBODY) if place is not None else None,
        Stage.CARD: same(card_name(card)) if card is not None else None,
        Stage.RECEIPT: same(str(receipt.receipt.sequence)) if receipt is not None else None,
    }
    hrefs = {
        Stage.FUND: "/", Stage.PROGRAMME: f"/program/{programme}" if programme is not None else "/",
        Stage.PROVIDER: provider_href(provider) if provider is not None else "/penyalur",
        Stage.PLACE: place_href(place) if place is not None else "/tempat",
        Stage.CARD: f"/kartu/{own}" if own else "/kartu",
        Stage.RECEIPT: Filter(programme, by_provider, place, own).href(),
    }  # fmt: skip
    queries: dict[Stage, Query] = {
        Stage.FUND: Query(Count.RELEASED, programme=programme),
        Stage.PROGRAMME: Query(Count.ISSUED, programme=programme),
        Stage.PROVIDER: Query(Count.SETTLED, programme=programme, provider=by_provider),
        Stage.PLACE: Query(Count.REDEEMED, programme=programme, place=place),
        Stage.CARD: Query(
            Count.RESIDUAL, programme=programme, card=own, place=None if own else place
        ),
    }
    amount = None
    if receipt is not None:
        r = receipt.receipt
        amount = r.amount if r.kind == ReceiptKind.DEBIT else -r.amount
        queries[Stage.RECEIPT] = Query(Count.REDEEMED, programme=programme)
    if provider is not None and programme is None:
        queries[Stage.FUND] = Query(Count.RELEASED, provider=provider)
        queries[Stage.PROGRAMME] = Query(Count.ISSUED, provider=provider)
    return tuple(
        TrailStep(
            stage, hrefs[stage], names.get(stage), counts[stage],
            book.figure(queries[stage], amount if stage == Stage.RECEIPT else None)
            if stage in queries else None, stage == here,
        )
        for stage in Stage
    )  # fmt: skip


def places(book: Book) -> list[str]:
    """Every place where something stands or happened, cards not handed over last."""
    report = book.report
    found = {x.place for x in report.places} | {g.place for g in report.goods}
    return [*sorted(x for x in found if x), *(x for x in found if not x)]


# --- tables of figures ------------------------------------------------------------


def programme_table(book: Book) -> Table:
    """Per programme, what was entitled as the sum of what became of it."""
    rows = []
    for p in book.report.programmes:
        figures = tuple(
            book.figure(Query(c, programme=p.code), getattr(p, _REPORTED.get(c, c.name.lower())))
            for c in PROGRAMME_COUNTS
        )
        note = f"{p.agency} · {p.provider}"
        rows.append(Row((p.title_id, p.title_en), f"/program/{p.code}", figures, same(note),
                        p.difference_minor))  # fmt: skip
    return Table(PROGRAMME_COUNTS, tuple(rows), _total(book, PROGRAMME_COUNTS, rows))


def provider_table(book: Book) -> Table:
    """Per provider, in rupiah."""
    rows = [
        Row(same(p.provider), provider_href(p.provider), tuple(
            book.figure(Query(c, provider=p.provider), getattr(p, f"{c.name.lower()}_minor"))
            for c in PROVIDER_COUNTS), difference=p.difference_minor)
        for p in book.report.providers
    ]  # fmt: skip
    return Table(PROVIDER_COUNTS, tuple(rows), _total(book, PROVIDER_COUNTS, rows))


def place_table(book: Book) -> Table:
    """Per place, all programmes in rupiah."""
    rows = [
        Row(same(place) if place else NOBODY, place_href(place), tuple(
            book.figure(Query(c, place=place), _at_place(book, place, c)) for c in PLACE_COUNTS))
        for place in places(book)
    ]  # fmt: skip
    return Table(PLACE_COUNTS, tuple(rows), _total(book, PLACE_COUNTS, rows))


def _at_place(book: Book, place: str, count: Count) -> int:
    return sum(
        getattr(x, count.name.lower()) * book.programmes[x.code].price_minor
        for x in book.report.places
        if x.place == place
    )


def programmes_at(book: Book, place: str) -> Table:
    """One place, per programme, in units of its wallet."""
    rows = [
        Row(book.title(x.code), f"/program/{x.code}", tuple(
            book.figure(Query(c, programme=x.code, place=place), getattr(x, c.name.lower()))
            for c in PLACE_COUNTS))
        for x in book.report.places if x.place == place
    ]  # fmt: skip
    return Table(PLACE_COUNTS, tuple(rows))


def places_of(book: Book, code: int) -> Table:
    """One programme, per place, in units of its wallet."""
    rows = [
        Row(same(x.place) if x.place else NOBODY, place_href(x.place), tuple(
            book.figure(Query(c, programme=code, place=x.place), getattr(x, c.name.lower()))
            for c in PLACE_COUNTS))
        for x in book.report.places if x.code == code
    ]  # fmt: skip
    line = book.programmes[code]
    total = Row(("Semua tempat", "All places"), f"/program/{code}", tuple(
        book.figure(Query(c, programme=code), getattr(line, c.name.lower()))
        for c in PLACE_COUNTS))  # fmt: skip
    return Table(PLACE_COUNTS, tuple(rows), total)


def programmes_of(book: Book, provider: str) -> Table:
    """One provider, per programme: what it may be paid for."""
    own = [p for p in book.report.programmes if p.provider == provider]
    rows = [
        Row((p.title_id, p.title_en), f"/program/{p.code}", tuple(
            book.figure(Query(c, programme=p.code)) for c in PROVIDER_COUNTS))
        for p in own
    ]  # fmt: skip
    return Table(PROVIDER_COUNTS, tuple(rows))


def card_table(book: Book, cards: Sequence[Card]) -> Table:
    """Per card, all programmes in rupiah; sums of lines, as the report has none per card."""
    rows = tuple(
        Row(same(card_name(c.card_id)), f"/kartu/{c.card_id.hex()}", tuple(
            book.figure(Query(count, card=c.card_id.hex())) for count in CARD_COUNTS),
            _home(book, c))
        for c in cards
    )  # fmt: skip
    return Table(CARD_COUNTS, rows)


def wallet_table(book: Book, card: Card) -> Table:
    """One card, per programme."""
    rows = tuple(
        Row(book.title(book.wallets[w]), f"/program/{book.wallets[w]}", tuple(
            book.figure(Query(count, programme=book.wallets[w], card=card.card_id.hex()))
            for count in (*CARD_COUNTS, Count.MOVED)))
        for w in sorted(card.wallets() & book.wallets.keys())
    )  # fmt: skip
    return Table((*CARD_COUNTS, Count.MOVED), rows)


def _home(book: Book, card: Card) -> tuple[str, str]:
    if card.scrapped is not None:
        return "dibuang", "scrapped"
    place = book.homes.get(card.card_id, "")
    return same(place) if place else NOBODY


def _total(book: Book, counts: Iterable[Count], rows: Sequence[Row]) -> Row:
    """All rows of a table in rupiah."""
    amounts = [sum(r.figures[n].minor or r.figures[n].amount for r in rows)
               for n, _ in enumerate(counts)]  # fmt: skip
    figures = tuple(book.figure(Query(c), n) for c, n in zip(counts, amounts, strict=True))
    differences = [abs(r.difference) for r in rows if r.difference is not None]
    total = sum(differences) if differences else None
    return Row(("Semua", "All"), "/", figures, difference=total)


def more_of(book: Book, programme: int) -> list[Figure]:
    """A programme's figures beside those of its row; losses and the like only if there are any."""
    always = (Count.LOADED, Count.PAYABLE, Count.SETTLED)
    counts = (Count.LOADED, Count.HELD, Count.PAYABLE, Count.SETTLED, Count.LOSSES, Count.RETURNED)
    figures = [book.figure(Query(c, programme=programme)) for c in counts]
    return [f for f in figures if f.amount or f.query.count in always]


def goods_at(book: Book, place: str) -> list[ShelfLine]:
    """Goods of the terminals at one place."""
    return [g for g in book.report.goods if g.place == place]


def handed_at(book: Book, place: str) -> dict[str, Figure]:
    """Good → what was handed over at one place, for goods that only one terminal there has."""
    own = goods_at(book, place)
    counts = Counter(g.good for g in own)
    return {
        g.good: book.figure(Query(Count.HANDED, place=place, good=g.good), g.handed)
        for g in own
        if counts[g.good] == 1
    }


def basis(book: Book, query: Query, page: int = 1) -> Basis:
    """One page of the lines of a figure, oldest first."""
    found = sorted(book.tally(query).lines, key=lambda x: (x.time_s, x.ref.key))
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(1, page), pages)
    return Basis(reported(book, query), tuple(found[(page - 1) * PAGE : page * PAGE]), page, pages)


def reported(book: Book, query: Query) -> Figure:
    """A figure with the amount the report gives it, where it gives one."""
    return _reported(book).get(query) or book.figure(query)


@lru_cache(maxsize=1)
def _reported(book: Book) -> dict[Query, Figure]:
    """Every figure of the report's own tables, the first that names it."""
    tables = [programme_table(book), provider_table(book), place_table(book)]
    tables += [places_of(book, code) for code in book.programmes]
    found: dict[Query, Figure] = {}
    for table in tables:
        for row in [*table.rows, *([table.total] if table.total else [])]:
            for figure in row.figures:
                found.setdefault(figure.query, figure)
    return found


def line_name(book: Book, line: Line) -> tuple[str, str]:
    """What a line's item is called: a receipt of a card, or the item itself."""
    if line.ref.kind == RefKind.RECEIPT:
        held = book.held(bytes.fromhex(line.ref.key))
        if held is not None:
            return same(f"{card_name(held.receipt.card_id)} / {held.receipt.sequence}")
    return same(_paper_name(book, line))


def _paper_name(book: Book, line: Line) -> str:
    ref: Ref = line.ref
    if ref.kind == RefKind.NAMED:
        found = book.world.objects.get(bytes.fromhex(ref.key))
        number = getattr(found.payload, "number", "") if found is not None else ""
        if number:
            return str(number)
    card = f"{card_name(line.card)} / " if line.card and ref.kind != RefKind.CARD else ""
    return card + (card_name(line.card) if ref.kind == RefKind.CARD else ref.key[:8])
