"""LOAD, DEBIT, VOID and CONFIRM: everything that moves a counter (card_os/SPEC.md#commands).

All arithmetic is unsigned 32-bit with carry checks. Each command checks first, in SPEC.md's order
and with SPEC.md's status words (`CardError`), signs in RAM, writes the bulk body to a spare slot
and commits in one transaction (PROTOCOL.md §4). Handlers return the answer's data.
"""

from __future__ import annotations

from dataclasses import replace

from card_os.reference.errors import CardError
from card_os.reference.purse_session import Operation, add_u32, statement, sub_u32
from card_os.reference.purse_store import Card, Wallet
from card_os.reference.purse_trust import later, verify_from_issuer
from wire import raw
from wire.entitlement import CERTIFICATE_HASH_BYTES, MAX_WALLETS, Entitlement
from wire.errors import FormatError
from wire.purse import Debit, Flag, Sw, Void
from wire.raw import U32_MAX
from wire.receipt import Counters, Receipt, ReceiptKind, StatementKind, Verification

__all__ = ["confirm", "consumed", "debit", "load", "loaded_counters", "void"]

BYPASS = 1  # P1 of DEBIT


def consumed(c: Counters, sw: int) -> int:
    """D − R + F; `CardError` ``sw`` on a borrow or carry."""
    return add_u32(sub_u32(c.debited, c.reversed, sw), c.forfeited, sw)


# LOAD


def load(op: Operation) -> bytes:
    """LOAD: take an entitlement, L of this wallet is now x; the LOAD statement."""
    entitlement = _parse_entitlement(op)
    verify_from_issuer(op.store, entitlement)
    card = op.store.card
    if entitlement.acknowledged > card.sequence:
        raise CardError(Sw.ACKNOWLEDGED_AHEAD, "acknowledged beyond the card")
    wallets = op.store.wallets(card)
    index = next((i for i, w in enumerate(wallets) if w.code == entitlement.wallet), len(wallets))
    if index == MAX_WALLETS:
        raise CardError(Sw.NO_SPACE, "eight wallets already")
    before = wallets[index] if index < len(wallets) else None
    if before is not None and entitlement.sequence <= before.entitlement_sequence:
        return _load_again(op, card, before, entitlement)
    counters = loaded_counters(before.counters if before else Counters(0, 0, 0, 0), entitlement)
    after = replace(
        card,
        acknowledged=max(card.acknowledged, entitlement.acknowledged),
        bypass_total=max(card.bypass_total, entitlement.bypass_total),
        own_date=later(card.own_date, entitlement.issued),
        wallets=max(card.wallets, index + 1),
    )
    slot = op.store.put_spare_entitlement(card, entitlement.raw)
    wallet = Wallet(entitlement.wallet, entitlement.sequence, counters, entitlement.cap, slot)
    answer = _load_statement(op, after, wallet)
    with op.store.transaction():
        op.store.put_wallet(index, wallet)
        op.store.put_card(after)
    return answer


def _parse_entitlement(op: Operation) -> Entitlement:
    try:
        entitlement = Entitlement.parse(op.data)
    except FormatError as e:
        raise CardError(Sw.WRONG_DATA, str(e)) from e
    if entitlement.env != op.env or entitlement.card_id != op.store.card.card_id:
        raise CardError(Sw.WRONG_DATA, "another card's")
    if entitlement.certificate_hash != op.store.certificate_hash[:CERTIFICATE_HASH_BYTES]:
        raise CardError(Sw.WRONG_DATA, "another certificate's")
    return entitlement


def _load_again(op: Operation, card: Card, before: Wallet, again: Entitlement) -> bytes:
    """A sequence the wallet has already: the same body is answered, nothing is written."""
    if again.sequence < before.entitlement_sequence:
        raise CardError(Sw.NOT_NEWER, "entitlement sequence")
    if raw.body_of(again.raw) != raw.body_of(op.store.entitlement(before)):
        raise CardError(Sw.ENTITLEMENT_DIFFERS, "same sequence, other bytes")
    return _load_statement(op, card, before)


