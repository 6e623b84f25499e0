"""``make play`` as people use it: one card from blank to audited, through tray and three faces.

The world is founded by the real programs once; each language takes a card of its own the whole
way. The second card is pulled at each step, and what the screens then say is read.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import StringIO

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from rich.console import Console

from demo import play
from demo.pcscd import PcscdWorld
from demo.play import Faces
from tests.browser.conftest import SCREENS
from ui.words import Words

pytestmark = pytest.mark.xdist_group("play")  # one world for the whole file

PIN = "271828"
WAIT_MS = 30_000  # a card is made while the machine does other things
TITLES = {
    "made": ("Selesai. Keluarkan kartu", "Done. Take the card out"),
    "paid": ("Kartu sudah membayar", "The card has paid"),
    "active": ("Kartu aktif", "Card active"),
    "unsure": ("Belum pasti", "Not known yet"),
    "not paid": ("Kartu tidak membayar", "The card did not pay"),
    "loose": ("Kartu terlepas", "The card came out"),
    "ask": ("Tanyakan dahulu", "Ask first"),
    "done": ("Selesai", "Done"),
    "not yet": ("Tidak bisa", "Not possible"),
}  # fmt: skip


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory, pcscd_world: PcscdWorld) -> Iterator[Faces]:
    """A world founded as ``make play`` does, beside anybody's own; not without a pcscd: a card
    behind a plain socket is not seen leaving.
    """
    assert pcscd_world.readers
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(play, "BUILD", tmp_path_factory.mktemp("play"))
        yield play.start(stack, None, Console(file=StringIO()))


@dataclass(slots=True)
class Person:
    """Somebody with four tabs open, who reads the words of one language."""

    language: str
    tray: Page
    desk: Page
    hall: Page
    audit: Page
    secret: str = field(repr=False)
    words: Words = field(init=False)

    def __post_init__(self) -> None:
        self.words = Words(self.language)

    def say(self, indonesian: str) -> str:
        """A text of the pages as this person reads it."""
        return self.words.say(indonesian)

    def title(self, name: str) -> str:
        """A heading that comes from a typed result."""
        return self.words.pick(TITLES[name])

    def turn(self, page: Page) -> Page:
        """The tab in front; Chromium lets the others sleep."""
        page.bring_to_front()
        return page

    # --- tray --------------------------------------------------------------------------------

    def slot(self, reader: str) -> Locator:
        return self.tray.locator(f'[data-reader="{reader}"]')

    def put(self, card: str, reader: str, *, sees: bool = True) -> None:
        """A card of the drawer into a reader, as the tray's buttons do; seen lying there."""
        row = self.turn(self.tray).locator(".drawer li", has_text=re.compile(rf"{card}(?!\d)"))
        where = "ke meja" if reader == "desk" else "ke titik bagi"
        row.get_by_role("button", name=self.say(where)).click()
        if sees:
            expect(self.slot(reader)).to_contain_text(card)

    def take(self, reader: str) -> None:
        self.turn(self.tray)
        self.slot(reader).get_by_role("button", name=self.say("Cabut")).click()
        expect(self.slot(reader)).to_contain_text(self.say("kosong"))

    def code(self, card: str) -> str:
        """The code in the letter that came for this card."""
        row = self.turn(self.tray).locator(
            ".drawer li, .slot", has_text=re.compile(rf"{card}(?!\d)")
        )
        letter = row.locator(".letter strong")
        expect(letter).to_be_visible(timeout=WAIT_MS)
        return letter.inner_text().replace(" ", "")

    def blank(self) -> str:
        """The card on top of the stack of blanks."""
        return self.tray.locator(".drawer li .what strong").first.inner_text()

    # --- desk and hall -------------------------------------------------------------------------

    def desk_says(self, words: str | re.Pattern[str]) -> None:
        expect(self.turn(self.desk).locator("h1")).to_have_text(words, timeout=WAIT_MS)

    def sees(self, words: str) -> None:
        expect(self.turn(self.hall).locator("#live h1").first).to_contain_text(
            words, timeout=WAIT_MS
        )

    def press(self, label: str) -> None:
        live = self.turn(self.hall).locator("#live")
        live.get_by_role("button", name=self.say(label), exact=True).first.click()

    def enter(self, digits: str, ok: str) -> None:
        self.turn(self.hall)
        for digit in digits:
            self.hall.click(f'.pad [data-type="{digit}"]')
        self.press(ok)

    def officer(self, number: str) -> None:
        self.hall.fill("#officer", number)
        self.hall.fill("#passphrase", self.secret)
        self.hall.keyboard.press("Enter")

    def picture(self, page: Page, name: str) -> None:
        self.turn(page).screenshot(path=SCREENS / f"play-{name}-{self.language}.png")


