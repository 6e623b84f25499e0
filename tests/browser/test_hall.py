"""The village hall as people work: Chromium, a real pcscd, the reference card through vpcd."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from card_os.host.pcsc import PcscReader
from card_os.reference.vpcd import VpcdSlot
from demo.pcscd import PcscdWorld
from terminal.counter import Counter
from terminal.errors import TransferError
from terminal.face.app import hall_face
from terminal.face.board import Board
from terminal.kiosk import Kiosk
from terminal.kiosk_thread import KioskThread
from terminal.printer import Printed
from tests.browser.conftest import SCREENS
from tests.support.terminal_world import (
    CASH,
    CODE,
    FOOD,
    HANDOVER,
    OTHER_PIN,
    PIN,
    PROGRAMMES,
    SUPERVISOR,
    Card,
    Issuer,
    Terminal,
    entry,
    programme,
)
from ui.face import Mark
from ui.guard import Door
from ui.words import english
from wire.bundle import Note, Why
from wire.objects import GoodsLine, StockDelivery, Unit

READER = 2
AXE = (Path(__file__).parents[2] / "ui" / "vendor" / "axe.js").read_text("utf-8")
SIZES = {"800": (800, 480), "1280": (1280, 800)}
TITLES = {
    FOOD: ("Paket Pangan", "Food basket"), CASH: ("Bantuan Tunai", "Cash"),
    0x1A04: ("Kunjungan Puskesmas", "Clinic visit"),
}  # fmt: skip
SCHOOL = programme(259, 0x1A03, Unit.RUPIAH, title_id="Bantuan Sekolah",
                   title_en="School grant", agency="Dinas Pendidikan")  # fmt: skip
NAMED = tuple(
    programme(p.code, p.wallet, p.unit, cap=p.cap, title_id=TITLES[p.wallet][0],
              title_en=TITLES[p.wallet][1]) for p in PROGRAMMES
)  # fmt: skip
WAIT_MS = 8_000


LONG_TITLES = (
    ("Paket Pangan Masyarakat Adat Hulu Katingan dan Hulu Mentikus",
     "Food basket for customary families of the upper Katingan"),
    ("Bantuan Tunai Musim Paceklik Tumbang Habangoi dan Sekitarnya",
     "Lean season cash aid for Tumbang Habangoi and its hamlets"),
    ("Kunjungan Puskesmas Pembantu Tumbang Habangoi Hulu Katingan",
     "Visits to the auxiliary clinic of Tumbang Habangoi upriver"),
)  # fmt: skip
LONG_PLACE = "Balai Basara Tumbang Habangoi Hulu Katingan Mentikus"
LONG_HEAD = "Sangkuwung Andereas Mangku Tamanggung Rungan Manuhing Kahayan"
LONG_NAMED = tuple(
    replace(p, title_id=title[0], title_en=title[1])
    for p, title in zip(NAMED, LONG_TITLES, strict=True)
)
MANY = 300


class Village:
    """A terminal on disk with its worker, its card slot and a page."""

    place, named, more_goods = "Balai Desa Tumbang Manggu", NAMED, 0

    def __init__(self, path: Path, world: PcscdWorld, page: Page) -> None:
        self.page, self.issuer = page, Issuer()
        self.card = self.issuer.card(1)
        self.inert = self.issuer.card(2, life="inert")
        self.terminal = Terminal(self.issuer, path=path)
        entitled = [
            entry(c, self.issuer.entitlement(c, FOOD), self.issuer.entitlement(
                c, CASH, loaded=250_000), notes=(
                Note(259, Why.FUNDS_NOT_RELEASED, "Dana masuk bulan depan.",
                     "Funds come next month."),)) for c in (self.card, self.inert)
        ]  # fmt: skip
        rice = (GoodsLine("beras", Unit.GRAM, 50_000), GoodsLine("minyak", Unit.MILLILITRE, 9000))
        rice += tuple(GoodsLine(f"Perlengkapan huma betang keluarga muda nomor {n}", Unit.PIECE, n)
                      for n in range(1, self.more_goods + 1))  # fmt: skip
        self.terminal.engine.install(self.terminal.bundle(
            *entitled, programmes=(*self.named, SCHOOL),
            deliveries=(StockDelivery("B-1", "bulog", self.terminal.station, rice,
                                      self.terminal.clock.now_s),),
        ))  # fmt: skip
        self.terminal.engine.receive("B-1")
        self.slot = VpcdSlot(world.doors[READER])
        self.reader = PcscReader(re.escape(world.readers[READER]))
        self.slips: list[object] = []
        self.board = Board()
        self.worker = KioskThread(self.make, self.reader)
        self.card_s = self.connect_s = 0.0

    def make(self) -> Kiosk:
        engine = self.terminal.restart()
        begin = engine.begin

        def timed(*arguments):
            found = begin(*arguments)
            self.card_s = time.monotonic() - self.connect_s
            return found

        engine.begin = timed
        counter = Counter(engine, self.place, self.print)
        return Kiosk(counter, connect=self.connect, unlock=self.unlock,
                     publish=self.board.publish, carry=self.carry)  # fmt: skip

    def connect(self):
        """Power-up is the card's time, and begins here."""
        self.connect_s = time.monotonic()
        return self.reader.connect()

    def print(self, lines):
        self.slips.append(lines)
        return Printed()

    def unlock(self, role, number, words):
        from keys.errors import PassphraseError

        if words != "kata sandi":
            raise PassphraseError("wrong")
        return self.terminal.officers[role]

    def carry(self, engine):
        raise TransferError("no line")

    # --- what a person does ----------------------------------------------------------------------

    def put(self, card: Card | None = None) -> None:
        self.slot.insert(card or self.card)

    def pull(self) -> None:
        self.slot.remove()

    def sees(self, words: str) -> None:
        expect(self.page.locator("#live h1").first).to_contain_text(words, timeout=WAIT_MS)

    def press(self, label: str) -> None:
        self.page.locator("#live button:visible", has_text=label).first.click()

    def type(self, digits: str) -> None:
        """On the screen's own keys."""
        for digit in digits:
            self.page.click(f'.pad [data-type="{digit}"]')

    def enter(self, digits: str, ok: str) -> None:
        self.type(digits)
        self.press(ok)

    def officer(self, number: int, words: str = "kata sandi") -> None:
        self.page.fill("#officer", str(number))
        self.page.fill("#passphrase", words)
        self.page.keyboard.press("Enter")

    def picture(self, name: str) -> None:
        """Both sizes, both languages; axe finds nothing on any."""
        for language in ("id", "en"):
            self.speak(language)
            self.small_and_large(name, language)
            self.page.evaluate(AXE)
            self.axe("{runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice']}")
            if language == "en":
                self.speaks_no_indonesian()
        self.page.emulate_media(color_scheme="dark")  # a dark shop
        self.axe("{runOnly: {type: 'rule', values: ['color-contrast']}}")
        self.page.emulate_media(color_scheme="light")
        self.speak("id")

    def small_and_large(self, name: str, language: str = "id") -> None:
        for size, (width, height) in SIZES.items():
            self.page.set_viewport_size({"width": width, "height": height})
            self.page.screenshot(path=SCREENS / f"hall-{name}-{size}-{language}.png")
            assert self.page.evaluate(OVERFLOW) == [], (name, size, language)

    def axe(self, options: str) -> None:
        found = self.page.evaluate(f"axe.run({options})")["violations"]
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found] == []

    def speak(self, language: str) -> None:
        if self.page.locator("html").get_attribute("lang") != language:
            self.page.click(".language button")
            expect(self.page.locator("html")).to_have_attribute("lang", language)

    def speaks_no_indonesian(self) -> None:
        shown = self.page.inner_text("body")
        for slip in self.page.locator(".slip").all():  # the paper is Indonesian
            shown = shown.replace(slip.inner_text(), "")
        for indonesian, answer in english().items():
            if "{" not in indonesian and len(indonesian) > 9 and indonesian not in answer:
                assert indonesian not in shown


