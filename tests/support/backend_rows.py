"""Rows of the backend's tables put in by hand, for tests of one function at a time.

Nobody is alone: cards A < B < C, stations ONE < TWO < THREE and wallets on both sides of the one
asked about, so that an answer made of somebody else's rows shows. Receipts and statements are
signed with real keys.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256

from sqlalchemy import Engine
from sqlalchemy.pool import StaticPool
from sqlmodel import Session, SQLModel, create_engine, select

from backend import ledger
from backend.book import Book
from backend.models import (
    Card,
    DecisionRow,
    EntitlementRow,
    FindingRow,
    IntentRow,
    Object,
    ReceiptRow,
    ReserveRow,
    StatementRow,
    Station,
)
from keys.hierarchy import World, make_world
from keys.signer import Ed25519Signer, P256Signer, sign_object
from tests.support.backend_world import ENV, START_S, TODAY
from wire import cbor, log
from wire.entitlement import NEVER_S, Entitlement, Lot
from wire.log import Record
from wire.objects import DecisionKind, KeyRole, Programme, SignedShape, Tariff, Unit, Window
from wire.receipt import (
    Counters,
    Interface,
    Receipt,
    ReceiptKind,
    Statement,
    StatementKind,
    Verification,
)
from wire.schema import Shape

NOW_S = START_S
A, B, C = CARDS = tuple(ENV.mark + n.to_bytes(4, "big") for n in (1, 2, 3))
ONE, TWO, THREE = STATIONS = (b"TERM0001", b"TERM0002", b"TERM0003")
LOW, WALLET, HIGH = WALLETS = (0x1A01, 0x1A02, 0x1A03)
CODES = {LOW: 0x101, WALLET: 0x102, HIGH: 0x103}
CODE = CODES[WALLET]
PROVIDERS = {LOW: "Low", WALLET: "Mid", HIGH: "Top"}
_DICE = random.Random(62)  # noqa: S311 - tests repeat
KEYS = {card_id: P256Signer.generate(_DICE.randbytes) for card_id in CARDS}
LOG_KEYS = {name: Ed25519Signer.generate(_DICE.randbytes) for name in STATIONS}


@lru_cache
def people() -> World:
    """The keys of one hierarchy."""
    return make_world(ENV, random=_DICE.randbytes, now_s=NOW_S, from_s=NOW_S - 90 * 86_400)


@lru_cache
def _engine() -> Engine:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    SQLModel.metadata.create_all(engine)
    return engine


@contextmanager
def empty() -> Iterator[Session]:
    """A session over empty tables; what is done in it is undone at its end."""
    with Session(_engine()) as session:
        yield session
        session.rollback()


def name(*what: object) -> bytes:
    """Some hash of one's own."""
    return sha256(repr(what).encode()).digest()


def put(session: Session, *rows: SQLModel) -> None:
    """Add and flush."""
    session.add_all(rows)
    session.flush()


def book(session: Session) -> Book:
    """The open work of one transaction."""
    return Book(session, ENV, NOW_S)


def findings(session: Session) -> list[tuple[int, str]]:
    """(invariant, key without it) of each, oldest first."""
    rows = session.exec(select(FindingRow).order_by(FindingRow.id))  # type: ignore[arg-type]
    return [(f.invariant, f.key.removeprefix(f"{f.invariant}/")) for f in rows]


def legs(transfers: list[ledger.Transfer]) -> list[tuple[str, bytes, str, int]]:
    """(kind, evidence, the account that gets it, how much) of each."""
    return [(str(t.kind), t.evidence, t.postings[1].account, t.postings[1].amount)
            for t in transfers]  # fmt: skip


# --- who there is ---------------------------------------------------------------------------


def programme(
    session: Session, wallet: int = WALLET, *, version: int = 1, unit: Unit = Unit.PIECE,
    cap: int = 50, bypass_total: int = 3, stocked: bool = True, code: int | None = None,
    windows: tuple[Window, ...] = (), tariffs: tuple[Tariff, ...] = (Tariff(1, 2, ()),),
) -> Programme:  # fmt: skip
    """The signed programme of a wallet."""
    code = code or CODES[wallet]
    shape = Programme(code, version, "Dinas", "Bantuan", "Aid", wallet, unit, PROVIDERS[wallet],
                      cap, bypass_total, 0, stocked, windows, tariffs)  # fmt: skip
    signed(session, shape, f"{code}/{version}")
    return shape