@pytest.fixture(params=["id", "en"])
def person(request: pytest.FixtureRequest, faces: Faces, browser: Browser) -> Iterator[Person]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(WAIT_MS)
    complaints: list[str] = []
    context.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    context.on("weberror", lambda e: complaints.append(str(e.error)))
    pages = {}
    for name in ("tray", "desk", "hall", "audit"):
        pages[name] = page = context.new_page()
        page.goto(getattr(faces, name))
        if request.param != "id":
            page.click(".language button")
            expect(page.locator("html")).to_have_attribute("lang", request.param)
    secret = pages["tray"].locator(".secrets dd").first.inner_text()
    yield Person(request.param, secret=secret, **pages)
    context.close()
    assert not complaints, complaints


# --- the acts ----------------------------------------------------------------------------------


def sign_in(p: Person) -> None:
    p.turn(p.desk).fill("#officer", "7")
    p.desk.fill("#passphrase", p.secret)
    p.desk.keyboard.press("Enter")
    p.desk_says(p.say("Masukkan kartu kosong"))


def make_card(p: Person, *, pulled: bool) -> str:
    """A blank through the desk; its name on the tray. ``pulled``: once in the middle."""
    sign_in(p)
    card = pulled_card(p) if pulled else p.blank()
    p.put(card, "desk")
    p.desk_says(p.title("made"))
    p.picture(p.desk, "desk-made")
    p.take("desk")
    p.desk_says(p.say("Masukkan kartu kosong"))
    return card


def pulled_card(p: Person) -> str:
    """A card taken out while it is made: that takes two seconds, so the hand may come late."""
    for _ in range(4):
        card = p.blank()
        p.put(card, "desk", sees=False)
        done = p.desk.get_by_role("heading", name=p.title("made"))
        expect(p.turn(p.desk).locator(".steps").or_(done).first).to_be_attached(timeout=WAIT_MS)
        p.take("desk")
        p.desk_says(re.compile(f"^({p.title('loose')}|{p.say('Masukkan kartu kosong')})$"))
        if p.desk.locator("h1").inner_text() == p.title("loose"):
            p.picture(p.desk, "desk-pulled")
            return card
    raise AssertionError("every card was done before it could be pulled")


def open_shift(p: Person) -> None:
    p.sees(p.say("Buka sesi"))
    p.enter("11", "Buka")
    p.sees(p.say("Masukkan kartu"))
    carry(p)


def carry(p: Person) -> None:
    """Send and fetch over the network."""
    p.press("Lainnya")
    p.press("Kirim dan ambil data")
    expect(p.hall.locator("#live [role=status]")).to_be_visible(timeout=WAIT_MS)


def hand_over(p: Person, card: str) -> None:
    p.put(card, "point")
    p.sees(p.title("not yet"))
    p.press("Aktifkan kartu")
    p.officer("11")
    p.sees(p.say("Berita acara serah terima"))
    p.hall.fill("#bast", f"BAST-{p.language}-1")
    p.press("Lanjut")
    p.sees(p.say("Kode aktivasi dari surat, delapan angka"))
    p.enter(p.code(card), "Lanjut")
    for heading in ("PIN baru, enam angka", "PIN baru sekali lagi"):
        p.sees(p.say(heading))
        p.enter(PIN, "Lanjut")
    p.sees(p.title("active"))
    p.press("Baca kartu lagi")
    p.sees(p.say("Bisa diambil hari ini"))


def ask(p: Person) -> None:
    """The first wallet, a little of it, up to the PIN."""
    p.sees(p.say("Bisa diambil hari ini"))
    p.hall.locator("button.wallet").first.click()
    field = p.hall.locator("#amount, #secret").first
    expect(field).to_be_visible()
    if field.get_attribute("id") == "amount":
        if field.input_value() == "":
            p.enter("50000", "Lanjut")
        else:
            p.press("Lanjut")
    expect(p.hall.locator("#secret")).to_be_visible()


def pay(p: Person) -> None:
    ask(p)
    p.enter(PIN, "Bayar")
    p.sees(p.title("paid"))
    p.picture(p.hall, "hall-paid")


