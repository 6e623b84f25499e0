"""The holder's PIN, the hand-over, and the issuer's scripts (card_os/SPEC.md#commands).

A try counter falls in a transaction of its own before the comparison: a tear there costs a try
and never gives one. Each handler checks in SPEC.md's order, raises `CardError` with SPEC.md's
status word, and returns the answer's data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hmac import compare_digest

from card_os.reference.errors import CardError
from card_os.reference.purse_session import Operation, statement
from card_os.reference.purse_store import Card, Secrets
from card_os.reference.purse_trust import later, verify_from_issuer
from wire.entitlement import Script, ScriptAction
from wire.errors import FormatError
from wire.purse import PIN_DIGITS, TRANSPORT_CODE_DIGITS, Flag, Life, Sw, pin_too_simple
from wire.raw import U16_MAX
from wire.receipt import PinSetPath, StatementKind

__all__ = ["activate_by_code", "activate_by_officer", "change_pin", "script", "verify"]


def verify(op: Operation) -> bytes:
    """VERIFY: compare the PIN; the result holds for this session."""
    op.session.pin_verified = False
    _refuse_blocked(op.store.card)
    _digits(op.data)
    secrets = _match_pin(op, op.data)
    _restore(op, secrets)
    op.session.pin_verified = True
    return bytes([secrets.pin_tries])


def change_pin(op: Operation) -> bytes:
    """CHANGE PIN: a new PIN for the old one."""
    op.session.pin_verified = False
    card = op.store.card
    _refuse_blocked(card)
    _digits(op.data)
    _refuse_count_end(card)
    old, new = op.data[:PIN_DIGITS], op.data[PIN_DIGITS:]
    secrets = _match_pin(op, old)
    _acceptable(op, new, secrets)
    answer = _set_pin(op, new, secrets, card, kind=StatementKind.PIN_SET, detail=PinSetPath.CHANGE)
    op.session.pin_verified = True
    return answer


def activate_by_code(op: Operation) -> bytes:
    """ACTIVATE, P1 00: hand-over of an INERT card to whoever has its transport code."""
    card = op.store.card
    _refuse_blocked(card)
    _digits(op.data)
    _refuse_count_end(card)
    code, pin = op.data[:TRANSPORT_CODE_DIGITS], op.data[TRANSPORT_CODE_DIGITS:]
    secrets = _match_code(op, code)
    _acceptable(op, pin, secrets)
    return _set_pin(op, pin, secrets, card, kind=StatementKind.ACTIVATION, detail=0)


def activate_by_officer(op: Operation) -> bytes:
    """ACTIVATE, P1 01: once after PIN_RESET, by the officer it names (6985 for another)."""
    card = op.store.card
    pending = Flag.PIN_RESET_PENDING in card.flags and card.reset_officer != 0
    if not pending or op.session.extension.officer != card.reset_officer:
        raise CardError(Sw.CONDITIONS_NOT_SATISFIED, "no PIN reset for this officer")
    _digits(op.data)
    _refuse_count_end(card)
    secrets = op.store.secrets
    if pin_too_simple(op.data):
        raise CardError(Sw.PIN_TOO_SIMPLE)
    return _set_pin(op, op.data, secrets, card, kind=StatementKind.PIN_SET, detail=PinSetPath.RESET)


def _refuse_blocked(card: Card) -> None:
    if Flag.BLOCKED in card.flags:
        raise CardError(Sw.CARD_BLOCKED)


def _refuse_count_end(card: Card) -> None:
    if card.pin_set_count >= U16_MAX:
        raise CardError(Sw.SEQUENCE_EXHAUSTED, "no PIN set left to count")


def _digits(data: bytes) -> None:
    if any(not 0x30 <= b <= 0x39 for b in data):
        raise CardError(Sw.WRONG_DATA, "not ASCII digits")


def _match_pin(op: Operation, given: bytes) -> Secrets:
    """The secrets with the tries restored, not yet written; 6983 or 63Cx."""
    secrets = op.store.secrets
    left = secrets.pin_tries - 1
    _match(op, given, secrets.pin, left, lambda: replace(secrets, pin_tries=left))
    return secrets.restored(Life.ACTIVE)


def _match_code(op: Operation, given: bytes) -> Secrets:
    """The same for the transport code."""
    secrets = op.store.secrets
    left = secrets.code_tries - 1
    _match(op, given, secrets.code, left, lambda: replace(secrets, code_tries=left))
    return secrets.restored(Life.INERT)


def _match(
    op: Operation, given: bytes, stored: bytes, left: int, counted: Callable[[], Secrets]
) -> None:
    if left < 0:
        raise CardError(Sw.AUTHENTICATION_BLOCKED)
    with op.store.transaction():
        op.store.put_secrets(counted())
    if not compare_digest(given, stored) or not compare_digest(stored, given):
        raise CardError(Sw.VERIFICATION_FAILED | left)


def _restore(op: Operation, secrets: Secrets) -> None:
    with op.store.transaction():
        op.store.put_secrets(secrets)


def _acceptable(op: Operation, pin: bytes, matched: Secrets) -> None:
    """Refuse a simple PIN; the match before it still gives the tries back."""
    if pin_too_simple(pin):
        _restore(op, matched)
        raise CardError(Sw.PIN_TOO_SIMPLE)


def _set_pin(
    op: Operation, pin: bytes, secrets: Secrets, card: Card, *, kind: StatementKind, detail: int
) -> bytes:
    """PIN, tries, count, life, pending and the statement: one transaction."""
    activates = kind is StatementKind.ACTIVATION or detail == PinSetPath.RESET
    after = replace(card, pin_set_count=card.pin_set_count + 1, life=Life.ACTIVE)
    if activates:
        after = replace(after, flags=card.flags & ~Flag.PIN_RESET_PENDING, reset_officer=0)
        secrets = replace(secrets, code=bytes(TRANSPORT_CODE_DIGITS), code_tries=0)
    answer = statement(op, after, kind, detail=detail)
    slot = op.store.put_spare_statement(card, answer)
    with op.store.transaction():
        op.store.put_secrets(replace(secrets, pin=pin).restored(Life.ACTIVE))
        op.store.put_card(replace(after, pin_statement=slot))
    return answer


# SCRIPT


def script(op: Operation) -> bytes:
    """SCRIPT: one order of the issuer, executed once (940E when it is not newer)."""
    card = op.store.card
    try:
        order = Script.parse(op.data)
    except FormatError as e:
        raise CardError(Sw.WRONG_DATA, str(e)) from e
    if order.env != op.env or order.card_id != card.card_id:
        raise CardError(Sw.WRONG_DATA, "another card's")
    verify_from_issuer(op.store, order)
    if order.number <= card.script_number:
        raise CardError(Sw.NOT_NEWER, "script number")
    after, secrets = _carry_out(order, card, op.store.secrets)
    after = replace(
        after,
        script_number=order.number,
        script_count=card.script_count + 1,
        own_date=later(card.own_date, order.issued),
    )
    answer = statement(op, after, StatementKind.SCRIPT, detail=order.action, number=order.number)
    slot = op.store.put_spare_statement(card, answer)
    with op.store.transaction():
        op.store.put_secrets(secrets)
        op.store.put_card(replace(after, script_statement=slot))
    return answer


def _carry_out(order: Script, card: Card, secrets: Secrets) -> tuple[Card, Secrets]:
    match order.action:
        case ScriptAction.BLOCK:
            return replace(card, flags=card.flags | Flag.BLOCKED), secrets
        case ScriptAction.UNBLOCK:
            return replace(card, flags=card.flags & ~Flag.BLOCKED), secrets
        case ScriptAction.PIN_RESET:
            flags = card.flags | Flag.PIN_RESET_PENDING
            return replace(card, flags=flags, reset_officer=order.officer), secrets
        case ScriptAction.PIN_UNBLOCK:
            if secrets.unblocks == 0:
                raise CardError(Sw.CONDITIONS_NOT_SATISFIED, "no PIN unblock left")
            restored = secrets.restored(card.life)
            return card, replace(restored, unblocks=secrets.unblocks - 1)
