"""One item of the export at a time: card, station, record, signed object, entry, finding."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from enum import IntEnum
from typing import Any

from backend.audit.build import name_of
from backend.audit.findings import Alert, Finding, What, of_error
from backend.audit.load import SHAPES
from backend.audit.messages import KINDS
from backend.audit.model import Card, Place, Station
from backend.audit.names import ascii_of, card_name
from backend.face.book import Book, Paper, carried
from backend.face.browse import Table, wallet_table
from backend.face.codes import code
from backend.face.lists import ReceiptRow, receipt_row
from backend.face.parts import Part, parts, same
from keys.errors import KeysError
from ui import show
from wire import cvc
from wire.chain import IssuanceEntry, LedgerEntry
from wire.cose import Sign1
from wire.entitlement import Entitlement, Script
from wire.errors import FormatError, WireError
from wire.invariants import Invariant
from wire.objects import Programme
from wire.raw import body_hash
from wire.receipt import Receipt, Statement

SHOWN_ROWS = 200
"""More values of one field are counted, not shown."""


@dataclass(frozen=True, slots=True)
class Value:
    """One field as a reader sees it; ``href`` where it names something with a page."""

    name: str
    text: tuple[str, str]
    href: str = ""


@dataclass(frozen=True, slots=True)
class LinkTo:
    """A word that leads somewhere; ``href`` empty when the export has not what it names."""

    text: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed object with its bytes, and whether its signature held just now."""

    name: str
    title: tuple[str, str]
    values: tuple[Value, ...]
    raw: bytes
    parts: tuple[Part, ...]
    where: str
    error: What | None
    entry: int | None
    ledger: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chained:
    """A record or an entry of one of the chains.

    ``is_linked``: whether it names the one before, computed just now (None: the first).
    """

    name: str
    title: tuple[str, str]
    time_s: int
    values: tuple[Value, ...]
    raw: bytes
    hash: str
    previous: str
    is_linked: bool | None
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class CardView:
    """One card: what it was given, and everything it signed."""

    card: Card
    name: str
    family: str
    place: str
    table: Table
    receipts: tuple[ReceiptRow, ...]
    missing: tuple[int, ...]
    statements: tuple[tuple[str, tuple[str, str], int], ...]
    entitlements: tuple[tuple[str, int, int, int], ...]


# --- fields ------------------------------------------------------------


def values_of(book: Book, thing: Any) -> tuple[Value, ...]:
    """The fields of an object; ids and hashes lead where they name something."""
    found = []
    for f in fields(thing):
        if f.name in {"raw", "receipt", "statement", "item"} and _is_bytes(thing, f.name, 33):
            continue  # has a page of its own, or is shown as bytes
        found.append(_value(book, f.name, getattr(thing, f.name)))
    return tuple(found)


def _is_bytes(thing: Any, name: str, size: int) -> bool:
    value = getattr(thing, name)
    return isinstance(value, bytes) and len(value) >= size


def _value(book: Book, name: str, value: Any) -> Value:
    if isinstance(value, bytes):
        return _bytes(book, name, value)
    if name == "wallet" and isinstance(value, int):
        return Value(name, book.wallet_title(value) or same(str(value)))
    if name == "wallets":
        titles = [book.wallet_title(w) or same(str(w)) for w in value]
        return Value(name, (", ".join(t[0] for t in titles), ", ".join(t[1] for t in titles)))
    if name == "proxy":  # the one name of a person that an export can hold
        return Value(name, same(show.masked(value)))
    return Value(name, _text(name, value))


def _bytes(book: Book, name: str, value: bytes) -> Value:
    ref = book.find(value.hex())
    if len(value) == 8:
        is_card = value[:4] == book.world.trust.env.mark
        return Value(name, same(card_name(value) if is_card else ascii_of(value)),
                     ref.href if ref else "")  # fmt: skip
    text = value.hex() if len(value) <= 65 else f"{value[:16].hex()}… ({len(value)} B)"
    return Value(name, same(text), ref.href if ref else "")


def _text(name: str, value: Any) -> tuple[str, str]:
    """A value for reading: times and codes in words, lists in short."""
    if value is None:
        return same("-")
    if isinstance(value, bool):
        return ("ya", "yes") if value else ("tidak", "no")
    if isinstance(value, IntEnum):
        return code(value)
    if isinstance(value, int):
        is_time = name.endswith("_s") and not name.endswith(("age_s", "skew_s", "warn_s", "stop_s"))
        return show.when(value) if is_time else same(show.number(value))
    if isinstance(value, date):
        return same(value.isoformat())
    if isinstance(value, tuple):
        return _list(value)
    if is_dataclass(value):
        return _list(tuple(getattr(value, f.name) for f in fields(value)), ", ")
    return same(value.hex() if isinstance(value, bytes) else str(value))


