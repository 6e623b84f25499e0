"""Tables. What comes from outside is validated by wire and :mod:`backend.importing`, not here.

Every row that carries an environment refers to the one row of ``world``: a database belongs to
one environment for ever (PROTOCOL.md §2). Times are Unix seconds, money whole rupiah, wallet
amounts in the wallet's unit.
"""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Integer, LargeBinary, Text
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.orm.attributes import manager_of_class
from sqlmodel import Field, SQLModel

ENVIRONMENTS = "environment IN (1, 2, 129, 130)"


def big(**options: Any) -> Any:
    """A number beyond 31 bits (PostgreSQL's integer ends there)."""
    return Field(sa_type=BigInteger, **options)


def blob(**options: Any) -> Any:
    """Bytes."""
    return Field(sa_type=LargeBinary, **options)


def long_text(**options: Any) -> Any:
    """Text without a limit."""
    return Field(sa_type=Text, **options)


def env() -> Any:
    """The environment: the database's own, and no other."""
    return Field(sa_type=Integer, sa_column_args=(ForeignKey("world.environment"),))


def _check(rule: str, name: str) -> CheckConstraint:
    return CheckConstraint(rule, name=name)


T = TypeVar("T", bound=SQLModel)


def fresh(kind: type[T], /, **columns: Any) -> T:
    """A new row of every column, made as one that is loaded is: ten times as fast as ``kind()``.

    Raises :class:`TypeError` unless exactly the columns of ``kind`` are given.
    """
    if columns.keys() != kind.model_fields.keys():
        raise TypeError(f"{kind.__name__}: not its columns")
    row: T = manager_of_class(kind).new_instance()
    row.__dict__.update(columns)
    return row


class World(SQLModel, table=True):
    """One row: whose database this is; it is also the lock of every writing transaction."""

    __table_args__ = (_check(ENVIRONMENTS, "world_environment"), _check("id = 1", "world_one"))
    id: int = Field(primary_key=True)
    environment: int = Field(unique=True)
    epoch: int = Field(default=1)


class Family(SQLModel, table=True):
    """One accepted household. Personal data: read by the desk only, never logged."""

    family: bytes = blob(primary_key=True)
    no_kk: str = Field(unique=True, repr=False)
    nik: str = Field(unique=True, repr=False)
    name: str = Field(repr=False)
    sex: str = Field(repr=False)
    birth_date: str = Field(repr=False)
    village_code: str = Field(index=True)
    address: str = Field(repr=False)
    members: int
    decile: int
    flags: str
    visited: str = ""
    """The newest visit's decision in words; empty when nobody went yet."""


class Reject(SQLModel, table=True):
    """One counted reject of an import; without personal data."""

    id: int | None = Field(default=None, primary_key=True)
    file_hash: bytes = blob(index=True)
    line_no: int
    reason: str
    column: str


class Object(SQLModel, table=True):
    """A signed object by hash; a draft (no ``raw``) was asked for and is not yet signed."""

    __tablename__ = "object"
    id: int | None = Field(default=None, primary_key=True)
    kind: str = Field(index=True)
    payload: bytes = blob()
    hash: bytes | None = blob(default=None, unique=True, nullable=True)
    raw: bytes | None = blob(default=None, nullable=True)
    name: str = Field(default="", index=True)
    """What it is called outside: the key that makes importing it twice harmless."""


class Plan(SQLModel, table=True):
    """A programme's data that no signed object carries: rules, rounds, lots (JSON)."""

    code: int = Field(primary_key=True)
    ident: str = Field(unique=True)
    wallet: int = Field(unique=True)
    plan: str = long_text()


class Row(SQLModel, table=True):
    """One decree row; ``entitlement`` names what it funded, once (invariant 18)."""

    __tablename__ = "decree_row"
    __table_args__ = (
        _check("amount > 0 AND value_minor >= 0", "decree_row_amount"),
        Unique("decree", "row", name="decree_row_once"),
    )
    id: int | None = Field(default=None, primary_key=True)
    decree: bytes = blob()
    row: int = big()
    family: bytes = blob(index=True)
    programme: int = Field(index=True)
    amount: int = big()
    value_minor: int = big(default=0)
    funded: bool = False
    entitlement: bytes | None = blob(default=None, nullable=True)


class Fund(SQLModel, table=True):
    """What was released for a programme, and what of it is taken by decree rows."""

    __table_args__ = (
        _check("released_minor >= 0 AND allocated_minor >= 0", "fund_not_negative"),
        _check("allocated_minor <= released_minor", "fund_never_exceeded"),
    )
    programme: int = Field(primary_key=True)
    released_minor: int = big(default=0)
    allocated_minor: int = big(default=0)


class Issuance(SQLModel, table=True):
    """The issuance log."""

    sequence: int = big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    hash: bytes = blob()
    kind: int = Field(index=True)
    key: bytes = blob(unique=True)
    """SHA-256 of the entry without its place: appending the same again is harmless."""
    raw: bytes = blob()


