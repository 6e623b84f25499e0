"""How the hall's templates word the engine's typed results (docs/ui.md#states, #words)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from terminal import kiosk_screens as at
from terminal import outcomes as o
from terminal.messages import text
from terminal.slip import Line
from ui import show
from wire.objects import Programme, Unit

DAY_S: Final = 86_400
BUSY: Final[dict[o.Step | None, at.Words]] = {
    o.Step.OPENING: ("Membaca kartu", "Reading the card"),
    o.Step.RECOVERING: ("Memeriksa transaksi terakhir", "Checking the last transaction"),
    o.Step.LOADING: ("Mengisi hak baru", "Loading new entitlements"),
    o.Step.COLLECTING: ("Menyalin bukti kartu", "Copying the card's receipts"),
    o.Step.CHECKING_PIN: ("Memeriksa PIN", "Checking the PIN"),
    o.Step.DEBITING: ("Kartu sedang membayar", "The card is paying"),
    o.Step.VOIDING: ("Membatalkan", "Voiding"),
    o.Step.WRITING: ("Mencatat", "Writing it down"),
    o.Step.CONFIRMING: ("Mengunci bukti pada kartu", "Making it final on the card"),
    None: ("Mengirim dan mengambil data", "Sending and fetching data"),
}
# Title and kind of a result where its class alone says more than "done" or "refused".
_TITLES: Final[dict[type[o.Outcome], tuple[str, at.Words]]] = {
    o.Redeemed: ("done", ("Kartu sudah membayar", "The card has paid")),
    o.Voided: ("done", ("Dibatalkan", "Voided")),
    o.NotRedeemed: ("refused", ("Kartu tidak membayar", "The card did not pay")),
    o.NotVoided: ("refused", ("Tidak jadi dibatalkan", "Not voided")),
    o.RedeemUnknown: ("warning", ("Belum pasti", "Not known yet")),
    o.VoidUnknown: ("warning", ("Belum pasti", "Not known yet")),
    o.PinUnknown: ("warning", ("Belum pasti", "Not known yet")),
    o.CardLost: ("refused", ("Kartu tercabut", "Card removed")),
    o.Activated: ("done", ("Kartu aktif", "Card active")),
    o.PinSet: ("done", ("PIN diganti", "PIN changed")),
    o.Disputed: ("done", ("Keberatan dicatat", "Objection noted")),
}
_DONE: Final[at.Words] = ("Selesai", "Done")
_REFUSED: Final[at.Words] = ("Tidak bisa", "Not possible")
_ASK: Final[at.Words] = ("Tanyakan dahulu", "Ask first")
_PICTURES: Final = {
    Unit.RUPIAH: "cash", Unit.BASKET: "basket", Unit.VISIT: "clinic", Unit.GRAM: "rice",
    Unit.MILLILITRE: "oil", Unit.PIECE: "goods",
}  # fmt: skip
_AGENCIES: Final = {"Pendidikan": "school", "Kesehatan": "clinic"}
_GOODS: Final = {"beras": "rice", "minyak": "oil", "gula": "sugar", "rupiah": "cash"}


def kind(outcome: o.Outcome) -> str:
    """done, refused or warning: the colour, icon and sound of a result."""
    if isinstance(outcome, o.Redeemed) and outcome.recovered:
        return "warning"
    found = _TITLES.get(type(outcome))
    return found[0] if found else "done" if outcome.is_good else "refused"


def title(outcome: o.Outcome) -> at.Words:
    """The large word of a result."""
    if isinstance(outcome, o.Redeemed) and outcome.recovered:
        return _ASK
    found = _TITLES.get(type(outcome))
    return found[1] if found else _DONE if outcome.is_good else _REFUSED


def picture(programme: Programme | None) -> str:
    """The pictogram of a programme: its agency's where that says more than the unit."""
    if programme is None:
        return "goods"
    named = [icon for word, icon in _AGENCIES.items() if word in programme.agency]
    return named[0] if named else _PICTURES[programme.unit]


def name(programme: Programme | None) -> at.Words:
    """A programme's title."""
    return ("?", "?") if programme is None else (programme.title_id, programme.title_en)


def days(strip: at.Strip) -> int:
    """Whole days since the installed data was made."""
    return 0 if strip.data_s is None else max(0, strip.now_s - strip.data_s) // DAY_S


def clock(time_s: int) -> str:
    """``14.05``, WIB."""
    return f"{show.local(time_s):%H.%M}"


def short_day(time_s: int) -> at.Words:
    """``24 Nov``."""
    at_local = show.local(time_s)
    indonesian, english = show.MONTHS[at_local.month - 1]
    return f"{at_local.day} {indonesian}", f"{at_local.day} {english}"


def station(raw: bytes) -> str:
    """A terminal's id as text."""
    return raw.decode("ascii", "replace").strip("\0 ")


def plain(lines: tuple[Line, ...]) -> str:
    """A slip as one text, for who cannot see the picture."""
    return "\n".join(x.text for x in lines)


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "text": text, "kind": kind, "title_of": title, "picture": picture,
    "name_of": name, "good_icon": lambda code: _GOODS.get(code, "goods"),
    "days": days, "clock": clock, "short_day": short_day, "station": station, "plain": plain,
    "busy": BUSY.__getitem__,
}  # fmt: skip
