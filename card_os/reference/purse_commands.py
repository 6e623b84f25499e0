"""Roles, life states, P1/P2 and lengths of every protected command, as data (card_os/SPEC.md).

A command is looked up by INS, then by P1. The applet refuses from this table in SPEC.md's order;
a handler starts where the table ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from card_os.reference import purse_holder, purse_issue, purse_money
from card_os.reference.purse_session import Operation
from wire.cvc import Role
from wire.entitlement import ENTITLEMENT_BYTES, SCRIPT_BYTES
from wire.purse import PIN_DIGITS, TRANSPORT_CODE_DIGITS, Ins, Life, Read, Sw

__all__ = ["COMMANDS", "Command", "Variant"]

Handler = Callable[[Operation], bytes]

ANY = frozenset(Role)
TERMINAL = frozenset({Role.TERMINAL})
SUPERVISOR = frozenset({Role.SUPERVISOR})
HANDOVER = frozenset({Role.HANDOVER})
PERSONALISER = frozenset({Role.PERSONALISER})

SESSION_LIVES = frozenset({Life.KEYED, Life.INERT, Life.ACTIVE})
ISSUED = frozenset({Life.INERT, Life.ACTIVE})
ACTIVE = frozenset({Life.ACTIVE})

NO_P2 = range(1)
PIN_P2 = range(0x80, 0x81)  # ISO 7816-4: the application's own reference data
DEBIT_BYTES, VOID_BYTES, SEQUENCE_BYTES = 52, 44, 4
MAX_PLAIN_DATA_BYTES = 239


@dataclass(frozen=True, slots=True)
class Variant:
    """One command with one P1: who may send it, when, and with how much data (both ends in)."""

    handler: Handler
    roles: frozenset[Role]
    lives: frozenset[Life]
    low_bytes: int
    high_bytes: int
    p2: range = NO_P2

    def fits(self, data_bytes: int) -> bool:
        """Whether the command's data has a length of this variant."""
        return self.low_bytes <= data_bytes <= self.high_bytes


@dataclass(frozen=True, slots=True)
class Command:
    """One INS: its variants by P1 and the status word of a wrong life state."""

    variants: dict[int, Variant]
    wrong_life: Sw = Sw.CONDITIONS_NOT_SATISFIED

    def roles(self, p1: int) -> frozenset[Role]:
        """Who may send it; for a P1 that does not exist, whoever may send any of it."""
        if p1 in self.variants:
            return self.variants[p1].roles
        return frozenset(role for v in self.variants.values() for role in v.roles)


def _one(
    handler: Handler, roles: frozenset[Role], lives: frozenset[Life], data_bytes: int,
    *, p2: range = NO_P2, wrong_life: Sw = Sw.CONDITIONS_NOT_SATISFIED,
) -> Command:  # fmt: skip
    variant = Variant(handler, roles, lives, data_bytes, data_bytes, p2)
    return Command({0: variant}, wrong_life)


_READS = {
    Read.STATE: Variant(purse_issue.read_state, ANY, SESSION_LIVES, 0, 0),
    Read.ENTITLEMENT: Variant(purse_issue.read_entitlement, ANY, ISSUED, 0, 0, range(256)),
    Read.RECEIPT: Variant(purse_issue.read_receipt, ANY, ISSUED, SEQUENCE_BYTES, SEQUENCE_BYTES),
    Read.PIN_STATEMENT: Variant(purse_issue.read_pin_statement, ANY, ISSUED, 0, 0),
    Read.SCRIPT_STATEMENT: Variant(purse_issue.read_script_statement, ANY, ISSUED, 0, 0),
}
_ACTIVATIONS = {
    0: Variant(
        purse_holder.activate_by_code, HANDOVER, frozenset({Life.INERT}),
        TRANSPORT_CODE_DIGITS + PIN_DIGITS, TRANSPORT_CODE_DIGITS + PIN_DIGITS,
    ),
    1: Variant(purse_holder.activate_by_officer, HANDOVER, ISSUED, PIN_DIGITS, PIN_DIGITS),
}  # fmt: skip
_DEBITS = {
    0: Variant(purse_money.debit, TERMINAL, ACTIVE, DEBIT_BYTES, DEBIT_BYTES),
    1: Variant(purse_money.debit, SUPERVISOR, ACTIVE, DEBIT_BYTES, DEBIT_BYTES),
}
_PERSONALISE = Variant(
    purse_issue.personalise, PERSONALISER, frozenset({Life.KEYED}),
    TRANSPORT_CODE_DIGITS + 1, MAX_PLAIN_DATA_BYTES,
)  # fmt: skip

COMMANDS: dict[int, Command] = {
    Ins.READ: Command({int(p1): v for p1, v in _READS.items()}),
    Ins.LOAD: _one(purse_money.load, ANY, ISSUED, ENTITLEMENT_BYTES),
    Ins.SCRIPT: _one(purse_holder.script, ANY, ISSUED, SCRIPT_BYTES),
    Ins.VERIFY: _one(
        purse_holder.verify, TERMINAL, ACTIVE, PIN_DIGITS, p2=PIN_P2, wrong_life=Sw.CARD_INERT
    ),
    Ins.CHANGE_PIN: _one(
        purse_holder.change_pin, TERMINAL, ACTIVE, 2 * PIN_DIGITS, p2=PIN_P2,
        wrong_life=Sw.CARD_INERT,
    ),
    Ins.ACTIVATE: Command(_ACTIVATIONS),
    Ins.DEBIT: Command(_DEBITS, Sw.CARD_INERT),
    Ins.VOID: _one(purse_money.void, SUPERVISOR, ACTIVE, VOID_BYTES),
    Ins.CONFIRM: _one(purse_money.confirm, TERMINAL | SUPERVISOR, ISSUED, SEQUENCE_BYTES),
    Ins.PERSONALISE: Command({0: _PERSONALISE}),
}  # fmt: skip
