"""What one purse command works on: the session in RAM, and the operation handed to a handler.

SPEC.md#select and MUTUAL AUTHENTICATE say when the session's RAM is wiped.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from card_os.reference.errors import CardError
from card_os.reference.purse_store import Card, PurseStore
from keys.securechannel import CardMessaging
from wire.apdu import CommandApdu
from wire.cvc import Certificate, Role, TerminalExtension
from wire.env import Environment
from wire.purse import InstallParameters, Sw
from wire.raw import U32_MAX
from wire.receipt import Counters, Interface, Statement, StatementKind

__all__ = ["Operation", "Session", "add_u32", "statement", "sub_u32"]


@dataclass(slots=True)
class Session:
    """One SCP11a session; RAM, gone at SELECT, reset, or the first wrong MAC."""

    certificate: Certificate
    messaging: CardMessaging = field(repr=False)
    state_read: bool = False
    pin_verified: bool = False
    debited: set[int] = field(default_factory=set)  # wallets debited in this session

    @property
    def extension(self) -> TerminalExtension:
        """Role and officer of the certificate."""
        extension = self.certificate.extension
        if not isinstance(extension, TerminalExtension):
            raise CardError(Sw.SECURITY_NOT_SATISFIED, "not a terminal certificate")
        return extension

    @property
    def role(self) -> Role:
        """The one role of the certificate."""
        return self.extension.role


@dataclass(frozen=True, slots=True)
class Operation:
    """One protected command past every check of the table."""

    store: PurseStore
    anchors: InstallParameters
    session: Session
    command: CommandApdu
    interface: Interface

    @property
    def env(self) -> Environment:
        """The card's environment."""
        return self.anchors.env

    @property
    def data(self) -> bytes:
        """The command's data."""
        return self.command.data


def add_u32(a: int, b: int, sw: int) -> int:
    """``a + b`` in 32 bits; `CardError` ``sw`` on a carry."""
    total = a + b
    if total > U32_MAX:
        raise CardError(sw, "carry")
    return total


def sub_u32(a: int, b: int, sw: int) -> int:
    """``a − b``; `CardError` ``sw`` on a borrow."""
    if b > a:
        raise CardError(sw, "borrow")
    return a - b


_NO_COUNTERS = Counters(0, 0, 0, 0)


def statement(
    op: Operation, card: Card, kind: StatementKind, *, detail: int = 0, number: int = 0,
    wallet: int = 0, counters: Counters = _NO_COUNTERS, entitlement_sequence: int = 0,
) -> bytes:  # fmt: skip
    """A signed statement (wire.md#statement); ``card`` is the card as the command leaves it."""
    certificate = op.session.certificate
    body = Statement.encode_body(
        env=op.env, kind=kind, card_id=card.card_id, sequence=card.sequence, wallet=wallet,
        counters=counters, entitlement_sequence=entitlement_sequence,
        script_count=card.script_count, pin_set_count=card.pin_set_count,
        bypass_count=card.bypass_count, terminal_id=certificate.subject,
        terminal_serial=certificate.serial, officer=op.session.extension.officer, detail=detail,
        number=number, card_date=card.own_date, link=card.head,
    )  # fmt: skip
    return op.store.keys(card).sign(body)