def signed(session: Session, shape: SignedShape, called: str) -> bytes:
    """Keep an object signed by whoever may; its hash."""
    made = sign_object(people().signer(shape.SIGNER), shape, ENV)
    put(session, Object(kind=shape.KIND, payload=bytes(shape), raw=bytes(made), hash=made.hash,
                        name=called))  # fmt: skip
    return made.hash


def programmes(session: Session) -> None:
    """One for each wallet."""
    for wallet in WALLETS:
        programme(session, wallet)


def digest(card_id: bytes) -> bytes:
    """Of a card's certificate."""
    return name("certificate", card_id)


def cards(session: Session, **columns: object) -> list[Card]:
    """A, B and C."""
    return [card(session, card_id, **columns) for card_id in CARDS]


def card(session: Session, card_id: bytes = B, **columns: object) -> Card:
    """One card."""
    key = KEYS[card_id].public_key if card_id in KEYS else bytes(65)
    values: dict[str, object] = {
        "card_id": card_id, "environment": int(ENV), "certificate": b"", "receipt_key": key,
        "digest": digest(card_id), "family": card_id * 2, "order_hash": name("order", card_id),
        "issued_s": NOW_S,
    }  # fmt: skip
    row = Card(**(values | columns))
    put(session, row)
    return row


def stations(session: Session) -> list[Station]:
    """ONE, TWO and THREE."""
    return [station(session, n) for n in STATIONS]


def station(session: Session, called: bytes = TWO, **columns: object) -> Station:
    """One terminal; nothing of its log has come."""
    values: dict[str, object] = {
        "station": called, "environment": int(ENV), "kind": 1, "area": "*", "place": "Balai",
        "log_key": LOG_KEYS[called].public_key, "enrolment": b"", "head": name("station", called),
    }  # fmt: skip
    row = Station(**(values | columns))
    put(session, row)
    return row


# --- what cards sign ------------------------------------------------------------------------


def receipt(
    sequence: int, amount: int = 10, *, card_id: bytes = B, wallet: int = WALLET,
    kind: ReceiptKind = ReceiptKind.DEBIT, counters: tuple[int, int, int, int] | None = None,
    terminal: bytes = TWO, **changes: object,
) -> Receipt:  # fmt: skip
    """A receipt; ``counters``: L, D, F, R after it. Its intent is the terminal's of 10 × its own
    sequence."""
    c = counters or (1000, amount, 0, 0 if kind == ReceiptKind.DEBIT else amount)
    fields: dict[str, object] = {
        "env": ENV, "kind": kind, "card_id": card_id, "sequence": sequence, "wallet": wallet,
        "basket_version": 1, "amount": amount, "counters": Counters(*c), "terminal_id": terminal,
        "terminal_serial": 1, "officer": 0, "terminal_sequence": 10 * sequence,
        "terminal_time_s": NOW_S, "intent_hash": name("intent", terminal, 10 * sequence),
        "verification": Verification.PIN, "interface": Interface.CONTACT,
        "entitlement_sequence": 1, "script_count": 0, "pin_set_count": 1, "bypass_count": 0,
        "card_date": TODAY, "link": bytes(32),
    }  # fmt: skip
    body = Receipt.encode_body(**(fields | changes))  # type: ignore[arg-type]
    return Receipt.parse(body + KEYS[card_id].sign(body))


def held(session: Session, of: Receipt, **columns: object) -> ReceiptRow:
    """Its row, as if it had come before."""
    row = row_of(of, **columns)
    put(session, row)
    return row


def row_of(of: Receipt, **columns: object) -> ReceiptRow:
    """The row of a receipt, in no session."""
    c = of.counters
    values: dict[str, object] = {
        "hash": of.hash, "environment": int(ENV), "card_id": of.card_id, "sequence": of.sequence,
        "kind": int(of.kind), "wallet": of.wallet, "amount": of.amount, "loaded": c.loaded,
        "basket_version": of.basket_version, "debited": c.debited, "forfeited": c.forfeited,
        "reversed": c.reversed, "terminal": of.terminal_id, "raw": of.raw, "arrived_s": NOW_S,
        "terminal_sequence": of.terminal_sequence, "terminal_time_s": of.terminal_time_s,
        "intent_hash": of.intent_hash,
    }  # fmt: skip
    return ReceiptRow(**(values | columns))


