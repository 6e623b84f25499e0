"""Finds the papers of one receipt in a book, and has :mod:`backend.face.proof` check them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from backend.audit.model import Card, Place
from backend.audit.names import ascii_of, card_name
from backend.audit.steps import events, is_contiguous
from backend.face.book import Book
from backend.face.codes import code
from backend.face.lists import ReceiptRow, receipt_row
from backend.face.parts import Part, receipt_parts
from backend.face.proof import Check, Outcome, Papers, prove
from wire import cvc
from wire.chain import LedgerEntry
from wire.errors import WireError
from wire.objects import Acknowledgement
from wire.raw import body_hash
from wire.receipt import Receipt

FLIP = 0x01
"""Which bit of a byte is turned round for showing."""


@dataclass(frozen=True, slots=True)
class Signer:
    """One key on the way from the root to a signature. ``href``: the paper that gives it."""

    role: tuple[str, str]
    name: str
    key: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A link of the chain of hashes: its name, and the page of what it names."""

    sequence: int
    name: str
    href: str


@dataclass(frozen=True, slots=True)
class ReceiptView:
    """One receipt: its bytes, and the checks just made on them.

    ``row`` is None for one that was set aside. ``altered``: offset of the byte turned round in
    these bytes, for showing; None for the receipt as it is. ``where``: (file, offset in it).
    """

    name: str
    row: ReceiptRow | None
    raw: bytes
    parts: tuple[Part, ...]
    checks: tuple[Check, ...]
    signers: tuple[Signer, ...]
    before: Neighbour | None
    after: Neighbour | None
    records: tuple[str, ...]
    entries: tuple[LedgerEntry, ...]
    findings: tuple[int, ...]
    where: tuple[str, int] | None
    altered: int | None = None

    @property
    def failing(self) -> int:
        """How many checks do not hold."""
        return sum(c.outcome == Outcome.FAILS for c in self.checks)

    @property
    def is_unreadable(self) -> bool:
        """Whether the bytes did not even read as a receipt."""
        return self.checks[0].outcome == Outcome.FAILS

    @property
    def is_proven(self) -> bool:
        """Whether no check failed."""
        return all(c.outcome != Outcome.FAILS for c in self.checks)

    @property
    def body_hash(self) -> str:
        """The name these bytes have, altered or not."""
        return body_hash(self.raw).hex()


def receipt_view(book: Book, name: bytes, altered: int | None = None) -> ReceiptView | None:
    """The receipt of this hash, proven or set aside; None when the export has none.

    ``altered``: turn one bit of this byte round in a copy first.
    """
    held = book.held(name)
    paper = book.papers.get(name)
    if held is None and (paper is None or paper.raw[:3] != b"BTR"):
        return None
    raw = held.receipt.raw if held is not None else paper.raw if paper is not None else b""
    place = held.place if held is not None else _place(book, paper.where if paper else "")
    where = _offset(book, raw, place) if place is not None else None
    shown = raw
    if altered is not None and 0 <= altered < len(raw):
        shown = raw[:altered] + bytes([raw[altered] ^ FLIP]) + raw[altered + 1 :]
    papers = papers_of(book, raw, place)
    before, after = _neighbours(book, raw)
    places = [held.place, *held.also] if held is not None else [place] if place else []
    about = {name.hex(), held.name if held is not None else ""}
    return ReceiptView(
        name=name.hex(),
        row=receipt_row(book, held) if held is not None else None,
        raw=shown,
        parts=tuple(receipt_parts(shown)),
        checks=tuple(prove(book.world.trust, replace(papers, receipt=shown))),
        signers=tuple(_signers(book, papers)),
        before=before,
        after=after,
        records=tuple(p.name for p in places),
        entries=tuple(book.world.ledger[n - 1] for n in book.evidence.get(name, ())),
        findings=tuple(
            n for n, f in enumerate(book.report.findings)
            if f.subject in about or about & set(f.evidence)
        ),
        where=where,
        altered=altered if shown is not raw else None,
    )  # fmt: skip


def _place(book: Book, where: str) -> Place | None:
    station, _, sequence = where.partition("/")
    try:
        own = book.world.stations[bytes.fromhex(station)]
        return Place(own.station, own.records[int(sequence)])
    except (ValueError, KeyError):
        return None


def _offset(book: Book, raw: bytes, place: Place) -> tuple[str, int] | None:
    """In which file of the export, and where in it, these bytes lie."""
    for file in book.export.uploads:
        if file.name.startswith(place.station.hex()) and place.record.raw in file.raw:
            return f"uploads/{file.name}", file.raw.index(place.record.raw) + (
                place.record.raw.index(raw))  # fmt: skip
    return None


# --- papers ------------------------------------------------------------


