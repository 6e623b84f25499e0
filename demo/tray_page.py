"""The tray beside the readers as a page: cards in and out, letters, and the printed slips.

It moves cards through ``betang-card`` and knows nothing of what the faces do.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from demo.desk import Desk
from demo.paper import Paper, picture
from demo.programs import ProgramError
from demo.tray import Tray
from ui.face import Face, Mark
from ui.guard import Door

HERE = Path(__file__).parent
READERS = ("desk", "point")
STAND_INS = ("foreign", "unfit", "dropping")


@dataclass(frozen=True, slots=True)
class Letter:
    """What came by mail for a card: its number and transport code."""

    card: str
    code: str = field(repr=False)


@dataclass(slots=True)
class Letters:
    """The families' letters, opened again only when one more has come."""

    desk: Desk
    _count: int = -1
    _letters: list[Letter] = field(default_factory=list)

    def all(self) -> list[Letter]:
        """Newest first."""
        out = self.desk.mail / "out"
        count = len(list(out.iterdir())) if out.exists() else 0
        if count != self._count:
            codes = self.desk.codes() if count else {}
            self._letters = [Letter(card, code) for card, code in reversed(codes.items())]
            self._count = count
        return self._letters


@dataclass(slots=True)
class TrayPage:
    """Where each card lies. ``secrets`` are what the people of this demo know."""

    trays: Mapping[str, Tray]
    cards: list[Path]
    specimen: Path
    letters: Letters
    paper: Paper
    secrets: Mapping[str, Any] = field(repr=False)
    faces: Mapping[str, str]
    lies: dict[str, str] = field(default_factory=dict)
    """Reader → the card in it."""
    _turn: Lock = field(default_factory=Lock, repr=False)

    def names(self) -> list[str]:
        """Every card by its name on the page."""
        return [p.stem for p in self.cards] + ["specimen", *STAND_INS]

    def insert(self, reader: str, card: str) -> None:
        """Take whatever lies in ``reader`` out, and this card wherever it lies; put it in."""
        with self._turn:
            for where in [r for r, c in self.lies.items() if r == reader or c == card]:
                self.trays[where].remove()
                del self.lies[where]
            if card in STAND_INS:
                self.trays[reader].insert_stand_in(card)
            else:
                files = {p.stem: p for p in self.cards} | {"specimen": self.specimen}
                self.trays[reader].insert(files[card])
            self.lies[reader] = card

    def remove(self, reader: str) -> None:
        """Take out what lies in this reader."""
        with self._turn:
            if self.lies.pop(reader, None):
                self.trays[reader].remove()

    def tear(self) -> None:
        """The next debit at the point loses its power half-way."""
        with self._turn:
            if "point" in self.lies:
                self.trays["point"].tear_debit(2)

    def slips(self) -> list[str]:
        """Printed slips as pictures (PNG, base64), newest first."""
        found = []
        for slip in reversed(self.paper.slips()[-3:]):
            data = io.BytesIO()
            picture(slip, data)
            found.append(base64.b64encode(data.getvalue()).decode("ascii"))
        return found


def tray_face(page: TrayPage, port: int, uid: int) -> Face:
    """The tray's page on a port of 127.0.0.1."""
    door = Door(frozenset({f"127.0.0.1:{port}", f"localhost:{port}"}), uid)
    face = Face(
        "Baki kartu", HERE / "templates", door, mark=Mark(demo=True), static=HERE / "static"
    )

    def shown(request: Request, problem: str = "") -> HTMLResponse:
        return face.page(
            request, "tray.html", names=page.names(), lies=page.lies, letters=page.letters.all(),
            slips=page.slips(), secrets=page.secrets, faces=page.faces, problem=problem,
        )  # fmt: skip

    @face.app.get("/")
    def index(request: Request) -> HTMLResponse:
        return shown(request)

    @face.app.post("/insert/{reader}/{card}")
    def insert(request: Request, reader: str, card: str) -> Response:
        if reader not in READERS or card not in page.names():
            raise HTTPException(404)
        return _done(request, lambda: page.insert(reader, card))

    @face.app.post("/remove/{reader}")
    def remove(request: Request, reader: str) -> Response:
        if reader not in READERS:
            raise HTTPException(404)
        return _done(request, lambda: page.remove(reader))

    @face.app.post("/tear")
    def tear(request: Request) -> Response:
        return _done(request, page.tear)

    def _done(request: Request, act: Any) -> Response:
        try:
            act()
        except ProgramError as e:
            return shown(request, str(e))
        return RedirectResponse("/", 303)

    return face