def statement(
    kind: StatementKind, *, card_id: bytes = B, wallet: int = WALLET, sequence: int = 0,
    counters: tuple[int, int, int, int] = (0, 0, 0, 0), **changes: object,
) -> Statement:  # fmt: skip
    """A statement of a card."""
    fields: dict[str, object] = {
        "env": ENV, "kind": kind, "card_id": card_id, "sequence": sequence, "wallet": wallet,
        "counters": Counters(*counters), "entitlement_sequence": 1, "script_count": 0,
        "pin_set_count": 1, "bypass_count": 0, "terminal_id": TWO, "terminal_serial": 1,
        "officer": 7, "detail": 0, "number": 0, "card_date": TODAY, "link": bytes(32),
    }  # fmt: skip
    body = Statement.encode_body(**(fields | changes))  # type: ignore[arg-type]
    return Statement.parse(body + KEYS[card_id].sign(body))


def stated(session: Session, of: Statement) -> None:
    """Its row."""
    put(session, StatementRow(hash=of.hash, card_id=of.card_id, kind=int(of.kind),
                              number=of.number, raw=of.raw))  # fmt: skip


# --- what the office signs ------------------------------------------------------------------


def entitlement(
    session: Session, loaded: int, *, card_id: bytes = B, wallet: int = WALLET, sequence: int = 1,
    lots: tuple[Lot, ...] = (), key_version: int = 1, **changes: object,
) -> Entitlement:  # fmt: skip
    """An entitlement and its row."""
    fields: dict[str, object] = {
        "env": ENV, "card_id": card_id, "certificate_hash": digest(card_id)[:16],
        "wallet": wallet, "programme": CODES[wallet], "sequence": sequence, "loaded": loaded,
        "lots": lots or (Lot(NEVER_S, loaded),), "forfeited_through": 0, "cap": 50,
        "issued": TODAY, "acknowledged": 0, "settled_debited": 0, "settled_reversed": 0,
        "bypass_total": 3, "key_version": key_version,
    }  # fmt: skip
    body = Entitlement.encode_body(**(fields | changes))  # type: ignore[arg-type]
    issuer = people().signer(KeyRole.ISSUER)
    made = Entitlement.parse(body + issuer.sign(body))
    put(session, EntitlementRow(
        hash=made.hash, card_id=card_id, wallet=wallet, sequence=sequence, loaded=loaded,
        programme=made.programme, forfeited_through=made.forfeited_through,
        acknowledged=made.acknowledged, raw=made.raw))  # fmt: skip
    return made


def decision(
    session: Session, kind: DecisionKind, amount: int = 0, *, card_id: bytes = B,
    wallet: int = WALLET, first: int = 0, last: int = 0, **columns: object,
) -> DecisionRow:  # fmt: skip
    """A decision's row."""
    called = name("decision", kind, amount, card_id, wallet, first, last)
    row = DecisionRow(
        hash=called,
        kind=int(kind),
        card_id=card_id,
        wallet=wallet,
        first=first,
        last=last,
        amount=amount,
        **columns,
    )  # type: ignore[arg-type]
    put(session, row)
    return row


def reserve(
    session: Session, amount: int, *, card_id: bytes = B, wallet: int = WALLET, lost: int = 0,
    holders: tuple[bytes, ...] = (TWO,),
) -> ReserveRow:  # fmt: skip
    """A reserve of some stations."""
    row = ReserveRow(card_id=card_id, wallet=wallet, programme=CODES[wallet], amount=amount,
                     lost=lost, holders=cbor.encode([*holders]))  # fmt: skip
    put(session, row)
    return row


# --- what stations write --------------------------------------------------------------------


def intent(
    session: Session, sequence: int, *, at: bytes = TWO, card_id: bytes = B, **columns: object
) -> IntentRow:
    """An intent of 10 from the wallet, expecting the card's sequence of a tenth of its own."""
    values: dict[str, object] = {
        "station": at, "sequence": sequence, "hash": name("intent", at, sequence),
        "card_id": card_id, "expected": sequence // 10 - 1, "wallet": WALLET, "amount": 10,
        "basket_version": 1,
    }  # fmt: skip
    row = IntentRow(**(values | columns))
    put(session, row)
    return row


def record(sequence: int, body: Shape, time_s: int = NOW_S) -> Record:
    """A record of this body; it links to nothing."""
    return Record.make(sequence, bytes(32), time_s, body)


def asked(card_id: bytes = B, expected: int = 0, amount: int = 10, *, wallet: int = WALLET,
          hotlist: int = 0) -> log.Intent:  # fmt: skip
    """The body of an INTENT."""
    return log.Intent(card_id, digest(card_id), wallet, amount, 1, (), expected, 1, 0, 1, 1,
                      hotlist, "")  # fmt: skip