# Texts outside their box, buttons smaller than a thumb or below the edge, letters below 22 px.
OVERFLOW = """() => {
  const bad = [], live = document.getElementById('live');
  const say = (why, e) => bad.push([why, e.textContent.trim()]);
  for (const e of live.querySelectorAll('button, h1, .amount, p')) {
    if (e.closest('.unseen, .slip') || !e.offsetParent) continue;
    const box = e.getBoundingClientRect(), isButton = e.tagName === 'BUTTON';
    const room = e.closest('.question, .middle > div, .middle, .actions, .pad') || document.body;
    const around = room.getBoundingClientRect();
    if (box.right > around.right + 1 || box.left < around.left - 1) say('outside', e);
    if (isButton && e.scrollWidth > e.clientWidth + 2) say('wide', e);
    if (isButton && !e.closest('.strip, .keys') && box.height < 63) say('small', e);
    if (parseFloat(getComputedStyle(e).fontSize) < 22) say('text', e);
  }
  for (const e of live.querySelectorAll(':is(.actions, .low, .pad, .keys) button'))
    if (e.getBoundingClientRect().bottom > innerHeight + 1) say('below', e);
  return bad;
}"""


class Upriver(Village):
    """Long Dayak names, and a shelf with 300 goods more."""

    place, named, more_goods = LONG_PLACE, LONG_NAMED, MANY