def loaded_counters(before: Counters, entitlement: Entitlement) -> Counters:
    """F += max(0, C − (D − R + F)), L := max(L, its L); `CardError` 6A80 on any carry."""
    spent = consumed(before, Sw.WRONG_DATA)
    lacking = max(entitlement.forfeited_through, spent) - spent
    after = replace(
        before,
        loaded=max(before.loaded, entitlement.loaded),
        forfeited=add_u32(before.forfeited, lacking, Sw.WRONG_DATA),
    )
    sub_u32(after.loaded, consumed(after, Sw.WRONG_DATA), Sw.WRONG_DATA)
    return after


def _load_statement(op: Operation, card: Card, wallet: Wallet) -> bytes:
    return statement(
        op, card, StatementKind.LOAD, wallet=wallet.code, counters=wallet.counters,
        entitlement_sequence=wallet.entitlement_sequence,
    )  # fmt: skip


# DEBIT


def debit(op: Operation) -> bytes:
    """DEBIT: take ``amount`` from a wallet, once, and say so under signature; the receipt."""
    order, card = Debit.parse(op.data), op.store.card
    verification = _check_holder(op, card)
    _check_ring(card, order)
    wallets = op.store.wallets(card)
    index = next((i for i, w in enumerate(wallets) if w.code == order.wallet), None)
    if index is None:
        raise CardError(Sw.WALLET_UNKNOWN, "no such wallet")
    wallet = wallets[index]
    if wallet.code in op.session.debited:
        raise CardError(Sw.CONDITIONS_NOT_SATISFIED, "one debit per wallet and session")
    wallet = replace(wallet, counters=_debited(wallet, order.amount))
    bypasses = 1 if verification is Verification.BYPASS else 0
    after = replace(card, bypass_count=card.bypass_count + bypasses)
    receipt = _receipt(
        op, after, wallet, order, kind=ReceiptKind.DEBIT, verification=verification,
        amount=order.amount, basket_version=order.basket_version,
    )  # fmt: skip
    _commit_receipt(op, after, receipt, index, wallet)
    op.session.debited.add(wallet.code)
    return receipt


def _check_holder(op: Operation, card: Card) -> Verification:
    """Not BLOCKED, and a verified PIN or a bypass left."""
    if Flag.BLOCKED in card.flags:
        raise CardError(Sw.CARD_BLOCKED)
    if op.command.p1 == BYPASS:
        if card.bypass_count >= card.bypass_total:
            raise CardError(Sw.BYPASS_EXHAUSTED)
        return Verification.BYPASS
    if not op.session.pin_verified:
        raise CardError(Sw.SECURITY_NOT_SATISFIED, "no PIN in this session")
    return Verification.PIN


def _check_ring(card: Card, order: Debit) -> None:
    """The terminal knows this card's end, and a void of this debit will still find room."""
    if order.expected_sequence != card.sequence:
        raise CardError(Sw.SEQUENCE_DIFFERS)
    if card.sequence > U32_MAX - 2:
        raise CardError(Sw.SEQUENCE_EXHAUSTED)
    if card.free_slots < 2:
        raise CardError(Sw.RING_FULL)


def _debited(wallet: Wallet, amount: int) -> Counters:
    """The counters after the debit; the balance is checked before and again after."""
    before = wallet.counters
    if amount == 0:
        raise CardError(Sw.WRONG_DATA, "nothing to debit")
    if amount > wallet.cap:
        raise CardError(Sw.AMOUNT_EXCEEDS_CAP)
    sw = Sw.AMOUNT_EXCEEDS_BALANCE
    if amount > sub_u32(before.loaded, consumed(before, sw), sw):
        raise CardError(sw)
    after = replace(before, debited=add_u32(before.debited, amount, sw))
    if after.debited <= before.debited or consumed(after, sw) > after.loaded:
        raise CardError(sw, "second look")
    return after


# VOID


