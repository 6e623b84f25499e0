"""The desk's sign-in over its routes, without a socket: who is in, and who is not."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from issuer.errors import LogFullError
from issuer.face import screens as s
from issuer.face.app import make_face
from tests.unit.issuer.bench_world import WORDS, World
from ui.guard import Door
from wire.env import Environment

HOST = "desk:1"


class Browser:
    """One browser before a desk whose bench turns as long as anybody asks."""

    def __init__(self, d: World) -> None:
        self.d = d
        self.app = make_face(d.bench, Environment.DEMO_LIVE, Door(frozenset({HOST}))).app
        self.cookies = httpx.Cookies()

    def ask(self, method: str, path: str, **form: str) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(
                transport=transport, base_url=f"http://{HOST}", cookies=self.cookies
            ) as client:
                answer = await client.request(method, path, data=form)
                self.cookies = client.cookies
                return answer

        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(asyncio.run, asked())
            while not answer.done():  # the bench and its files stay in the thread that made them
                self.d.bench.turn()
            return answer.result()

    def sign_in(self, officer: str, passphrase: str = WORDS) -> httpx.Response:
        found = re.search(r'name="csrf" value="([^"]+)"', self.ask("GET", "/").text)
        assert found is not None
        return self.ask("POST", "/masuk", csrf=found[1], officer=officer, passphrase=passphrase)


@pytest.fixture
def d() -> World:
    made = World()
    made.w.order()
    return made


def test_signing_in_gives_another_cookie_and_the_first_is_void(d: World) -> None:
    browser = Browser(d)
    browser.ask("GET", "/")
    before = dict(browser.cookies)
    assert browser.sign_in("7").headers["location"] == "/"
    assert dict(browser.cookies).keys() == before.keys()
    assert dict(browser.cookies) != before
    assert d.bench.view.officer == 7
    assert "passphrase" not in browser.ask("GET", "/").text
    browser.cookies = httpx.Cookies(before)
    assert "passphrase" in browser.ask("GET", "/").text


@pytest.mark.parametrize("officer", ["0", "x", "٣", "4294967296", "9" * 5_000, "-1"])
def test_a_number_that_is_none_is_told(d: World, officer: str) -> None:
    answer = Browser(d).sign_in(officer)
    assert answer.status_code == 200
    assert 'id="officer-wrong"' in answer.text
    assert d.bench.view.officer == 0


def test_a_wrong_passphrase_is_not_repeated_and_its_address_leads_back(d: World) -> None:
    browser = Browser(d)
    answer = browser.sign_in("7", "kata yang salah")
    assert "kata yang salah" not in answer.text
    assert isinstance(d.bench.view.screen, s.SignedOut)
    again = browser.ask("GET", "/masuk")
    assert (again.status_code, again.headers["location"]) == (303, "/")


def test_a_desk_that_fails_at_sign_in_has_nobody_in(
    d: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the page nor the bench: a card is never made in the name of who is not in."""

    def full(*_: object) -> int:
        raise LogFullError("no room")

    browser = Browser(d)
    with monkeypatch.context() as at:
        at.setattr(d.w.desk.book, "waiting", full)
        assert "passphrase" in browser.sign_in("7").text
    card = d.w.card()
    writes = card.nvm.writes
    assert isinstance(d.insert(card), s.SignedOut)
    assert (d.bench.view.visit, card.nvm.writes) == ("", writes)
    d.take()
    d.sign_in()
    with monkeypatch.context() as at:
        at.setattr(d.w.desk.book, "waiting", full)
        assert "passphrase" in browser.sign_in("8").text
    assert d.bench.view.officer == d.bench._run.officer == 7


def test_what_is_asked_without_signing_in_is_not_heard(d: World) -> None:
    d.sign_in()
    browser = Browser(d)
    found = re.search(r'name="csrf" value="([^"]+)"', browser.ask("GET", "/").text)
    assert found is not None
    for path in ("/baca", "/kantor", "/keluar"):
        assert browser.ask("POST", path, csrf=found[1]).status_code == 303
    view = d.bench.view
    assert (view.visit != "", isinstance(view.screen, s.Ready), view.notice) == (True, True, None)