@pytest.fixture
def village(
    tmp_path: Path, pcscd_world: PcscdWorld, page: Page, serve: Callable[..., str]
) -> Iterator[Village]:
    with working(Village(tmp_path, pcscd_world, page), serve) as made:
        yield made


@pytest.fixture
def upriver(
    tmp_path: Path, pcscd_world: PcscdWorld, page: Page, serve: Callable[..., str]
) -> Iterator[Village]:
    with working(Upriver(tmp_path, pcscd_world, page), serve) as made:
        yield made


@contextmanager
def working(made: Village, serve: Callable[..., str]) -> Iterator[Village]:
    page = made.page
    made.worker.start()
    page.set_default_timeout(WAIT_MS)

    def face(port: int):
        door = Door(frozenset({f"127.0.0.1:{port}"}))
        return hall_face(made.board, made.worker.command, door=door, mark=Mark(demo=True)).app

    page.goto(serve(face))
    yield made
    page.goto("about:blank")  # the stream ends before its server
    made.pull()
    made.worker.stop()


def test_a_day_in_the_hall(village: Village) -> None:
    v = village
    v.sees("Buka sesi")
    v.picture("closed")
    v.enter("11", "Buka")
    v.sees("Masukkan kartu")
    v.picture("ready")
    v.put()
    v.sees("Bisa diambil")
    expect(v.page.locator(".wallets")).to_contain_text("Rp250.000")
    expect(v.page.locator(".wallets")).to_contain_text("Dana masuk bulan depan.")
    v.picture("family")
    v.press("Bantuan Tunai")
    v.sees("Berapa")
    v.type("150000")
    expect(v.page.locator("#amount")).to_have_value("150.000")
    v.picture("amount-empty")  # changing the language asks again
    v.type("150000")
    v.press("Lanjut")
    v.sees("PIN")
    v.picture("pin")
    v.enter("111222", "Bayar")
    expect(v.page.locator("[role=alert]")).to_contain_text("Sisa 2 kali")
    v.picture("pin-wrong")
    v.page.keyboard.type(PIN)  # the keyboard beside the screen
    assert PIN not in v.page.content()
    v.page.keyboard.press("Enter")
    v.sees("Kartu sudah membayar")
    for words in ("Rp150.000", "Rp250.000", "Rp100.000"):
        expect(v.page.locator("#live")).to_contain_text(words)
    v.picture("paid")
    assert len(v.slips) == 1
    v.press("Sudah diserahkan")
    v.sees("Selesai")
    v.picture("delivered")
    v.press("Program lain")
    v.sees("Bisa diambil")
    v.press("Paket Pangan")
    v.sees("Berapa")
    v.picture("amount-baskets")
    v.page.click('[data-step="1"]')
    expect(v.page.locator("#amount")).to_have_value("2")
    v.press("Lanjut")
    v.sees("Kartu sudah membayar")
    v.picture("paid-basket")
    v.press("Belum diserahkan")
    v.sees("Belum diserahkan")
    v.picture("not-handed-over")
    v.press("Batalkan (pengawas)")
    v.sees("Pengawas")
    v.officer(SUPERVISOR, "salah")
    expect(v.page.locator("[role=alert]")).to_contain_text("salah")
    v.picture("officer")
    v.officer(SUPERVISOR)
    v.sees("Batalkan karena apa?")
    v.picture("why-void")
    v.press("Jumlah salah")
    v.sees("Dibatalkan")
    v.picture("voided")
    v.press("Selesai")
    v.sees("Cabut kartu")
    v.picture("take-out")
    v.pull()
    v.sees("Masukkan kartu")
    closing_time(v)


