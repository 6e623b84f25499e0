"""Verification as pure functions over bytes, which any process may run (invariants 1, 16, 19).

What the database knows (log keys, receipt keys) is handed in; nothing here reads or writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backend.errors import UploadRefusedError
from wire.env import Environment
from wire.errors import FormatError, SignatureInvalidError, WireError
from wire.log import Collected, Handover, Load, Pin, Receipted, ScriptDone, Upload
from wire.objects import UploadHead, open_signed
from wire.receipt import Receipt, Statement

CardItem = Receipt | Statement


@dataclass(frozen=True, slots=True)
class Bad:
    """An item that does not verify: the invariant it breaks and why."""

    invariant: int
    why: str


def parse_upload(raw: bytes) -> Upload:
    """The upload, its chain and head consistent; :class:`UploadRefusedError`."""
    try:
        return Upload.parse(raw)
    except WireError as e:
        raise UploadRefusedError(str(e)) from e


def check_upload(upload: Upload, log_key: bytes, env: Environment) -> Upload:
    """The upload if the station's log key (32 bytes) signed its head in this environment.

    :class:`UploadRefusedError`.
    """
    try:
        head = open_signed(UploadHead, upload.signed_head.raw, log_key, env)
    except WireError as e:
        raise UploadRefusedError(str(e)) from e
    if head != upload.head:
        raise UploadRefusedError("the head is another")
    return upload


def items_of(upload: Upload) -> list[bytes]:
    """Every receipt and statement that the records carry, in order."""
    found = []
    for record in upload.records:
        match record.body:
            case Receipted():
                found.append(record.body.receipt)
            case Load() | ScriptDone() | Pin() | Handover():
                found.append(record.body.statement)
            case Collected():
                found.append(record.body.item)
    return found


def parse_item(raw: bytes) -> CardItem:
    """A receipt or a statement, by its domain string; ``WireError``. No signature is checked."""
    return Receipt.parse(raw) if raw[2:3] == b"R" else Statement.parse(raw)


def card_of(raw: bytes) -> bytes | None:
    """The card an item names; None when it cannot be read."""
    try:
        return parse_item(raw).card_id
    except WireError:
        return None


def verify_items(
    items: Iterable[bytes], receipt_keys: Mapping[bytes, bytes], env: Environment
) -> dict[bytes, CardItem | Bad]:
    """Each item verified under the certificate registered for its card, or why it is not."""
    return {raw: _verify(raw, receipt_keys, env) for raw in items}


def _verify(raw: bytes, receipt_keys: Mapping[bytes, bytes], env: Environment) -> CardItem | Bad:
    try:
        item = parse_item(raw)
        if item.env != env:
            return Bad(16, f"environment {item.env:#04x}")
        key = receipt_keys.get(item.card_id)
        if key is None:
            return Bad(19, "no certificate of this card stands in the issuance log")
        return item.verify(key)
    except (FormatError, SignatureInvalidError) as e:
        return Bad(1, str(e))
