"""Bytes with names: which byte of an object is what (docs/wire.md#raw, #cvc, #cose).

Works on any bytes of the right length, also on altered ones: a part is cut by its place, its
value is read for showing only and proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from backend.audit.names import ascii_of, card_name
from backend.face.codes import code
from ui import show
from wire import cbor, tlv
from wire.cvc import CaKind
from wire.entitlement import ScriptAction
from wire.errors import WireError
from wire.receipt import Interface, ReceiptKind, StatementKind, Verification


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes at ``at``: ``name`` is a key of :data:`backend.face.texts.FIELDS` or a tag.

    ``value`` in both languages; ``target``: hex of a hash or id that may have a page.
    """

    at: int
    raw: bytes
    name: str
    value: tuple[str, str] = ("", "")
    target: str = ""

    @property
    def end(self) -> int:
        """Offset of its last byte."""
        return self.at + len(self.raw) - 1


Reader = Callable[[bytes], tuple[str, str]]


def same(text: str) -> tuple[str, str]:
    """One text for both languages."""
    return text, text


def _number(raw: bytes) -> tuple[str, str]:
    return same(show.number(int.from_bytes(raw, "big")))


def _time(raw: bytes) -> tuple[str, str]:
    return show.when(int.from_bytes(raw, "big"))


def _date(raw: bytes) -> tuple[str, str]:
    text = raw.hex()
    return same(f"{text[:4]}-{text[4:6]}-{text[6:]}")


def _card(raw: bytes) -> tuple[str, str]:
    return same(card_name(raw))


def _ascii(raw: bytes) -> tuple[str, str]:
    return same(ascii_of(raw))


def _none(_raw: bytes) -> tuple[str, str]:
    return same("")  # the hex beside it says all


def _code(kind: type[IntEnum]) -> Reader:
    def read(raw: bytes) -> tuple[str, str]:
        try:
            return code(kind(int.from_bytes(raw, "big")))
        except ValueError:
            return same("?")

    return read


def _domain(raw: bytes) -> tuple[str, str]:
    return same(f'"{raw[:3].decode("ascii", "replace")}" · {raw[3]} · {raw[4]:02x}')


def _lots(raw: bytes) -> tuple[str, str]:
    words = [int.from_bytes(raw[n : n + 4], "big") for n in range(0, len(raw), 4)]
    slots = [(words[n], words[n + 1]) for n in range(0, len(words), 2) if words[n + 1]]

    def text(language: int) -> str:
        return "; ".join(
            f"{'∞' if expires == 0xFFFFFFFF else show.day(expires)[language]}: {show.number(end)}"
            for expires, end in slots
        )

    return text(0), text(1)


Layout = tuple[tuple[str, int, Reader], ...]
_COUNTERS: Layout = (("L", 4, _number), ("D", 4, _number), ("F", 4, _number), ("R", 4, _number))
_COUNTS: Layout = (
    ("script_count", 2, _number), ("pin_set_count", 2, _number), ("bypass_count", 2, _number),
)  # fmt: skip
_END: Layout = (("signature", 64, _none),)
LAYOUTS: dict[bytes, Layout] = {
    b"R": (
        ("domain", 5, _domain), ("kind", 1, _code(ReceiptKind)), ("card_id", 8, _card),
        ("sequence", 4, _number), ("wallet", 2, _number), ("basket_version", 2, _number),
        ("amount", 4, _number), *_COUNTERS, ("terminal_id", 8, _ascii),
        ("terminal_serial", 4, _number), ("officer", 4, _number),
        ("terminal_sequence", 4, _number), ("terminal_time_s", 4, _time),
        ("intent_hash", 32, _none), ("verification", 1, _code(Verification)),
        ("interface", 1, _code(Interface)), ("entitlement_sequence", 4, _number), *_COUNTS,
        ("card_date", 4, _date), ("link", 32, _none), *_END,
    ),
    b"S": (
        ("domain", 5, _domain), ("kind", 1, _code(StatementKind)), ("card_id", 8, _card),
        ("sequence", 4, _number), ("wallet", 2, _number), *_COUNTERS,
        ("entitlement_sequence", 4, _number), *_COUNTS, ("terminal_id", 8, _ascii),
        ("terminal_serial", 4, _number), ("officer", 4, _number), ("detail", 1, _number),
        ("number", 2, _number), ("card_date", 4, _date), ("link", 32, _none), *_END,
    ),
    b"E": (
        ("domain", 5, _domain), ("card_id", 8, _card), ("certificate_hash", 16, _none),
        ("wallet", 2, _number), ("programme", 2, _number), ("entitlement_sequence", 4, _number),
        ("L", 4, _number), ("lot_count", 1, _number), ("lot_slots", 32, _lots),
        ("forfeited_through", 4, _number), ("cap", 4, _number), ("issued", 4, _date),
        ("acknowledged", 4, _number), ("settled_debited", 4, _number),
        ("settled_reversed", 4, _number), ("bypass_total", 2, _number),
        ("key_version", 2, _number), *_END,
    ),
    b"C": (
        ("domain", 5, _domain), ("card_id", 8, _card), ("number", 2, _number),
        ("action", 1, _code(ScriptAction)), ("officer", 4, _number), ("issued", 4, _date),
        ("key_version", 2, _number), *_END,
    ),
}  # fmt: skip
TARGETS = {"card_id", "terminal_id", "intent_hash", "link"}
"""Parts whose bytes name something that may have a page."""