class Ledger(SQLModel, table=True):
    """The ledger's chain; postings stand beside it."""

    sequence: int = big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    hash: bytes = blob()
    kind: str
    evidence: bytes = blob(index=True)
    raw: bytes = blob()


class PostingRow(SQLModel, table=True):
    """One leg of an entry."""

    __tablename__ = "posting"
    id: int | None = Field(default=None, primary_key=True)
    sequence: int = big(index=True)
    account: str = Field(index=True)
    good: str
    amount: int = big()


class Head(SQLModel, table=True):
    """A signed head of either chain (COSE)."""

    __tablename__ = "head"
    id: int | None = Field(default=None, primary_key=True)
    kind: str
    sequence: int = big()
    raw: bytes = blob()


class Card(SQLModel, table=True):
    """A certified card."""

    __table_args__ = (
        _check(ENVIRONMENTS, "card_environment"),
        _check("acknowledged >= 0", "card_acknowledged"),
    )
    card_id: bytes = blob(primary_key=True)
    environment: int = env()
    certificate: bytes = blob()
    digest: bytes = blob()
    receipt_key: bytes = blob()
    family: bytes = blob(index=True)
    predecessor: bytes | None = blob(default=None, nullable=True)
    order_hash: bytes = blob(index=True)
    issued_s: int = big()
    scrapped: bool = False
    blocked_version: int = big(default=0)
    """The hotlist version that first named it; 0 for none."""
    acknowledged: int = big(default=0)
    card_date: int = Field(default=20000101)
    script_count: int = 0
    pin_set_count: int = 0
    active: bool = False


class EntitlementRow(SQLModel, table=True):
    """An entitlement as released; cumulative, one sequence per (card, wallet)."""

    __tablename__ = "entitlement"
    __table_args__ = (
        _check("loaded >= 0 AND forfeited_through >= 0", "entitlement_amounts"),
        Unique("card_id", "wallet", "sequence", name="entitlement_once"),
    )
    hash: bytes = blob(primary_key=True)
    card_id: bytes = blob(index=True)
    wallet: int
    sequence: int = big()
    programme: int
    loaded: int = big()
    forfeited_through: int = big()
    acknowledged: int = big()
    cause: bytes | None = blob(default=None, nullable=True)
    cause_row: int | None = big(default=None, nullable=True)
    raw: bytes = blob()


class ScriptRow(SQLModel, table=True):
    """A script as released."""

    __tablename__ = "script"
    __table_args__ = (Unique("card_id", "number", name="script_once"),)
    hash: bytes = blob(primary_key=True)
    card_id: bytes = blob(index=True)
    number: int
    action: int
    raw: bytes = blob()


class Station(SQLModel, table=True):
    """A terminal or desk and how far its chain is held."""

    station: bytes = blob(primary_key=True)
    environment: int = env()
    kind: int
    log_key: bytes = blob()
    area: str
    place: str
    enrolment: bytes = blob()
    last: int = big(default=0)
    head: bytes = blob()
    """Hash of the record at ``last``; of the enrolment when ``last`` is 0."""
    last_time_s: int = big(default=0)
    lost: bytes | None = blob(default=None, nullable=True)
    """Hash of the TERMINAL_LOST that closed it."""
    lost_last: int = big(default=0)
    hotlist_version: int = big(default=0)
    synced_s: int = big(default=0)
    pending: bytes = blob(default=b"")
    """CBOR array of the intents its newest SYNC listed as open."""
    bundle_counter: int = big(default=0)


class Certificate(SQLModel, table=True):
    """A terminal or officer certificate."""

    digest: bytes = blob(primary_key=True)
    station: bytes = blob(index=True)
    serial: int = big()
    role: int
    officer: int = big()
    effective: int = big()
    expires: int = big()
    raw: bytes = blob()


class Upload(SQLModel, table=True):
    """An accepted upload, its bytes as they came, and the answer."""

    id: int | None = Field(default=None, primary_key=True)
    station: bytes = blob(index=True)
    first: int = big()
    last: int = big()
    digest: bytes = blob(unique=True)
    raw: bytes = blob()
    ack: bytes = blob()
    arrived_s: int = big()


class RecordRow(SQLModel, table=True):
    """One record of a station's chain."""

    __tablename__ = "record"
    station: bytes = blob(primary_key=True)
    sequence: int = big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    hash: bytes = blob()
    kind: int
    time_s: int = big()
    raw: bytes = blob()


class IntentRow(SQLModel, table=True):
    """What became of an intent or a void of one station."""

    __tablename__ = "intent"
    station: bytes = blob(primary_key=True)
    sequence: int = big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    hash: bytes = blob()
    void_of: int | None = big(default=None, nullable=True)
    card_id: bytes = blob(index=True)
    expected: int = big()
    wallet: int = 0
    amount: int = big(default=0)
    basket_version: int = 0
    on_counter: bool = False
    hotlist_version: int = big(default=0)
    receipt: bytes | None = blob(default=None, nullable=True)
    aborted: bool = False
    delivered: bytes | None = blob(default=None, nullable=True)
    returned: bytes | None = blob(default=None, nullable=True)
    given_back: bytes | None = blob(default=None, nullable=True)