def papers_of(book: Book, raw: bytes, place: Place | None) -> Papers:
    """Every paper that says something about a receipt, by what the receipt itself names."""
    statements = book.world.trust.trust_file().statements
    try:
        r = Receipt.parse(raw)
    except WireError:
        return Papers(raw, statements)
    card = book.world.cards.get(r.card_id)
    if card is None:
        return Papers(raw, statements)
    own = book.world.stations.get(r.terminal_id)
    intent = own.records.get(r.terminal_sequence) if own else None
    issued = card.entitlement(r.wallet, r.entitlement_sequence)
    found = book.world.certificates.get((r.terminal_id, r.terminal_serial))
    previous, following = card.receipts.get(r.sequence - 1), card.receipts.get(r.sequence + 1)
    before, has_before = _before(card, r)
    at, log = card.entry.sequence, book.export.issuance
    carrier = book.world.stations[place.station] if place is not None else None
    enrolment = book.papers.get(carrier.name) if carrier else None
    upload, ack = _home(book, place) if place is not None else (None, None)
    return Papers(
        raw, statements,
        issued=log[at - 1] if at <= len(log) else None,
        issued_next=log[at] if at < len(log) else None,
        previous=previous.receipt.raw if previous else None,
        following=following.receipt.raw if following else None,
        before=before, has_before=has_before,
        entitlement=issued.entitlement.raw if issued else None,
        terminal_certificate=found[0].raw if found else None,
        intent=intent.raw if intent else None,
        record=place.record.raw if place else None,
        enrolment=enrolment.raw if enrolment else None,
        enrolled_s=carrier.entry.time_s if carrier and carrier.entry else None,
        upload=upload, acknowledgement=ack, has_next=r.sequence < card.newest,
    )  # fmt: skip


def _before(card: Card, r: Receipt) -> tuple[bytes | None, bool]:
    """The newest item of this wallet before it, and whether there has to be one."""
    earlier = [e.item for e in events(card, r.wallet) if e.item.sequence < r.sequence]
    at = earlier[-1].sequence if earlier else 0
    if not is_contiguous(card, at, r):
        return None, True  # what lies between may have moved the counters
    return (earlier[-1].raw, True) if earlier else (None, False)


def _home(book: Book, place: Place) -> tuple[bytes | None, bytes | None]:
    """The upload a record came home in, and the office's acknowledgement of it."""
    sequence = place.record.sequence
    for first, last, raw in book.uploads.get(place.station.hex(), []):
        if not (first <= sequence <= last and place.record.raw in raw):
            continue
        for o, ack in book.world.of(Acknowledgement):
            if (ack.station, ack.last) == (place.station, last) and o.hash in book.papers:
                return raw, book.papers[o.hash].raw
        return raw, None
    return None, None


def _neighbours(book: Book, raw: bytes) -> tuple[Neighbour | None, Neighbour | None]:
    """What it links to, and what links to it."""
    try:
        r = Receipt.parse(raw)
    except WireError:
        return None, None
    card = book.world.cards.get(r.card_id)
    if card is None:
        return None, None
    following = card.receipts.get(r.sequence + 1)
    after = None
    if following is not None:
        name = following.receipt.hash.hex()
        after = Neighbour(r.sequence + 1, name, f"/struk/{name}")
    named = card.receipts.get(r.sequence - 1)
    if named is None:
        digest = card.certificate.digest.hex()
        return (Neighbour(0, digest, f"/objek/{digest}") if r.sequence == 1 else None), after
    name = named.receipt.hash.hex()
    return Neighbour(r.sequence - 1, name, f"/struk/{name}"), after


def _signers(book: Book, papers: Papers) -> list[Signer]:
    """Root, card CA and card; then the issuer of the right and the terminal that asked."""
    trust = book.world.trust
    found = [Signer(("kunci akar", "root key"), "", trust.root_key.hex())]
    try:
        r = Receipt.parse(papers.receipt)
        card = book.world.cards[r.card_id]
    except (WireError, KeyError):
        return found
    cert = card.certificate
    issuer = cert.issuer
    ca = code(cvc.CaKind.CARD_CA)
    stated = next(s for s in trust.statements() if s.role.name == "CARD_CA"
                  and s.version == issuer.version)  # fmt: skip
    found.append(Signer(ca, f"{bytes(issuer)[:4].decode()} {issuer.version}",
                        stated.public_key.hex()))  # fmt: skip
    found.append(Signer(("kartu", "card"), card_name(card.card_id), card.receipt_key.hex(),
                        f"/objek/{cert.digest.hex()}"))  # fmt: skip
    issued = card.entitlement(r.wallet, r.entitlement_sequence)
    if issued is not None:
        e = issued.entitlement
        found.append(Signer(code(cvc.CaKind.ISSUER), str(e.key_version),
                            "", f"/objek/{e.hash.hex()}"))  # fmt: skip
    terminal = book.world.certificates.get((r.terminal_id, r.terminal_serial))
    if terminal is not None:
        digest = terminal[0].digest.hex()
        found.append(Signer(("terminal", "terminal"), ascii_of(r.terminal_id),
                            terminal[0].public_key.hex(), f"/objek/{digest}"))  # fmt: skip
    return found