def _list(items: tuple[Any, ...], join: str = " · ") -> tuple[str, str]:
    texts = [_text("", x) for x in items[:SHOWN_ROWS]]
    more = f"{join}… +{len(items) - SHOWN_ROWS}" if len(items) > SHOWN_ROWS else ""
    return join.join(t[0] for t in texts) + more, join.join(t[1] for t in texts) + more


# --- signed objects ------------------------------------------------------------


def signed(book: Book, name: bytes) -> Signed | None:
    """The object of this name, verified again; None when the export has none."""
    paper = book.papers.get(name)
    if paper is None:
        return None
    error: What | None = None
    title, values = same("?"), ()  # type: tuple[tuple[str, str], tuple[Value, ...]]
    try:
        title, thing = _parsed(paper)
        values = values_of(book, thing)
        _verify(book, name, paper)
    except (WireError, KeysError) as e:
        error = of_error(e)
    entry = book.world.names.get(name)
    return Signed(
        name.hex(), title, values, paper.raw, tuple(parts(paper.raw)), paper.where, error,
        entry.sequence if entry is not None else None, tuple(book.evidence.get(name, ())),
    )  # fmt: skip


def _parsed(paper: Paper) -> tuple[tuple[str, str], Any]:
    """What kind of object it is, and its fields, not verified."""
    raw = paper.raw
    if raw[:2] == b"BT":
        title, shape = _RAW[raw[2:3]]
        return title, shape.parse(raw)
    if raw[:2] == b"\x7f\x21":
        cert = cvc.Certificate.parse(raw)
        is_card = isinstance(cert.extension, cvc.CardExtension)
        return (("sertifikat kartu", "card certificate") if is_card else
                ("sertifikat terminal", "terminal certificate")), cert  # fmt: skip
    sign1 = Sign1.parse(raw)
    if sign1.kind not in SHAPES:
        raise FormatError("an object of another kind")
    return _kind(sign1.kind), SHAPES[sign1.kind].parse(sign1.payload)


def _kind(kind: str) -> tuple[str, str]:
    return KINDS.get(kind, same(kind))


_RAW: dict[bytes, tuple[tuple[str, str], Any]] = {
    b"R": (("struk", "receipt"), Receipt),
    b"S": (("pernyataan kartu", "statement of a card"), Statement),
    b"E": (("hak", "entitlement"), Entitlement),
    b"C": (("skrip", "script"), Script),
}


def _verify(book: Book, name: bytes, paper: Paper) -> None:
    """The signature of an object under the key of its role; raises what refuses it."""
    trust, raw = book.world.trust, paper.raw
    if raw[:3] == b"BTE":
        trust.entitlement(raw)
    elif raw[:3] == b"BTC":
        trust.script(raw)
    elif raw[:3] in {b"BTS", b"BTR"}:
        item = (Statement if raw[2:3] == b"S" else Receipt).parse(raw)
        card = book.world.cards.get(item.card_id)
        if card is None:
            raise FormatError("a card that the issuance log has not")
        item.verify(trust.card_certificate(card.certificate).receipt_key)
    elif raw[:2] == b"\x7f\x21":
        cert = cvc.Certificate.parse(raw)
        if isinstance(cert.extension, cvc.CardExtension):
            trust.card_certificate(cert)
        elif isinstance(cert.extension, cvc.LinkExtension):
            trust.link(cert)
        else:
            trust.terminal_certificate(cert)
    else:
        entry = book.world.names.get(name)
        shape = SHAPES[Sign1.parse(raw).kind]
        trust.verify(shape, raw, at_s=entry.time_s if entry else None)


# --- chains ------------------------------------------------------------


def record(book: Book, station: bytes, sequence: int) -> Chained | None:
    """One record of a station's chain."""
    own = book.world.stations.get(station)
    if own is None or sequence not in own.records:
        return None
    r = own.records[sequence]
    before = own.records.get(sequence - 1)
    linked = own.name if sequence == 1 else before.hash if before else None
    base = f"/catatan/{station.hex()}"
    inside = [
        Value("receipt" if raw[2:3] == b"R" else "statement", same(name.hex()), ref.href)
        for raw in carried(Place(station, r))
        for name in [body_hash(raw)]
        for ref in [book.find(name.hex())] if ref is not None
    ]  # fmt: skip
    return Chained(
        f"{ascii_of(station)} / {sequence}", code(r.kind), r.time_s,
        (*values_of(book, r.body), *inside), r.raw, r.hash.hex(), r.previous.hex(),
        None if linked is None else linked == r.previous,
        f"{base}/{sequence - 1}" if before else f"/terminal/{station.hex()}",
        f"{base}/{sequence + 1}" if sequence + 1 in own.records else "",
    )  # fmt: skip