def hand(p: Person) -> None:
    p.press("Sudah diserahkan")
    p.sees(p.title("done"))
    p.press("Selesai")
    p.sees(p.say("Cabut kartu"))
    p.take("point")


def close_shift(p: Person) -> None:
    p.sees(p.say("Masukkan kartu"))
    p.press("Lainnya")
    p.press("Hitung dan tutup sesi")
    p.sees(p.say("Hitung yang ada di rak"))
    for row in p.hall.locator(".counts li").all():
        said = re.search(r"[\d.]+", row.locator("small").inner_text())
        assert said, row.inner_text()
        row.locator("input").fill(said[0])
    p.picture(p.hall, "hall-counting")
    p.press("Tutup sesi")
    p.sees(p.say("Sesi ditutup"))
    p.press("Kirim dan ambil data")
    p.sees(p.say("Buka sesi"))
    expect(p.hall.locator("#live [role=status]")).to_be_visible()


def receipts(p: Person) -> int:
    """How many the auditor has read."""
    found = re.search(r"(\d+) (struk|receipts?)", p.audit.locator(".verdict").inner_text())
    assert found
    return int(found[1])


def audited(p: Person, before: int) -> None:
    """The clerk has settled and exported; from the fund's figure to the receipt's bytes."""
    p.turn(p.audit)
    deadline = time.monotonic() + WAIT_MS / 1000
    while True:
        p.audit.goto(p.audit.url)
        if p.audit.locator(".notice.warning").count():
            p.audit.click(f"text={p.say('Baca lagi')}")
        if receipts(p) > before:
            break
        assert time.monotonic() < deadline, "the clerk's export did not come"
    expect(p.audit.locator(".verdict.done h1")).to_have_text(p.say("Tidak ada temuan"))
    p.picture(p.audit, "audit-fund")
    figures = p.audit.locator("a.figure")

    figures.and_(p.audit.locator('[href*="hitung=salur"]:not([href*="program="])')).click()
    rows = p.audit.locator("#evidence tbody a")
    expect(rows.first).to_be_visible()
    rows.last.click()
    checks = p.audit.locator(".checks li")
    expect(p.audit.locator(".checks li.holds")).to_have_count(checks.count())
    assert checks.count() > 10
    expect(p.audit.locator(".parts-of .bytes").first).to_be_visible()
    p.picture(p.audit, "audit-receipt")


def test_from_blank_to_audited(person: Person) -> None:
    p = person
    pulled, before = p.language == "en", receipts(p)
    card = make_card(p, pulled=pulled)
    open_shift(p)
    p.picture(p.tray, "tray")
    hand_over(p, card)
    if pulled:
        pull_at_each_step(p, card)
    else:
        pay(p)
        hand(p)
        expect(p.tray.locator(".slip")).not_to_have_count(0)
    close_shift(p)
    audited(p, before)


def pull_at_each_step(p: Person, card: str) -> None:
    """At the question, at the PIN, within the payment, at the result."""
    p.take("point")
    p.sees(p.say("Kartu tercabut"))
    expect(p.hall.locator("#live")).to_contain_text(
        p.say("Belum ada yang diambil. Saldo tidak berkurang.")
    )
    p.put(card, "point")
    ask(p)
    p.take("point")
    p.sees(p.say("Kartu tercabut"))
    p.picture(p.hall, "hall-pulled")
    p.put(card, "point")
    ask(p)
    p.turn(p.tray)
    p.tray.get_by_role(
        "button", name=p.say("Putuskan daya di tengah pembayaran berikutnya")
    ).click()
    expect(p.tray.locator(".readers > .state.warning")).to_be_visible()
    p.enter(PIN, "Bayar")
    p.sees(p.title("unsure"))
    expect(p.slot("point")).to_contain_text(p.say("Daya putus: kartu keluar"))
    p.picture(p.hall, "hall-unsure")
    p.picture(p.tray, "tray-torn")
    p.put(card, "point")
    # The card tells what became of it: it lost its power before it had paid.
    p.sees(p.title("not paid"))
    p.picture(p.hall, "hall-recovered")
    p.press("Lanjut")
    pay(p)
    p.take("point")  # paid, and gone before anybody said where the goods are: the question stays
    p.sees(p.title("paid"))
    p.press("Sudah diserahkan")
    p.sees(p.title("done"))
    p.press("Selesai")