def void(op: Operation) -> bytes:
    """VOID: take back the card's latest receipt, a debit of this terminal not yet confirmed."""
    order, card = Void.parse(op.data), op.store.card
    if order.sequence != card.sequence:
        raise CardError(Sw.SEQUENCE_DIFFERS)
    latest = _latest(op, card)
    if (
        latest is None
        or latest.kind is not ReceiptKind.DEBIT
        or latest.terminal_id != op.session.certificate.subject
        or Flag.CONFIRMED in card.flags
    ):
        raise CardError(Sw.VOID_NOT_POSSIBLE)
    if card.sequence > U32_MAX - 1:
        raise CardError(Sw.SEQUENCE_EXHAUSTED)
    if card.free_slots < 1:
        raise CardError(Sw.RING_FULL)
    wallets = op.store.wallets(card)
    index = next(i for i, w in enumerate(wallets) if w.code == latest.wallet)
    wallet = wallets[index]
    sw = Sw.VOID_NOT_POSSIBLE
    reversed_ = add_u32(wallet.counters.reversed, latest.amount, sw)
    sub_u32(wallet.counters.debited, reversed_, sw)  # R never above D
    wallet = replace(wallet, counters=replace(wallet.counters, reversed=reversed_))
    receipt = _receipt(
        op, card, wallet, order, kind=ReceiptKind.REVERSAL, verification=Verification.NONE,
        amount=latest.amount, basket_version=latest.basket_version,
    )  # fmt: skip
    _commit_receipt(op, card, receipt, index, wallet)
    return receipt


def confirm(op: Operation) -> bytes:
    """CONFIRM: the goods are handed over, the latest receipt can no longer be voided."""
    sequence, card = int.from_bytes(op.data, "big"), op.store.card
    latest = _latest(op, card)
    if (
        latest is None
        or sequence != card.sequence
        or latest.terminal_id != op.session.certificate.subject
    ):
        raise CardError(Sw.CONDITIONS_NOT_SATISFIED, "not this terminal's latest receipt")
    if Flag.CONFIRMED not in card.flags:
        with op.store.transaction():
            op.store.put_card(replace(card, flags=card.flags | Flag.CONFIRMED))
    return op.data


# The receipt


def _latest(op: Operation, card: Card) -> Receipt | None:
    data = op.store.receipt(card, card.sequence)
    return None if data is None else Receipt.parse(data)


def _receipt(
    op: Operation, card: Card, wallet: Wallet, order: Debit | Void, *, kind: ReceiptKind,
    verification: Verification, amount: int, basket_version: int,
) -> bytes:  # fmt: skip
    """The next receipt, signed; ``wallet`` is the wallet after it, ``card`` the card before."""
    certificate = op.session.certificate
    body = Receipt.encode_body(
        env=op.env, kind=kind, card_id=card.card_id, sequence=card.sequence + 1,
        wallet=wallet.code, basket_version=basket_version, amount=amount,
        counters=wallet.counters, terminal_id=certificate.subject,
        terminal_serial=certificate.serial, officer=op.session.extension.officer,
        terminal_sequence=order.terminal_sequence, terminal_time_s=order.terminal_time_s,
        intent_hash=order.intent_hash, verification=verification, interface=op.interface,
        entitlement_sequence=wallet.entitlement_sequence, script_count=card.script_count,
        pin_set_count=card.pin_set_count, bypass_count=card.bypass_count,
        card_date=card.own_date, link=card.head,
    )  # fmt: skip
    return op.store.keys(card).sign(body)


def _commit_receipt(op: Operation, card: Card, receipt: bytes, index: int, wallet: Wallet) -> None:
    """The body to the next ring slot, then everything that makes it count, at once."""
    op.store.put_spare_receipt(card, receipt)
    after = replace(
        card,
        sequence=add_u32(card.sequence, 1, Sw.SEQUENCE_EXHAUSTED),
        head=raw.body_hash(receipt),
        flags=card.flags & ~Flag.CONFIRMED,
    )
    with op.store.transaction():
        op.store.put_wallet(index, wallet)
        op.store.put_card(after)
