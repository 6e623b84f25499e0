"""What a hand may put where: only cards there are, into readers there are."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from demo.tray_page import tray_face
from ui.guard import Door, cookie_name

HOST = "127.0.0.1:1"


class Page:
    names = ("a", "foreign")

    def __init__(self):
        self.done = []

    def insert(self, reader, card):
        self.done.append((reader, card))

    def remove(self, reader):
        self.done.append((reader,))

    def slip(self, number):
        return b"png" if number == 0 else None


@pytest.fixture
def asked(monkeypatch):
    monkeypatch.setattr(Door, "at", classmethod(lambda cls, port, uid: cls(frozenset({HOST}))))
    page = Page()
    face = tray_face(page, 1, 0)
    cookie, session = face.sessions.new()
    headers = {"cookie": f"{cookie_name(HOST)}={cookie}", "x-csrf": session.token}

    def ask(method, path):
        async def one():
            transport = httpx.ASGITransport(face.app)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
                return (await client.request(method, path, headers=headers)).status_code

        return asyncio.run(one())

    ask.page = page
    return ask


def test_only_cards_and_readers_that_there_are(asked):
    for path in ("/insert/desk/b", "/insert/else/a", "/insert/desk/..%2Fa", "/insert/desk/%2e%2e",
                 "/insert/desk/a.nvm", "/remove/else"):  # fmt: skip
        assert asked("POST", path) == 404
    assert asked("GET", "/insert/desk/a") == 405
    assert asked.page.done == []
    assert (asked("POST", "/insert/point/a"), asked("POST", "/remove/desk")) == (204, 204)
    assert asked.page.done == [("point", "a"), ("desk",)]


@pytest.mark.parametrize(("name", "status"), [("0", 200), ("1", 404), ("-1", 404), ("x", 422)])
def test_a_slip_is_named_by_its_number(asked, name, status):
    assert asked("GET", f"/struk/{name}.png") == status