def parts(raw: bytes) -> list[Part]:
    """The named parts of an object's bytes, in order and without a gap."""
    layout = LAYOUTS.get(raw[2:3]) if raw[:2] == b"BT" else None
    if layout is not None and len(raw) == sum(n for _, n, _ in layout):
        return list(_laid_out(raw, layout))
    try:
        if raw[:2] == b"\xd2\x84":
            return list(_cose(raw))
        if raw[:2] == b"\x7f\x21":
            return list(_certificate(raw))
    except (WireError, IndexError):
        pass  # no object of ours: shown as it is
    return [Part(0, raw, "body")] if raw else []


def receipt_parts(raw: bytes) -> list[Part]:
    """A receipt's parts by place, whatever its first bytes say."""
    return list(_laid_out(raw, LAYOUTS[b"R"]))


def _laid_out(raw: bytes, layout: Layout) -> Iterator[Part]:
    at = 0
    for name, size, read in layout:
        piece = raw[at : at + size]
        yield Part(at, piece, name, read(piece), piece.hex() if name in TARGETS else "")
        at += size


def _cose(raw: bytes) -> Iterator[Part]:
    """``D2 84 ‖ protected ‖ A0 ‖ payload ‖ signature``."""
    yield Part(0, raw[:2], "frame", same("COSE_Sign1"))
    at = 2
    for name in ("protected", "payload", "signature"):
        if name == "payload":
            yield Part(at, raw[at : at + 1], "frame", same("{}"))
            at += 1
        length, start = cbor.bytes_head(raw, at)
        yield Part(at, raw[at:start], "frame", same(f"{length} B"))
        yield Part(start, raw[start : start + length], name)
        at = start + length


def _ca(raw: bytes) -> tuple[str, str]:
    kind, version = _code(CaKind)(raw[4:5]), int.from_bytes(raw[6:], "big")
    return f"{kind[0]} {version}", f"{kind[1]} {version}"


_TAGS: dict[int, tuple[str, Reader]] = {
    0x93: ("serial", _number), 0x42: ("issuer", _ca), 0x5F20: ("subject", _card),
    0x95: ("usage", _none), 0x5F25: ("effective", _date), 0x5F24: ("expires", _date),
    0x73: ("extension", _none), 0x7F49: ("public_key", _none), 0x5F37: ("signature", _none),
}  # fmt: skip


def _certificate(raw: bytes) -> Iterator[Part]:
    """7F21 and the TLVs in it."""
    _, body, _ = tlv.read(raw)
    at = len(raw) - len(body)
    yield Part(0, raw[:at], "frame", same(f"7F21, {len(body)} B"))
    while at < len(raw):
        tag, value, end = tlv.read(raw, at)
        name, read = _TAGS.get(tag, ("body", _none))
        start = end - len(value)
        yield Part(at, raw[at:start], "frame", same(f"{tag:X}"))
        yield Part(start, value, name, read(value))
        at = end


def rows(raw: bytes, width: int = 16) -> list[tuple[int, str]]:
    """Offset and hex of each ``width`` bytes."""
    return [(at, raw[at : at + width].hex(" ")) for at in range(0, len(raw), width)]