def closing_time(v: Village) -> None:
    """Data is sent, in vain, and the shelf counted; what was counted is in the journal."""
    v.press("Lainnya")
    v.picture("menu")
    v.press("Kirim dan ambil data")
    v.sees("Tidak bisa")
    v.picture("failed")
    v.press("Selesai")
    v.press("Lainnya")
    v.press("Hitung dan tutup sesi")
    v.sees("Hitung")
    v.picture("counting")
    v.page.fill("#count0", "49,5")
    v.page.fill("#count1", "9")
    for n in range(2, v.page.locator(".counts input").count()):
        v.page.fill(f"#count{n}", "0")
    v.press("Tutup sesi")
    v.sees("Sesi ditutup")
    v.picture("shift-closed")
    stock = {x.good: x.quantity for x in Terminal.restart(v.terminal).journal.stock()}
    assert (stock["beras"], stock["minyak"]) == (49_500, 9000)


def test_hand_over_and_the_holders_matters(village: Village) -> None:
    v = village
    v.enter("11", "Buka")
    v.sees("Masukkan kartu")
    v.put(v.inert)
    v.sees("Tidak bisa")
    v.picture("not-active")
    v.press("Aktifkan kartu")
    v.officer(HANDOVER)
    v.sees("Berita acara")
    v.picture("bast")
    for key in "bast-7":
        v.page.click(f'.keys [data-type="{key}"]')
    assert v.page.input_value("#bast") == "bast-7"
    v.press("Lanjut")
    v.sees("Kode aktivasi")
    v.picture("code")
    v.enter(CODE, "Lanjut")
    v.sees("PIN baru, enam angka")
    v.enter("121212", "Lanjut")
    expect(v.page.locator("[role=alert]")).to_contain_text("mudah ditebak")
    v.enter(PIN, "Lanjut")
    v.sees("sekali lagi")
    v.enter(PIN, "Lanjut")
    v.sees("Kartu aktif")
    v.picture("active")
    v.press("Baca kartu lagi")
    v.sees("Bisa diambil")
    v.press("Bantuan Tunai")
    v.enter("5000", "Lanjut")
    v.sees("PIN")
    v.press("Tanpa PIN")
    v.officer(SUPERVISOR)
    v.sees("Tanpa PIN karena apa?")
    v.picture("why-bypass")
    v.press("Lupa PIN")
    v.sees("Kartu sudah membayar")
    v.press("Sudah diserahkan")
    v.sees("Selesai")
    v.press("Selesai")
    v.sees("Cabut kartu")
    v.pull()
    v.sees("Masukkan kartu")
    v.put(v.inert)
    v.sees("Bisa diambil")
    expect(v.page.locator(".receipts")).to_contain_text("Rp5.000")
    v.press("PIN, keberatan")
    v.sees("Urusan")
    v.picture("matters")
    v.press("Keberatan")
    v.enter(PIN, "Lanjut")
    v.sees("Keberatan dicatat")
    v.picture("disputed")
    v.press("Selesai")
    v.press("Baca kartu lagi")
    v.sees("Bisa diambil")
    v.press("PIN, keberatan")
    v.press("Ganti PIN")
    for secret, heading in ((PIN, "PIN lama"), (OTHER_PIN, "enam angka"), (OTHER_PIN, "sekali")):
        v.sees(heading)
        v.enter(secret, "Lanjut")
    v.sees("PIN diganti")


