"""The auditor's face in Chromium: from a fund to the bytes of a receipt and back, by links."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from backend.face.alter import Source
from backend.face.app import Pages
from backend.face.reading import Reading
from tests.browser.conftest import SCREENS
from tests.support import audit_story
from tests.support.audit_files import write
from tests.support.audit_story import Story, bulk, enrol, found, tell
from tests.support.audit_world import AuditWorld
from ui.face import HERE
from ui.guard import Door
from wire.objects import Programme

AXE = (HERE / "vendor" / "axe.js").read_text("utf-8")
SIZES = {"1280x800": (1280, 800), "1440x900": (1440, 900)}
WIDE = {"fund", "programme", "receipts", "receipt", "receipts-many", "findings-some", "alter"}
LANGUAGES = ("id", "en")
ENGLISH = re.compile(r"\b(the|and|of|receipts?|cards?|place|settled|held|none)\b", re.IGNORECASE)


def source_of(story: Story, folder: Path) -> Source:
    write(story.w.finish(), folder / "export")
    (folder / "trust.cbor").write_bytes(story.w.trust)
    return Source(folder / "export", folder / "trust.cbor", allow_demo=True)


def pages(reading: Reading) -> Callable[[int], Any]:
    def make(port: int) -> Any:
        door = Door(frozenset({f"127.0.0.1:{port}"}))
        return Pages(reading, door, below=lambda n: n // 2).app

    return make


def nothing_yet() -> Story:
    story = found(AuditWorld())
    story.w.upload(story.lost)
    return story


def one_receipt() -> Story:
    story = nothing_yet()
    card = enrol(story, 0, story.one)
    story.w.debit(story.one, card, 0x1A01, 1)
    story.w.upload(story.one)
    story.w.settle()
    return story


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Reading:
    return Reading.open(source_of(tell(), tmp_path_factory.mktemp("audit")))


def in_language(page: Page, address: str, language: str) -> None:
    page.goto(address)
    if page.locator("html").get_attribute("lang") != language:
        page.click(".language button")
        expect(page.locator("html")).to_have_attribute("lang", language)


def accessible(page: Page) -> None:
    page.evaluate(AXE)
    result = page.evaluate("axe.run()")
    bad = [(v["id"], [n["html"][:200] for n in v["nodes"]][:3]) for v in result["violations"]]
    assert not bad, (page.url, bad)


def shot(page: Page, name: str, language: str) -> None:
    for size, (width, height) in SIZES.items():
        if width > 1280 and name not in WIDE:
            continue
        page.set_viewport_size({"width": width, "height": height})
        page.screenshot(path=SCREENS / f"audit-{name}-{size}-{language}.png")
    page.set_viewport_size({"width": 1280, "height": 800})


# --- the way down and back ------------------------------------------------------------


def test_from_the_fund_to_the_bytes_of_a_receipt_and_back(
    serve: Callable[..., str], page: Page, reading: Reading
) -> None:
    page.goto(serve(pages(reading)))
    expect(page.locator("h1")).to_have_text("Tidak ada temuan")
    food = page.locator("tr", has_text="Sembako")
    food.locator("a.figure", has_text="8 paket").click()
    evidence = page.locator("#evidence")
    expect(evidence.locator(".sum")).to_contain_text("8 paket")
    expect(evidence).to_contain_text("dari 8 struk")
    expect(evidence.locator("tfoot")).to_contain_text("8 paket")
    expect(evidence.locator("h2")).to_be_focused()
    expect(page.locator("#said")).to_have_text("disalurkan: 8 paket")
    evidence.locator("tbody a").first.click()
    expect(page.locator("h1")).to_contain_text("Struk 1, kartu DEMO-000001")
    checks = page.locator(".checks li")
    assert checks.count() == 15
    expect(page.locator(".checks li.holds")).to_have_count(15)
    raw = "".join(page.locator(".parts-of .bytes").all_inner_texts())
    held = next(h for h in reading.book.world.receipts.values() if h.receipt.raw.hex() == raw)
    assert held.receipt.hash.hex() in page.url
    # and back up, by the trail
    for stage, heading in (("Kartu", "DEMO-000001"), ("Tempat", "Desa Satu"),
                           ("Penyalur", "Penyalur"), ("Dana", "Tidak ada temuan")):  # fmt: skip
        page.locator(".trail li", has_text=stage).locator("a").click()
        expect(page.locator("h1")).to_contain_text(heading)


def test_each_stage_leads_to_the_next_by_links(
    serve: Callable[..., str], page: Page, reading: Reading
) -> None:
    page.goto(serve(pages(reading)))
    page.locator("th a", has_text="Sembako").click()
    expect(page.locator(".trail [aria-current]")).to_contain_text("Sembako")
    page.locator(".lead a", has_text="Perum Bulog").click()
    expect(page.locator("h1")).to_have_text("Perum Bulog")
    page.locator("th a", has_text="isian").first.click()
    expect(page.locator("h2", has_text="Struk yang dibayar di sini")).to_be_visible()
    page.locator("th a").first.click()
    expect(page.locator("h1")).to_contain_text("Struk")
    page.locator(".links a", has_text="sertifikat kartu").or_(
        page.locator(".links a", has_text="struk")
    ).first.click()
    page.go_back()
    page.locator("aside a", has_text="catatan").first.click()
    expect(page.locator("h1")).to_contain_text("Catatan TERM")
    page.locator("aside a", has_text="TERM000").click()
    expect(page.locator("h1")).to_contain_text("(Desa")


def test_a_receipt_with_one_byte_turned_shows_what_fails(
    serve: Callable[..., str], page: Page, reading: Reading
) -> None:
    address = serve(pages(reading))
    name = next(iter(reading.book.world.receipts)).hex()
    page.goto(f"{address}/struk/{name}")
    page.fill("#bita", "25")
    page.click("text=Coba pada salinan")
    expect(page.locator(".notice.refused")).to_contain_text("Salinan: bita 25 diubah.")
    expect(page.locator(".checks li.fails")).not_to_have_count(0)
    expect(page.locator("tr.altered mark")).to_have_count(1)
    shot(page, "receipt-altered", "id")
    page.click("text=Kembali ke yang asli")
    expect(page.locator(".checks li.fails")).to_have_count(0)


def test_alter_one_byte_of_a_copy(serve: Callable[..., str], page: Page, reading: Reading) -> None:
    before = (reading.source.folder / "ledger.cbor").read_bytes()
    page.goto(serve(pages(reading)) + "/ubah")
    page.select_option("#berkas", "ledger.cbor")
    page.fill("#bita", "40")
    page.click("text=Ubah dan periksa")
    expect(page.locator(".outcome")).to_contain_text("Pemeriksa menemukannya")
    expect(page.locator(".findings li").first).to_contain_text("17.")
    accessible(page)
    shot(page, "alter", "id")
    page.click("text=Bita acak")
    expect(page.locator(".outcome")).to_contain_text("Pemeriksa menemukannya")
    page.fill("#bita", "99999999")
    page.click("text=Ubah dan periksa")
    expect(page.locator(".notice.refused")).to_contain_text("Tidak ada yang diubah")
    assert (reading.source.folder / "ledger.cbor").read_bytes() == before


def test_a_changed_export_is_said_and_read_again(
    serve: Callable[..., str], page: Page, tmp_path: Path
) -> None:
    source = source_of(found(AuditWorld()), tmp_path)
    page.goto(serve(pages(Reading.open(source))))
    expect(page.locator(".notice.warning")).to_have_count(0)
    expect(page.locator(".verdict")).to_contain_text("0 struk")
    source.folder.rename(tmp_path / "old")
    source_of(tell(), tmp_path)
    page.reload()
    expect(page.locator(".notice.warning")).to_contain_text("Ekspor berubah sejak dibaca.")
    accessible(page)
    page.click("text=Baca lagi")
    expect(page.locator(".notice.warning")).to_have_count(0)
    expect(page.locator(".verdict")).to_contain_text("20 struk")


def test_what_is_taken_away_comes_as_files(
    serve: Callable[..., str], page: Page, reading: Reading
) -> None:
    page.goto(serve(pages(reading)) + "/unduh")
    for name, start in (("laporan.xlsx", b"PK"), ("laporan.pdf", b"%PDF"), ("struk.csv", b"\xef")):
        with page.expect_download() as download:
            page.locator(f"a[href='/unduh/{name}']").click()
        assert download.value.path().read_bytes().startswith(start)


# --- every page, both languages ------------------------------------------------------------


def addresses(reading: Reading) -> dict[str, str]:
    book = reading.book
    station = next(s for s in book.world.stations.values() if s.station.startswith(b"TERM"))
    settlement = next(iter(book.sources.settlement.covers))
    receipt = list(book.world.receipts)[-1].hex()
    order = next(n for n, p in book.papers.items() if p.where.startswith("objects/decree"))
    return {
        "fund": "/", "programme": "/program/1", "providers": "/penyalur",
        "provider": "/penyalur/Perum%20Bulog", "places": "/tempat", "place": "/tempat/Desa%20Satu",
        "cards": "/kartu", "card": f"/kartu/{min(book.world.cards).hex()}",
        "receipts": "/struk", "receipts-held": "/struk?keadaan=ditahan&program=1",
        "receipt": f"/struk/{receipt}", "basis": "/bukti?hitung=salur&program=1",
        "findings": "/temuan", "alerts": "/dilihat", "limits": "/batas", "downloads": "/unduh",
        "object": f"/objek/{order.hex()}", "station": f"/terminal/{station.station.hex()}",
        "record": f"/catatan/{station.station.hex()}/5", "ledger": f"/buku/{settlement}",
        "issuance": "/terbit/50", "choice": "/ubah",
    }  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_is_accessible_and_in_one_language(
    language: str, serve: Callable[..., str], page: Page, reading: Reading
) -> None:
    address = serve(pages(reading))
    in_language(page, address, language)
    for name, path in addresses(reading).items():
        page.goto(address + path)
        expect(page.locator("html")).to_have_attribute("lang", language)
        accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        if language == "id":
            words = page.locator("main").inner_text()
            english = ENGLISH.findall(words)
            assert not english, (name, english)
        shot(page, name, language)


def test_charts_are_drawn_and_stand_as_tables_too(
    serve: Callable[..., str], page: Page, reading: Reading
) -> None:
    page.goto(serve(pages(reading)))
    expect(page.locator(".chart canvas")).to_have_count(3)
    page.locator(".chart summary").first.click()
    table = page.locator(".chart details[open] table")
    expect(table.locator("tbody tr")).to_have_count(3)
    expect(table).to_contain_text("Rp1.200.000")
    page.locator(".charts").scroll_into_view_if_needed()
    shot(page, "charts", "id")


STORIES: dict[str, Callable[[], Story]] = {
    "zero": nothing_yet,
    "one": one_receipt,
    "many": lambda: bulk(300),
}


@pytest.mark.parametrize(("name", "rows"), [("zero", 0), ("one", 1), ("many", 300)])
def test_zero_one_and_300_receipts(
    name: str, rows: int, serve: Callable[..., str], page: Page, tmp_path: Path
) -> None:
    reading = Reading.open(source_of(STORIES[name](), tmp_path))
    address = serve(pages(reading))
    assert not reading.book.report.findings
    for path in ("/", "/program/1", "/penyalur", "/tempat", "/kartu", "/dilihat"):
        page.goto(address + path)
        accessible(page)
        if path == "/":
            shot(page, f"fund-{name}", "id")
    page.goto(address + "/struk")
    expect(page.locator("h1")).to_have_text(f"{rows} struk")
    expect(page.locator("tbody tr")).to_have_count(min(rows, 100) or 1)
    accessible(page)
    shot(page, f"receipts-{name}", "id")
    if rows > 100:
        page.click("text=berikutnya")
        expect(page.locator(".pager")).to_contain_text("Halaman 2 dari 3")
        expect(page.locator("tbody tr")).to_have_count(100)


LONG = {
    1: ("Paket Pangan Masyarakat Adat Hulu Katingan dan Hulu Mentikus",
        "Food basket for customary families of the upper Katingan"),
    2: ("Bantuan Tunai Musim Paceklik Tumbang Habangoi dan Sekitarnya",
        "Lean season cash aid for Tumbang Habangoi and its hamlets"),
    3: ("Bantuan Sekolah Anak Hulu Sungai Kahayan Rungan dan Manuhing",
        "School grant for children of the upper Kahayan and Manuhing"),
}  # fmt: skip
PROVIDER = "Koperasi Serba Usaha Huma Betang Tumbang Habangoi Hulu"
"""56 characters: a ledger account says "payable/" before it, and 64 are all it may have."""


class Upriver(AuditWorld):
    """Programmes and places with the longest Dayak names."""

    def sign(self, shape: Any, **more: Any) -> bytes:
        if isinstance(shape, Programme):
            title_id, title_en = LONG[shape.code]
            shape = replace(shape, title_id=title_id, title_en=title_en, agency=PROVIDER)
        return super().sign(shape, **more)

    def station(self, name: bytes, place: str, *more: Any) -> Any:
        return super().station(name, f"Tumbang Habangoi Hulu Katingan Mentikus {place}", *more)


def test_the_longest_names(
    serve: Callable[..., str], page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_story, "AuditWorld", Upriver)
    monkeypatch.setattr(audit_story, "BULOG", PROVIDER)
    story = tell()
    reading = Reading.open(source_of(story, tmp_path))
    assert not reading.book.report.findings
    address = serve(pages(reading))
    place = story.one.place
    receipt = next(iter(reading.book.world.receipts)).hex()
    ways = {
        "fund": "/", "programme": "/program/1", "providers": "/penyalur", "provider":
        f"/penyalur/{PROVIDER}", "places": "/tempat", "place": f"/tempat/{place}",
        "receipts": "/struk", "receipt": f"/struk/{receipt}", "alerts": "/dilihat",
        "cards": "/kartu",
    }  # fmt: skip
    # Neither the page nor a table in it is wider than its place.
    wide = """[document.documentElement, ...document.querySelectorAll('.table')]
      .filter(e => !e.closest('details:not([open])'))
      .reduce((sum, e) => sum + e.scrollWidth - e.clientWidth, 0)"""
    for name, way in ways.items():
        assert page.goto(address + way).ok
        assert page.evaluate(wide) == 0, name
        shot(page, f"long-{name}", "id")
    accessible(page)
    for name in ("fund", "programme", "place", "receipt"):
        in_language(page, address + ways[name], "en")
        assert page.evaluate(wide) == 0, name
        shot(page, f"long-{name}", "en")


def test_findings_and_alerts_are_never_on_one_list(
    serve: Callable[..., str], page: Page, tmp_path: Path
) -> None:
    story = tell()
    story.w.post(story.w.ledger[20][1])
    reading = Reading.open(source_of(story, tmp_path))
    address = serve(pages(reading))
    page.goto(address)
    expect(page.locator(".verdict.refused")).to_be_visible()
    accessible(page)
    shot(page, "fund-findings", "id")
    page.locator(".parts a", has_text="Temuan").click()
    numbers = page.locator(".invariant .findings > li")
    expect(numbers).to_have_count(len(reading.book.report.findings))
    accessible(page)
    shot(page, "findings-some", "id")
    assert "sanggah" not in page.locator(".narrow").inner_text()
    page.locator(".parts a", has_text="Perlu dilihat").click()
    expect(page.locator(".findings")).to_have_count(0)
    expect(page.locator("main")).to_contain_text("Ini bukan bukti.")


def test_in_the_dark(serve: Callable[..., str], page: Page, reading: Reading) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(serve(pages(reading)))
    accessible(page)
    page.screenshot(path=SCREENS / "audit-fund-dark.png")


def test_a_page_is_light(serve: Callable[..., str], page: Page, reading: Reading) -> None:
    """At most 60 kB compressed with everything it loads, pictures apart (issue 4)."""
    sizes: dict[str, int] = {}

    def count(response: Any) -> None:
        kind = response.headers.get("content-type", "")
        if "svg" not in kind:
            body = response.body()
            sizes[response.url] = len(body if "woff2" in kind else gzip.compress(body))

    page.on("response", count)
    page.goto(serve(pages(reading)))
    page.wait_for_load_state("networkidle")
    assert sum(sizes.values()) < 60_000, (sum(sizes.values()), sizes)
