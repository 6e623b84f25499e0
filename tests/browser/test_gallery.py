"""The shared look in Chromium: no policy violated, words switch, tokens guard what changes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from playwright.sync_api import Page, expect

from tests.browser.conftest import SCREENS
from ui.face import HERE, Face, Mark
from ui.guard import Door
from wire.objects import Unit

NAMES = re.findall(r'symbol id="([a-z-]+)"', (HERE / "static" / "pictograms.svg").read_text())


def gallery(port: int) -> Any:
    door, both = Door(frozenset({f"127.0.0.1:{port}"})), Mark(demo=True, specimen=True)
    face = Face("Galeri", Path(__file__).parent / "gallery", door, mark=both)

    @face.app.get("/")
    def index(request: Request) -> HTMLResponse:
        return face.page(request, "gallery.html", names=NAMES, unit=Unit.GRAM)

    @face.app.get("/live", response_class=EventSourceResponse)
    async def live() -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent(
            raw_data="<p id='came' data-sound='done' data-said='datang'>datang</p>"
        )

    @face.app.post("/ask")
    async def ask(request: Request) -> HTMLResponse:
        form = await request.form()
        return HTMLResponse(f"{int(str(form['n'])) * 2}")

    return face.app


def test_shared_look(serve: Callable[..., str], page: Page) -> None:
    page.goto(serve(gallery))
    expect(page.locator("#came")).to_have_text("datang")
    expect(page.locator("#said")).to_have_text("datang")
    page.click("#ask")
    expect(page.locator("#answer")).to_have_text("10")
    assert page.evaluate("document.fonts.check('16px Atkinson')")
    page.screenshot(path=SCREENS / "gallery.png", full_page=True)
    page.click(".language button")
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_two_faces_in_one_browser_keep_their_sessions(
    serve: Callable[..., str], page: Page
) -> None:
    page.goto(serve(gallery))
    other = page.context.new_page()
    other.goto(serve(gallery))
    page.click("#ask")
    expect(page.locator("#answer")).to_have_text("10")


def test_form_of_another_site_changes_nothing(serve: Callable[..., str], page: Page) -> None:
    page.goto(address := serve(gallery))
    for headers in ({"X-CSRF": "wrong"}, {}):
        assert page.request.post(f"{address}/ask", form={"n": "5"}, headers=headers).status == 403
    token = page.locator("input[name=csrf]").first.input_value()
    good = {"n": "5", "csrf": token}
    assert page.request.post(f"{address}/ask", form=good).ok
    elsewhere = {"Origin": "http://127.0.0.1:1"}
    assert page.request.post(f"{address}/ask", form=good, headers=elsewhere).status == 403
    assert page.request.get(address, headers={"Host": "evil.example"}).status == 403
    assert page.request.post(f"{address}/ask", form=good | {"x": "y" * 70_000}).status == 413
