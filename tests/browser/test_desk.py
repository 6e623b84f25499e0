"""The desk in Chromium, with a real pcscd and reference cards in its reader."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from card_os.icc import IccDevice
from card_os.reference.foreign import ForeignCard, UnfitCard
from card_os.reference.vpcd import VpcdSlot
from demo.pcscd import PcscdWorld
from issuer.cards import PcscStack
from issuer.face.app import make_face
from issuer.face.bench import BenchThread
from issuer.place import Place
from tests.browser.conftest import SCREENS
from tests.unit.issuer.bench_world import WORDS, Office, place_of, proofs
from tests.unit.issuer.desk_world import DeskWorld
from ui.face import HERE as UI
from ui.guard import Door
from wire.env import Environment

READER = 2
AXE = UI / "vendor" / "axe.js"
COMPLAINTS = "axe.run().then(r => r.violations.map(v => [v.id, v.nodes[0].html]))"
ORDERS = 12
SIZES = {"1280": (1280, 800), "1024": (1024, 768)}
DONE = "Selesai. Keluarkan kartu"
NEXT = "Masukkan kartu kosong"


class Pulled:
    """A card that is pulled after so many commands, and is whole when it comes back."""

    def __init__(self, card: IccDevice, after: int) -> None:
        self._card, self._left = card, after
        self.armed = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._card, name)

    def transmit(self, command: bytes, /) -> bytes:
        self._left -= 1
        return b"" if self.armed and self._left < 0 else self._card.transmit(command)


class Slow:
    """A card that keeps silent at one command until it is let go on."""

    def __init__(self, card: IccDevice, at: int) -> None:
        self._card, self._left = card, at
        self.go_on = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._card, name)

    def transmit(self, command: bytes, /) -> bytes:
        self._left -= 1
        if self._left == 0:
            assert self.go_on.wait(25)
        return self._card.transmit(command)


class Desk:
    """A bench on its own thread with a real reader; cards and orders made beforehand."""

    def __init__(
        self, world: PcscdWorld, orders: int = ORDERS, *, row: int = 0, words: Any = None
    ) -> None:
        """``row``: the order whose decree row is another family's; ``words`` of the evidence."""
        self._orders, self._row, self._words = orders, row, words or {}
        self.slot = VpcdSlot(world.doors[READER])
        pattern = re.escape(world.readers[READER])
        self.thread = BenchThread(self._place, lambda: PcscStack(pattern))
        self.bench = self.thread.bench

    @contextmanager
    def _place(self) -> Iterator[Place]:
        w = DeskWorld()
        self.office = Office(w)
        families = [n.to_bytes(16, "little") for n in range(1, self._orders + 1)]
        for n, family in enumerate(families, 1):
            raws, decree, _ = proofs(w, family, n + 50 * (n == self._row), **self._words)
            self.office.proofs += raws
            self.office.open.append(w.signed_order(decree=decree))
        self.cards = [w.card() for _ in range(min(self._orders, ORDERS))]
        other = DeskWorld(Environment.DEMO_SPECIMEN)
        other.order()
        self.specimen = other.card()
        other.make(self.specimen)
        yield place_of(w, self.office)

    def put(self, card: IccDevice) -> None:
        self.slot.insert(card)

    def take(self) -> None:
        self.slot.remove()

    def close(self) -> None:
        self.slot.remove()
        self.thread.close()


@pytest.fixture
def desk(pcscd_world: PcscdWorld) -> Iterator[Desk]:
    made = Desk(pcscd_world)
    yield made
    made.close()


@pytest.fixture
def signed_in(desk: Desk, serve: Callable[..., str], page: Page) -> Desk:
    page.goto(serve(lambda port: face(desk, port)))
    sign_in(page)
    heading(page, NEXT)
    return desk


def face(desk: Desk, port: int) -> Any:
    door = Door(frozenset({f"127.0.0.1:{port}"}))
    return make_face(desk.bench, Environment.DEMO_LIVE, door).app


def sign_in(page: Page) -> None:
    page.fill("#officer", "7")
    page.fill("#passphrase", WORDS)
    page.keyboard.press("Enter")


def heading(page: Page, words: str) -> None:
    expect(page.locator("h1")).to_have_text(words, timeout=15_000)


def look(page: Page, name: str) -> None:
    """Pictures at both sizes in both languages, and nothing for axe to complain of."""
    for language in ("id", "en"):
        if page.locator("html").get_attribute("lang") != language:
            page.click(".language button")
            expect(page.locator("html")).to_have_attribute("lang", language)
        if not page.evaluate("'axe' in window"):
            page.evaluate(AXE.read_text("utf-8"))
        for scheme in ("light", "dark") if language == "id" else ("light",):
            page.emulate_media(color_scheme=scheme)
            found = page.evaluate(COMPLAINTS)
            assert found == [], (name, language, scheme)
        page.emulate_media(color_scheme="light")
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            page.screenshot(path=SCREENS / f"desk-{name}-{size}-{language}.png")
            overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert page.evaluate(overflow) == 0, (name, size, language)
    page.click(".language button")
    expect(page.locator("html")).to_have_attribute("lang", "id")