class ReceiptRow(SQLModel, table=True):
    """A proven receipt: one body per (card, sequence), ever (invariant 3)."""

    __tablename__ = "receipt"
    __table_args__ = (
        _check(ENVIRONMENTS, "receipt_environment"),
        _check("amount > 0 AND loaded >= 0 AND debited >= 0 AND forfeited >= 0 AND reversed >= 0",
               "receipt_amounts"),
        Unique("card_id", "sequence", name="receipt_once"),
    )  # fmt: skip
    hash: bytes = blob(primary_key=True)
    environment: int = env()
    card_id: bytes = blob()
    sequence: int = big()
    kind: int
    wallet: int
    amount: int = big()
    basket_version: int
    loaded: int = big()
    debited: int = big()
    forfeited: int = big()
    reversed: int = big()
    terminal: bytes = blob(index=True)
    terminal_sequence: int = big()
    terminal_time_s: int = big()
    intent_hash: bytes = blob()
    raw: bytes = blob()
    arrived_s: int = big()
    lost: int = big(default=0)
    """What of its amount was drawn above what was ever entitled, or late: a recorded loss."""
    held: str = ""
    """Why it is not payable, in code words joined by a comma; empty when it is."""


class StatementRow(SQLModel, table=True):
    """A proven statement."""

    __tablename__ = "statement"
    hash: bytes = blob(primary_key=True)
    card_id: bytes = blob(index=True)
    kind: int
    number: int
    raw: bytes = blob()


class WalletState(SQLModel, table=True):
    """Highest counters proven for one wallet of one card; each only ever grows."""

    __tablename__ = "wallet_state"
    __table_args__ = (
        _check("loaded >= 0 AND debited >= 0 AND forfeited >= 0 AND reversed >= 0",
               "wallet_state_amounts"),
    )  # fmt: skip
    card_id: bytes = blob(primary_key=True)
    wallet: int = Field(primary_key=True)
    loaded: int = big(default=0)
    debited: int = big(default=0)
    forfeited: int = big(default=0)
    reversed: int = big(default=0)


class Payable(SQLModel, table=True):
    """What a provider is owed for one debit, and which settlement paid it."""

    __table_args__ = (_check("amount_minor >= 0", "payable_amount"),)
    receipt: bytes = blob(primary_key=True)
    provider: str = Field(index=True)
    programme: int
    amount_minor: int = big()
    ledger_sequence: int = big()
    settlement: bytes | None = blob(default=None, nullable=True)
    undone_sequence: int | None = big(default=None, nullable=True)
    undone_evidence: bytes | None = blob(default=None, nullable=True)
    undone_settlement: bytes | None = blob(default=None, nullable=True)


class Hold(SQLModel, table=True):
    """A reason to hold a receipt that is not written in its own chain (dispute, clone, finding)."""

    __table_args__ = (Unique("receipt", "why", name="hold_once"),)
    id: int | None = Field(default=None, primary_key=True)
    receipt: bytes = blob(index=True)
    why: str
    evidence: bytes = blob()


class DecisionRow(SQLModel, table=True):
    """A signed decision; ``used`` when an entitlement stands on it."""

    __tablename__ = "decision"
    __table_args__ = (_check("amount >= 0", "decision_amount"),)
    hash: bytes = blob(primary_key=True)
    kind: int
    card_id: bytes = blob(index=True)
    wallet: int
    first: int = big()
    last: int = big()
    amount: int = big()
    new_card: bytes | None = blob(default=None, nullable=True)
    used: bool = False


class ReserveRow(SQLModel, table=True):
    """What moved from a lost card before every station knew it was lost (backend/reserves.py)."""

    __tablename__ = "reserve"
    __table_args__ = (_check("amount >= 0", "reserve_amount"),)
    card_id: bytes = blob(primary_key=True)
    wallet: int = Field(primary_key=True)
    programme: int
    amount: int = big(default=0)
    lost: int = big(default=0)
    """Net recorded losses since it was booked."""
    holders: bytes = blob()
    """CBOR array of the stations it still waits for; empty when it is over."""


class FindingRow(SQLModel, table=True):
    """A violation of one named invariant (PROTOCOL.md §7); counted once by its key."""

    __tablename__ = "finding"
    __table_args__ = (_check("invariant BETWEEN 1 AND 19", "finding_invariant"),)
    id: int | None = Field(default=None, primary_key=True)
    invariant: int
    key: str = Field(unique=True)
    evidence: bytes = blob()
    owner: str
    severity: str
    detail: str
    opened_s: int = big()


class BundleRow(SQLModel, table=True):
    """A bundle made for a station; ``entries`` maps its cards to hashes, for deltas."""

    __tablename__ = "bundle"
    station: bytes = blob(primary_key=True)
    counter: int = big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    content: bytes = blob()
    entries: bytes = blob()
    time_s: int = big()


class Tally(SQLModel, table=True):
    """How often something happened that leaves nothing else behind (an upload come twice)."""

    name: str = Field(primary_key=True)
    value: int = big(default=0)
