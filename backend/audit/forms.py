"""Figures, times and quantities as a person writes them, in Indonesian or English.

For the printed page alone; screens have :mod:`ui.show`, which the auditor may not use.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from wire.objects import Unit

WIB = timezone(timedelta(hours=7), "WIB")
MONTHS = {
    "id": ["Jan", "Feb", "Mar", "Apr", "Mei", "Jun", "Jul", "Agu", "Sep", "Okt", "Nov", "Des"],
    "en": ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
}
UNITS: dict[Unit, tuple[str, str]] = {
    Unit.RUPIAH: ("rupiah", "rupiah"),
    Unit.GRAM: ("g", "g"),
    Unit.MILLILITRE: ("ml", "ml"),
    Unit.PIECE: ("buah", "pieces"),
    Unit.VISIT: ("kunjungan", "visits"),
    Unit.BASKET: ("paket", "baskets"),
}
LARGE = {Unit.GRAM: "kg", Unit.MILLILITRE: "l"}
"""What a thousand of a unit is called."""


def number(amount: int, language: str = "id") -> str:
    """``1.234.567``; in English ``1,234,567``."""
    text = f"{amount:,}"
    return text if language == "en" else text.replace(",", ".")


def rupiah(amount: int, language: str = "id") -> str:
    """``Rp150.000``."""
    return f"{'-' if amount < 0 else ''}Rp{number(abs(amount), language)}"


def quantity(amount: int, unit: Unit | None, language: str = "id") -> str:
    """``5 kg``, ``1,5 l``, ``20 paket``, ``Rp150.000``; exact to the gram."""
    if unit == Unit.RUPIAH:
        return rupiah(amount, language)
    if unit in LARGE and unit is not None and abs(amount) >= 1000:
        whole, rest = divmod(abs(amount), 1000)
        sign, point = "-" if amount < 0 else "", "." if language == "en" else ","
        part = f"{point}{rest:03d}".rstrip("0") if rest else ""
        return f"{sign}{number(whole, language)}{part} {LARGE[unit]}"
    text = number(amount, language)
    if unit is None:
        return text
    word = UNITS[unit][language == "en"]
    is_one = language == "en" and abs(amount) == 1
    return f"{text} {word.removesuffix('s') if is_one else word}"


def moment(time_s: int, language: str) -> str:
    """``24 Nov 2026, 14.05 WIB``."""
    t = datetime.fromtimestamp(time_s, tz=UTC).astimezone(WIB)
    return f"{t.day} {MONTHS[language][t.month - 1]} {t.year}, {t:%H.%M} WIB"


@dataclass(frozen=True, slots=True)
class Amount:
    """So much of something, written when the language is known."""

    quantity: int
    unit: Unit | None

    def text(self, language: str) -> str:
        """``5 kg``."""
        return quantity(self.quantity, self.unit, language)