def test_sign_in_and_three_cards_without_a_key_between(
    desk: Desk, serve: Callable[..., str], page: Page
) -> None:
    address = serve(lambda port: face(desk, port))
    page.goto(address)
    look(page, "signin")
    page.fill("#officer", "tujuh")
    page.fill("#passphrase", "keliru9")
    page.keyboard.press("Enter")
    expect(page.locator("#officer-wrong")).to_be_visible()
    page.fill("#officer", "7")
    page.fill("#passphrase", "keliru9")
    page.keyboard.press("Enter")
    expect(page.locator(".notice.refused")).to_be_visible()
    assert "keliru9" not in page.content()
    sign_in(page)
    heading(page, NEXT)
    expect(page.locator("#family")).to_contain_text("sesuai, foto diambil")
    look(page, "ready")
    for n in range(3):
        row = desk.bench.view.queue[0].order.row
        desk.put(desk.cards[n])
        heading(page, DONE)
        expect(page.locator("#screen")).to_contain_text(f"Baris {row}")
        if n == 2:
            look(page, "finished")
        desk.take()
        heading(page, NEXT)
    view = desk.bench.view
    assert (view.today.good, view.today.bad, view.waiting) == (3, 0, ORDERS - 3)
    expect(page.locator(".counts dd").first).to_have_text("3")
    expect(page.locator("#last tbody tr")).to_have_count(3)
    page.keyboard.press("k")
    expect(page.locator("#officer")).to_be_visible()
    assert desk.bench.view.visit == ""
    assert WORDS not in page.content()


def test_every_other_card_is_read_kindly(signed_in: Desk, page: Page) -> None:
    desk = signed_in
    for name, card, words in (
        ("specimen", desk.specimen, "Kartu contoh"),
        ("foreign", ForeignCard(), "Bukan kartu program ini"),
    ):
        desk.put(card)
        heading(page, words)
        expect(page.locator("#screen")).to_contain_text("Tidak ada yang ditulis")
        look(page, f"turned-{name}")
        desk.take()
    desk.put(UnfitCard())
    heading(page, "Meja berhenti: 3 kartu gagal berturut-turut")
    look(page, "stopped")
    desk.take()
    page.keyboard.press("Enter")
    heading(page, NEXT)
    page.keyboard.press("b")
    heading(page, "Masukkan kartu yang akan dibaca")
    desk.put(desk.cards[0])
    expect(page.locator("h1")).to_contain_text("Kartu kosong", timeout=15_000)
    desk.take()
    expect(page.locator("#strip")).to_contain_text("Pembaca kosong")
    desk.put(desk.specimen)
    expect(page.locator("h1")).to_contain_text("Kartu contoh", timeout=15_000)
    look(page, "read")
    desk.take()
    page.keyboard.press("Enter")
    desk.put(desk.cards[0])
    heading(page, DONE)
    page.keyboard.press("b")
    expect(page.locator("#screen")).to_contain_text("selesai dibuat, belum diserahkan")
    look(page, "read-own")


def test_a_pulled_card_is_resumed_and_another_scrapped_with_two_answers(
    signed_in: Desk, page: Page
) -> None:
    desk = signed_in
    pulled = Pulled(desk.cards[0], 30)
    desk.put(pulled)
    heading(page, "Kartu terlepas")
    expect(page.locator("#screen")).to_contain_text("Masukkan lagi kartu yang sama")
    expect(page.locator(".begun li")).to_have_count(1)
    look(page, "pulled")
    desk.take()
    pulled.armed = False
    desk.put(pulled)
    heading(page, DONE)
    expect(page.locator("#screen")).to_contain_text("diteruskan")
    expect(page.locator(".begun li")).to_have_count(0)
    desk.take()
    heading(page, NEXT)
    desk.put(Pulled(desk.cards[1], 40))
    heading(page, "Kartu terlepas")
    desk.take()
    page.keyboard.press("r")
    heading(page, "Nyatakan kartu ini rusak?")
    look(page, "scrap")
    page.keyboard.press("Enter")
    expect(page.locator("#reason-wrong")).to_be_visible()
    page.keyboard.type("patah")
    page.keyboard.press("Enter")
    heading(page, "Yakin? Ini tidak dapat dibatalkan")
    look(page, "confirm")
    assert desk.bench.view.scrapped == 0
    page.keyboard.press("y")
    heading(page, "Dinyatakan rusak")
    look(page, "scrapped")
    assert desk.bench.view.scrapped == 1
    page.keyboard.press("Enter")
    heading(page, NEXT)


