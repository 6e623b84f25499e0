"""The paper a family takes home: lines as data, Indonesian with an English line beneath.

Every outcome of a transaction is printed, failed and unknown ones too (PROTOCOL.md §6). The card
id is masked; there is no name and no number of a person on the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from terminal.outcomes import (
    NotRedeemed,
    NotVoided,
    Outcome,
    Redeemed,
    RedeemUnknown,
    Voided,
    VoidUnknown,
)
from ui.show import amount, when
from wire.env import Environment
from wire.objects import Programme, Unit
from wire.receipt import Receipt, Verification

COLUMNS = 32


class Style(Enum):
    """How a line is set."""

    PLAIN = "plain"
    TITLE = "title"
    STRONG = "strong"
    SMALL = "small"


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its text, at most :data:`COLUMNS` characters, and its style."""

    text: str
    style: Style = Style.PLAIN


@dataclass(frozen=True, slots=True)
class Context:
    """What the paper says besides the outcome. ``programme`` is the wallet's, if known."""

    env: Environment
    station: bytes
    place: str
    time_s: int
    programme: Programme | None
    card_id: bytes
    card_sequence: int | None = None
    balance: int | None = None


_KEEP = "Simpan kertas ini."
_PAPER: dict[type[Outcome], tuple[str, str]] = {
    Redeemed: (f"BERHASIL. Kartu membayar. {_KEEP}", "The card has paid. Keep this paper."),
    NotRedeemed: ("GAGAL. Kartu tidak membayar; saldo tetap.", "Failed. The card paid nothing."),
    RedeemUnknown: (
        "BELUM PASTI. Bila saldo berkurang dan barang belum diterima, tunjukkan kertas ini.",
        "Not known yet. If the balance fell without goods, show this paper.",
    ),
    Voided: (f"DIBATALKAN. Saldo kembali. {_KEEP}", "Voided. The balance is back."),
    NotVoided: ("TIDAK DIBATALKAN. Saldo tetap.", "Not voided. The balance is unchanged."),
    VoidUnknown: (
        "PEMBATALAN BELUM PASTI. Tunjukkan kertas ini pada kunjungan berikut.",
        "Void not known yet. Show this paper at the next tap.",
    ),
}
PRINTED = (Redeemed, NotRedeemed, RedeemUnknown, Voided, NotVoided, VoidUnknown)


def masked(card_id: bytes) -> str:
    """The card (its id of 8 bytes) by the last four digits of its serial."""
    return f"****{int.from_bytes(card_id[4:], 'big') % 10_000:04d}"


def slip(outcome: Outcome, context: Context) -> tuple[Line, ...]:
    """The lines for an outcome of :data:`PRINTED`."""
    unit = context.programme.unit if context.programme else None
    lines = [Line("KARTU HUMA BETANG SEJAHTERA", Style.TITLE), *_banner(context.env)]
    lines += _wrapped(context.place)
    lines += [_pair("Mesin", _ascii(context.station)), _pair("Waktu", when(context.time_s)[0])]
    lines.append(_pair("Kartu", masked(context.card_id)))
    if context.programme is not None:
        lines += _wrapped(context.programme.title_id, Style.STRONG)
        lines += _wrapped(context.programme.title_en, Style.SMALL)
    match outcome:
        case Redeemed() | Voided():
            lines += _moved(outcome, unit)
        case _:
            lines += _unmoved(context, unit)
    indonesian, english = _PAPER[type(outcome)]
    lines += [Line("-" * COLUMNS), *_wrapped(indonesian, Style.STRONG)]
    lines += _wrapped(english, Style.SMALL)
    return tuple(lines)


def _banner(env: Environment) -> list[Line]:
    """What no paper without value may lack (a specimen, training, DEMO)."""
    lines = []
    if env.is_specimen:
        lines.append(Line("//// LATIHAN - KARTU CONTOH ////", Style.TITLE))
    if env.is_demo:
        lines.append(Line("==== DEMO - BUKAN BANTUAN ====", Style.TITLE))
    return lines


def _moved(outcome: Redeemed | Voided, unit: Unit | None) -> list[Line]:
    receipt, unit = outcome.receipt, outcome.unit if isinstance(outcome, Redeemed) else unit
    label = "Diambil" if isinstance(outcome, Redeemed) else "Dikembalikan"
    lines = [
        _pair("No. bukti", str(receipt.sequence)),
        _pair("Saldo sebelum", amount(outcome.before, unit)[0]),
        _pair(label, amount(receipt.amount, unit)[0]),
        _pair("Saldo sesudah", amount(outcome.after, unit)[0]),
    ]
    goods = outcome.lines if isinstance(outcome, Redeemed) else ()
    lines += [_pair(f"  {g.good}", amount(g.quantity, g.unit)[0]) for g in goods]
    lines.append(_pair("Verifikasi", _verified(receipt)))
    lines.append(_pair("Tanda", receipt.hash.hex()[:12]))
    return lines


def _verified(receipt: Receipt) -> str:
    names = {Verification.PIN: "PIN", Verification.BYPASS: "pengawas", Verification.NONE: "-"}
    return names[receipt.verification]


def _unmoved(context: Context, unit: Unit | None) -> list[Line]:
    sequence = "?" if context.card_sequence is None else str(context.card_sequence)
    balance = "?" if context.balance is None else amount(context.balance, unit)[0]
    return [_pair("Bukti terakhir", sequence), _pair("Saldo terakhir", balance)]


def _ascii(raw: bytes) -> str:
    return raw.decode("ascii", "replace").strip("\0 ")


def _pair(label: str, value: str) -> Line:
    room = COLUMNS - len(label) - 1
    return Line(f"{label} {value[:room]:>{room}}")


def _wrapped(words: str, style: Style = Style.PLAIN) -> list[Line]:
    """Broken at spaces; a word longer than the paper is broken within."""
    lines, line = [], ""
    for word in words.split():
        rest = word
        if line and len(line) + 1 + len(rest) > COLUMNS:
            lines.append(line)
            line = ""
        while len(rest) > COLUMNS:
            lines.append(rest[:COLUMNS])
            rest = rest[COLUMNS:]
        line = f"{line} {rest}".strip()
    return [Line(x, style) for x in [*lines, line] if x]