def entry(book: Book, kind: str, sequence: int) -> Chained | None:
    """One entry of the ledger (``buku``) or of the issuance log (``terbit``)."""
    chain: list[LedgerEntry] | list[IssuanceEntry] = (
        book.world.ledger if kind == "buku" else book.world.issuance
    )
    if not 0 < sequence <= len(chain):
        return None
    e = chain[sequence - 1]
    before = chain[sequence - 2] if sequence > 1 else None
    title = _kind(e.kind) if isinstance(e, LedgerEntry) else code(e.kind)
    extra: list[Value] = []
    if isinstance(e, IssuanceEntry):
        name = name_of(e)
        ref = book.find(name.hex()) if name is not None else None
        if name is not None:
            extra = [Value("item", same(name.hex()), ref.href if ref else "")]
    hidden = {"sequence", "previous", "time_s", "kind", "postings", "item"}
    values = tuple(v for v in values_of(book, e) if v.name not in hidden)
    return Chained(
        str(sequence), title, e.time_s, (*values, *extra), bytes(e), e.hash.hex(),
        e.previous.hex(), None if before is None else before.hash == e.previous,
        f"/{kind}/{sequence - 1}" if sequence > 1 else "",
        f"/{kind}/{sequence + 1}" if sequence < len(chain) else "",
    )  # fmt: skip


def chained(book: Book, place: Place) -> Chained:
    """One record in a list of its chain; ``KeyError`` for a place that no chain has."""
    found = record(book, place.station, place.record.sequence)
    if found is None:
        raise KeyError(place.name)
    return found


# --- cards and stations ------------------------------------------------------------


def card_view(book: Book, card: Card) -> CardView:
    """One card."""
    return CardView(
        card, card_name(card.card_id), card.family.hex(),
        book.homes.get(card.card_id, ""), wallet_table(book, card),
        tuple(receipt_row(book, h) for _, h in sorted(card.receipts.items())),
        tuple(card.missing()),
        tuple(
            (s.statement.hash.hex(), code(s.statement.kind), s.place.record.time_s)
            for s in card.statements
        ),
        tuple(
            (i.entitlement.hash.hex(), i.entitlement.programme, i.entitlement.loaded,
             i.entry.time_s)
            for every in card.entitlements.values() for i in every
        ),
    )  # fmt: skip


def stations_at(book: Book, place: str) -> list[Station]:
    """Stations enrolled at one place."""
    return [s for _, s in sorted(book.world.stations.items()) if s.enrolment.place == place]


def programme_papers(book: Book, code: int) -> list[tuple[tuple[str, str], str, int]]:
    """The signed versions of a programme: title with its version, name, when logged."""
    return [
        ((f"{p.title_id}, versi {p.version}", f"{p.title_en}, version {p.version}"),
         o.hash.hex(), o.entry.time_s if o.entry else 0)
        for o, p in book.world.of(Programme) if p.code == code
    ]  # fmt: skip


# --- findings and alerts ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FindingView:
    """One finding with links to what shows it."""

    finding: Finding
    subject: LinkTo
    evidence: tuple[LinkTo, ...]


@dataclass(frozen=True, slots=True)
class AlertView:
    """One thing to look at, with a link to it."""

    alert: Alert
    subject: LinkTo


def findings(book: Book, language: str) -> dict[Invariant, list[FindingView]]:
    """Every finding, by invariant."""
    found: dict[Invariant, list[FindingView]] = {}
    for f in sorted(book.report.findings, key=lambda f: int(f.invariant)):
        found.setdefault(f.invariant, []).append(finding_view(book, f, language))
    return found


def finding_view(book: Book, f: Finding, language: str) -> FindingView:
    """One finding with its links."""
    names = book.names(language)
    evidence = tuple(LinkTo(_short(e), _href(book, e)) for e in f.evidence)
    return FindingView(f, LinkTo(names.subject(f.subject), _href(book, f.subject)), evidence)


def alerts(book: Book, language: str) -> dict[str, list[AlertView]]:
    """Everything to look at, by kind."""
    found: dict[str, list[AlertView]] = {}
    for a in book.report.alerts:
        subject = LinkTo(book.names(language).subject(a.subject), _href(book, a.subject))
        found.setdefault(str(a.kind), []).append(AlertView(a, subject))
    return found


def _short(name: str) -> str:
    return f"{name[:12]}…" if len(name) == 64 else name


def _href(book: Book, name: str) -> str:
    """The page of what a finding names; empty where the export has none."""
    kind, _, rest = name.partition("/")
    if kind == "objects" and "/" in rest:
        for found, paper in book.papers.items():
            if paper.where == name:
                return f"/objek/{found.hex()}"
    ref = book.find(name)
    return ref.href if ref is not None else ""