def test_without_auto_enter_begins_and_steps_are_seen(signed_in: Desk, page: Page) -> None:
    desk = signed_in
    page.keyboard.press("o")
    expect(page.locator("#strip")).to_contain_text("Otomatis: tidak")
    slow = Slow(desk.cards[0], 27)
    desk.put(slow)
    heading(page, "Kartu sudah di pembaca")
    look(page, "cardin")
    seen: list[str] = []
    page.expose_function("stepSeen", lambda value: seen.append(value))  # noqa: PLW0108
    page.evaluate(
        "new MutationObserver(() => { const p = document.querySelector('#screen progress');"
        " if (p) stepSeen(String(p.value)) })"
        ".observe(document.getElementById('screen'), {childList: true, subtree: true})"
    )
    page.keyboard.press("Enter")
    heading(page, "Kartu sedang dibuat, jangan dicabut")
    expect(page.locator(".steps .now")).to_contain_text("Sertifikat dan kode ditulis")
    slow.go_on.set()
    heading(page, DONE)
    steps = [int(n) for n in dict.fromkeys(seen)]
    assert steps == sorted(steps)
    assert len(steps) > 3
    desk.take()
    heading(page, NEXT)
    page.keyboard.press("o")
    expect(page.locator("#strip")).to_contain_text("Otomatis: ya")
    desk.put(slow := Slow(desk.cards[1], 40))
    expect(page.locator(".steps .done")).to_have_count(6, timeout=15_000)
    look(page, "working")
    slow.go_on.set()
    heading(page, DONE)
    desk.take()


def test_another_browser_is_outside_until_it_signs_in_and_then_the_first_is(
    signed_in: Desk, page: Page
) -> None:
    context = page.context.browser.new_context()  # type: ignore[union-attr]
    other = context.new_page()
    other.goto(page.url)
    expect(other.locator("main")).to_contain_text("Petugas 7 sedang bekerja")
    assert other.request.get(f"{page.url}").ok
    token = other.locator("input[name=csrf]").first.input_value()
    asked = other.request.post(f"{page.url}baca", form={"csrf": token}, max_redirects=0)
    assert (asked.status, signed_in.bench.view.screen.name) == (303, "ready")
    sign_in(other)
    heading(other, NEXT)
    heading(page, "Layar ini sudah tertutup")
    assert page.locator("#family").inner_text() == ""
    context.close()


@pytest.mark.parametrize(("orders", "words"), [(0, "Tidak ada pesanan"), (300, NEXT)])
def test_no_order_and_300(
    orders: int, words: str, pcscd_world: PcscdWorld, serve: Callable[..., str], page: Page
) -> None:
    desk = Desk(pcscd_world, orders)
    try:
        page.goto(serve(lambda port: face(desk, port)))
        sign_in(page)
        heading(page, words)
        expect(page.locator("#queue .count").first).to_have_text(str(orders))
        look(page, f"orders-{orders}")
    finally:
        desk.close()


LONG: dict[str, Any] = {
    "food": ("Paket Pangan Masyarakat Adat Hulu Katingan dan Hulu Mentikus",
             "Food basket for customary families of the upper Katingan"),
    "cash": ("Bantuan Tunai Musim Paceklik Tumbang Habangoi dan Sekitarnya",
             "Lean season cash aid for Tumbang Habangoi and its hamlets"),
    "signatory": "Penjabat Gubernur Kalimantan Tengah Dr. Sahidar Mangku Sariang",
    "reason": "Tumbang Habangoi Hulu Katingan Mentikus, rumah betang keempat dari lanting; "
              "kepala keluarga Sangkuwung Andereas Mangku Tamanggung Rungan Manuhing ditemui, "
              "foto diambil",
}  # fmt: skip


def test_one_order_with_the_longest_names(
    pcscd_world: PcscdWorld, serve: Callable[..., str], page: Page
) -> None:
    desk = Desk(pcscd_world, 1, words=LONG)
    try:
        page.goto(serve(lambda port: face(desk, port)))
        sign_in(page)
        heading(page, NEXT)
        expect(page.locator("#family")).to_contain_text("Sangkuwung Andereas")
        look(page, "long-ready")
        desk.put(desk.cards[0])
        heading(page, DONE)
        look(page, "long-finished")
    finally:
        desk.close()


def test_a_row_of_another_family_is_refused_and_skipped_by_one_key(
    pcscd_world: PcscdWorld, serve: Callable[..., str], page: Page
) -> None:
    desk = Desk(pcscd_world, 2, row=1)
    try:
        page.goto(serve(lambda port: face(desk, port)))
        sign_in(page)
        heading(page, "Baris SK bukan milik keluarga ini")
        desk.put(desk.cards[0])
        expect(page.locator("#strip")).to_contain_text("Kartu di pembaca")
        look(page, "wrong-row")
        page.keyboard.press("Enter")
        heading(page, "Kartu sudah di pembaca")
        expect(page.locator("#queue")).to_contain_text("Dilewati, tidak cocok")
        look(page, "skipped")
        page.keyboard.press("Enter")
        heading(page, DONE)
        expect(page.locator("#screen")).to_contain_text("Baris 2")
    finally:
        desk.close()
