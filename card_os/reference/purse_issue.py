"""The commands of the desk, GENERATE KEYS and PERSONALISE, and READ (card_os/SPEC.md#commands).

Each handler raises `CardError` with SPEC.md's status word and returns the answer's data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

from card_os.reference.errors import CardError
from card_os.reference.purse_session import Operation
from card_os.reference.purse_store import CardKeys, PurseStore, Secrets
from card_os.reference.purse_trust import later
from keys.scp11 import SoftwareEcdhKey
from wire import ecdsa
from wire.cvc import CardExtension, Certificate
from wire.errors import FormatError
from wire.purse import (
    PIN_UNBLOCKS,
    TRANSPORT_CODE_DIGITS,
    TRANSPORT_CODE_TRIES,
    CardState,
    Life,
    Sw,
    WalletState,
)

__all__ = [
    "generate_keys",
    "personalise",
    "read_entitlement",
    "read_pin_statement",
    "read_receipt",
    "read_script_statement",
    "read_state",
]


def generate_keys(store: PurseStore, random: Callable[[int], bytes]) -> bytes:
    """New channel and receipt key pairs; the two public points, 130 bytes."""
    keys, card = (
        CardKeys(SoftwareEcdhKey.generate(random), SoftwareEcdhKey.generate(random)),
        (store.card),
    )
    slot = store.put_spare_keys(card, keys)
    with store.transaction():
        store.put_card(replace(card, life=Life.KEYED, key_set=slot))
    return keys.channel.public + keys.receipt.public


def personalise(op: Operation) -> bytes:
    """Transport code and card certificate: the card has a name and is INERT."""
    code, raw = op.data[:TRANSPORT_CODE_DIGITS], op.data[TRANSPORT_CODE_DIGITS:]
    if any(not 0x30 <= b <= 0x39 for b in code):
        raise CardError(Sw.WRONG_DATA, "transport code is not ASCII digits")
    card = op.store.card
    certificate = _own_certificate(op, raw)
    op.store.put_spare_certificate(raw)
    with op.store.transaction():
        op.store.put_secrets(
            Secrets(code=code, code_tries=TRANSPORT_CODE_TRIES, unblocks=PIN_UNBLOCKS)
        )
        op.store.put_card(replace(
            card,
            life=Life.INERT,
            card_id=certificate.subject,
            own_date=later(card.own_date, certificate.effective),
            head=sha256(raw).digest(),
        ))  # fmt: skip
    return bytes([Life.INERT])


def _own_certificate(op: Operation, raw: bytes) -> Certificate:
    """A card certificate of this environment over this card's own two keys, else 6A80."""
    try:
        certificate = Certificate.parse(raw)
    except FormatError as e:
        raise CardError(Sw.WRONG_DATA, str(e)) from e
    extension, keys = certificate.extension, op.store.keys(op.store.card)
    if not isinstance(extension, CardExtension) or extension.env != op.env:
        raise CardError(Sw.WRONG_DATA, "not a card certificate of this environment")
    if certificate.public_key != keys.channel.public:
        raise CardError(Sw.WRONG_DATA, "another channel key")
    if extension.receipt_key != ecdsa.compress(keys.receipt.public):
        raise CardError(Sw.WRONG_DATA, "another receipt key")
    if not certificate.subject.startswith(op.env.mark):
        raise CardError(Sw.WRONG_DATA, "card id without the environment's mark")
    return certificate


# READ


def read_state(op: Operation) -> bytes:
    """Both identities and every counter; commits own date and certificate cache first."""
    card, certificate = op.store.card, op.session.certificate
    after = replace(
        card,
        own_date=later(card.own_date, certificate.effective),
        cached_certificate=certificate.digest,
    )
    if after != card:
        with op.store.transaction():
            op.store.put_card(after)
    op.session.state_read = True
    secrets = op.store.secrets
    return bytes(CardState(
        card_id=after.card_id, terminal_id=certificate.subject, life=after.life,
        flags=after.flags, sequence=after.sequence, acknowledged=after.acknowledged,
        script_number=after.script_number, script_count=after.script_count,
        pin_set_count=after.pin_set_count, bypass_count=after.bypass_count,
        bypass_total=after.bypass_total, pin_tries=secrets.tries(after.life),
        pin_unblocks_left=secrets.unblocks, card_date=after.own_date,
        wallets=tuple(
            WalletState(w.code, w.entitlement_sequence, w.counters)
            for w in op.store.wallets(after)
        ),
    ))  # fmt: skip


def _found(data: bytes | None) -> bytes:
    if data is None:
        raise CardError(Sw.DATA_NOT_FOUND)
    return data


def read_entitlement(op: Operation) -> bytes:
    """The entitlement in force of the wallet at index P2, 166 bytes; 6A88."""
    wallets = op.store.wallets(op.store.card)
    if op.command.p2 >= len(wallets):
        raise CardError(Sw.DATA_NOT_FOUND)
    return op.store.entitlement(wallets[op.command.p2])


def read_receipt(op: Operation) -> bytes:
    """The receipt of that sequence, 210 bytes, while its slot is not spare; else 6A88."""
    return _found(op.store.receipt(op.store.card, int.from_bytes(op.data, "big")))


def read_pin_statement(op: Operation) -> bytes:
    """The newest activation or PIN-set statement, 165 bytes; 6A88."""
    return _found(op.store.statement(op.store.card.pin_statement))


def read_script_statement(op: Operation) -> bytes:
    """The newest script statement, 165 bytes; 6A88."""
    return _found(op.store.statement(op.store.card.script_statement))
