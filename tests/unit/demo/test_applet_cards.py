"""CARD=applet: which card server is started, and what the screens say of it."""

import asyncio
from pathlib import Path

import httpx
import pytest

from demo.founding import Founding
from demo.programs import Programs
from demo.tray import APPLET_SAID, Tray
from demo.tray_page import TrayPage, tray_face
from ui.guard import Door

HOST = "127.0.0.1:1"


@pytest.mark.parametrize("applet", [True, False])
def test_the_tray_serves_the_applet_on_demand_alone(tmp_path: Path, applet: bool) -> None:
    started = []

    class Serves(Programs):
        def serve(self, command, ready, env=None):
            started.append(command)

    programs = Serves(tmp_path / "log", tmp_path, "x")
    Tray(programs, tmp_path / "ctl", "door", applet=applet).start()
    assert ("--applet" in started[0]) is applet


@pytest.mark.parametrize("applet", [True, False])
def test_the_story_says_it_first(tmp_path: Path, applet: bool) -> None:
    said = []

    class Runs(Programs):
        def run(self, command, **_):
            assert said == ([APPLET_SAID] if applet else [])

    story = Founding(
        tmp_path, tmp_path, Runs(tmp_path / "log", tmp_path, "x"), None, {},
        lambda *pair: said.append(pair), lambda _: None, applet=applet,
    )  # fmt: skip
    story._cards_from_the_maker()
    assert len(said) == applet
    for text in APPLET_SAID:
        assert "jCardSim" in text
        assert "security domain" in text
        assert "chip" in text


@pytest.mark.parametrize("said", [APPLET_SAID, None])
def test_the_trays_page_says_it(monkeypatch, tmp_path: Path, said) -> None:
    monkeypatch.setattr(Door, "at", classmethod(lambda cls, port, uid: cls(frozenset({HOST}))))
    none = dict.fromkeys(("code", "officer", "supervisor", "desk", "hall", "audit"), "x")
    page = TrayPage({}, [], tmp_path, None, paper=None, secrets=none, faces=none, cards_said=said)
    face = tray_face(page, 1, 0)

    async def one() -> str:
        transport = httpx.ASGITransport(face.app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            return (await client.get("/")).text

    text = asyncio.run(one())
    assert ("jCardSim" in text) is (said is not None)