def test_pulled_at_each_step(village: Village) -> None:
    v = village
    v.enter("11", "Buka")
    v.sees("Masukkan kartu")
    # While the PIN is asked: nothing was taken.
    v.put()
    v.sees("Bisa diambil")
    v.press("Bantuan Tunai")
    v.enter("50000", "Lanjut")
    v.sees("PIN")
    v.pull()
    v.sees("Kartu tercabut")
    expect(v.page.locator("#live")).to_contain_text("Saldo tidak berkurang")
    v.picture("taken-out")
    # Within the debit, done by the card: not known, then proven and asked.
    v.put()
    v.sees("Bisa diambil")
    v.press("Bantuan Tunai")
    v.enter("50000", "Lanjut")
    v.card.drop_answer_of = 1
    v.enter(PIN, "Bayar")
    v.sees("Belum pasti")
    v.picture("unknown")
    v.pull()
    v.put()
    v.sees("Tanyakan dahulu")
    v.picture("recovered")
    v.press("Sudah diterima")
    v.sees("Selesai")
    v.press("Lanjut")
    v.sees("Bisa diambil")
    # Paid, pulled before the hand-over was noted: the question stays.
    v.press("Bantuan Tunai")
    v.enter("50000", "Lanjut")
    v.sees("PIN")
    v.enter(PIN, "Bayar")
    v.sees("Kartu sudah membayar")
    v.pull()
    v.press("Sudah diserahkan")
    v.sees("Selesai")
    assert v.terminal.journal.station.station_id == b"TERM0001"


def test_nothing_and_strangers(village: Village) -> None:
    v = village
    v.enter("11", "Buka")
    v.sees("Masukkan kartu")
    # Everything of this round is taken: nothing, and why.
    v.put()
    v.sees("Bisa diambil")
    v.pull()
    v.sees("Kartu tercabut")
    v.card.elsewhere(FOOD, 4)
    v.card.elsewhere(CASH, 250_000)
    v.put()
    v.sees("Belum ada yang bisa diambil")
    expect(v.page.locator(".wallets")).to_contain_text("Sudah diambil")
    v.picture("nothing")
    v.pull()
    v.sees("Kartu tercabut")
    v.press("Selesai")
    # A card of another root.
    v.put(Issuer(seed=9).card(5))
    v.sees("Tidak bisa")
    v.picture("stranger")


def test_keyboard_alone_and_late_presses(village: Village) -> None:
    """Focus goes to the field; a press on an old screen does nothing."""
    v = village
    v.page.keyboard.type("11")
    v.page.keyboard.press("Enter")
    v.sees("Masukkan kartu")
    old = v.page.locator("input[name=screen]").first.input_value()
    v.put()
    v.sees("Bisa diambil")
    token = v.page.locator("input[name=csrf]").first.input_value()
    answer = v.page.request.post(f"{v.page.url}do/back", form={"screen": old, "csrf": token})
    assert answer.status == 204
    assert v.page.request.post(f"{v.page.url}do/nothing", form={"csrf": token}).status == 422
    v.sees("Bisa diambil")
    v.page.keyboard.press("Escape")
    v.sees("Cabut kartu")


def test_the_longest_names_and_300_goods(upriver: Village) -> None:
    v = upriver
    v.enter("11", "Buka")
    v.sees("Masukkan kartu")
    v.put(v.inert)
    v.sees("Tidak bisa")
    v.press("Aktifkan kartu")
    v.officer(HANDOVER)
    v.sees("Berita acara")
    v.page.fill("#bast", "BAST/188.44/2026/Tumbang-Habangoi")
    v.page.fill("#proxy", LONG_HEAD)
    v.picture("long-bast")
    v.pull()
    v.sees("Kartu tercabut")
    v.press("Selesai")
    v.put()
    v.sees("Bisa diambil")
    expect(v.page.locator(".wallets")).to_contain_text(LONG_TITLES[0][0])
    v.picture("long-family")
    v.press(LONG_TITLES[1][0])
    v.sees("Berapa")
    v.picture("long-amount")
    v.type("150000")
    v.press("Lanjut")
    v.sees("PIN")
    v.enter(PIN, "Bayar")
    v.sees("Kartu sudah membayar")
    v.picture("long-paid")
    v.press("Sudah diserahkan")
    v.sees("Selesai")
    v.pull()
    v.press("Selesai")
    v.press("Lainnya")
    v.press("Hitung dan tutup sesi")
    v.sees("Hitung")
    fields = v.page.locator(".counts input")
    expect(fields).to_have_count(MANY + 3)
    v.small_and_large("many-counting")
    v.page.evaluate("for (const e of document.querySelectorAll('.counts input')) e.value = '1'")
    v.press("Tutup sesi")
    v.sees("Sesi ditutup")
    expect(v.page.locator("tbody tr")).to_have_count(MANY + 3)
    v.small_and_large("many-closed")
