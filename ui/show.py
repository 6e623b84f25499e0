"""How figures and times read on a screen, a slip and a page: integers and UTC in, text out.

Amounts keep the Indonesian form in both languages on screens (``Rp150.000``), as people here read
them; only words change (docs/ui.md).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from wire.objects import Unit

WIB: Final = timedelta(hours=7)
"""Western Indonesian time, which all of Kalimantan Tengah keeps."""
MONTHS: Final = (
    ("Jan", "Jan"), ("Feb", "Feb"), ("Mar", "Mar"), ("Apr", "Apr"), ("Mei", "May"), ("Jun", "Jun"),
    ("Jul", "Jul"), ("Agu", "Aug"), ("Sep", "Sep"), ("Okt", "Oct"), ("Nov", "Nov"), ("Des", "Dec"),
)  # fmt: skip
UNIT_WORDS: Final[dict[Unit, tuple[str, str]]] = {
    Unit.GRAM: ("g", "g"), Unit.MILLILITRE: ("ml", "ml"), Unit.PIECE: ("buah", "pieces"),
    Unit.VISIT: ("kunjungan", "visits"), Unit.BASKET: ("paket", "baskets"),
}  # fmt: skip
GOODS: Final[dict[str, tuple[str, str]]] = {
    "rupiah": ("uang tunai", "cash"), "beras": ("beras", "rice"), "minyak": ("minyak", "oil"),
    "gula": ("gula", "sugar"), "tepung": ("tepung", "flour"), "garam": ("garam", "salt"),
    "telur": ("telur", "eggs"), "susu": ("susu", "milk"), "ikan": ("ikan", "fish"),
    "sayur": ("sayur", "vegetables"), "sabun": ("sabun", "soap"),
}  # fmt: skip
"""Goods by their code in tariffs and stock, which carry no name of their own (docs/wire.md)."""
_ONE: Final = {"pieces": "piece", "visits": "visit", "baskets": "basket", "litres": "litre"}
_THOUSAND = 1_000
_LARGE = {Unit.GRAM: ("kg", "kg"), Unit.MILLILITRE: ("liter", "litres")}


def number(value: int) -> str:
    """An integer with points between thousands: ``1.234.567``, ``-5``."""
    return f"{value:,}".replace(",", ".")


def rupiah(value: int) -> str:
    """Whole rupiah: ``Rp150.000``, ``-Rp5``."""
    return ("-" if value < 0 else "") + f"Rp{number(abs(value))}"


def amount(value: int, unit: Unit | None) -> tuple[str, str]:
    """An amount of a wallet or good, both languages; whole kilograms and litres as such."""
    match unit:
        case None:
            return number(value), number(value)
        case Unit.RUPIAH:
            return rupiah(value), rupiah(value)
        case Unit.GRAM | Unit.MILLILITRE if value and value % _THOUSAND == 0:
            value //= _THOUSAND
            indonesian, english = _LARGE[unit]
        case _:
            indonesian, english = UNIT_WORDS[unit]
    if abs(value) == 1:
        english = _ONE.get(english, english)
    return f"{number(value)} {indonesian}", f"{number(value)} {english}"


def good(code: str) -> tuple[str, str]:
    """A good's name; one we do not know is called as its provider calls it."""
    return GOODS.get(code, (code, code))


def local(time_s: int) -> datetime:
    """WIB wall-clock time of a UTC second, for showing only."""
    return datetime.fromtimestamp(time_s, tz=UTC) + WIB


def day(time_s: int) -> tuple[str, str]:
    """``24 Nov 2026``, both languages."""
    at = local(time_s)
    return tuple(f"{at.day} {month} {at.year}" for month in MONTHS[at.month - 1])  # type: ignore[return-value]


def when(time_s: int) -> tuple[str, str]:
    """``24 Nov 2026, 14.05 WIB``, both languages."""
    (indonesian, english), at = day(time_s), local(time_s)
    return f"{indonesian}, {at:%H.%M} WIB", f"{english}, {at:%H:%M} WIB"


def masked(number_text: str) -> str:
    """A personal number with its middle hidden: first two and last two characters stay."""
    if len(number_text) <= 4:
        return "•" * len(number_text)
    return number_text[:2] + "•" * (len(number_text) - 4) + number_text[-2:]
