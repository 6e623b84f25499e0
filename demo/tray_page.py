"""The tray beside the readers as a page: cards in and out, letters, and the printed slips.

It moves cards through ``betang-card`` and knows nothing of what the faces do. One thread looks at
card servers, letters and paper; pages show what it saw last (:class:`TrayView`), and are told.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from demo.desk import Desk
from demo.paper import Paper, PaperError, picture
from demo.programs import ProgramError
from demo.tray import Tray
from ui.face import Face, Mark, session
from ui.guard import Door

HERE: Final = Path(__file__).parent
READERS: Final = ("desk", "point")
STAND_INS: Final = ("foreign", "unfit", "dropping")
SPECIMEN: Final = "specimen"
LOOK_S: Final = 0.3
SLIPS_SHOWN: Final = 2
_NO_CONTENT: Final = 204
_CALM: Final[dict[str, Any]] = {"armed": False, "torn": False, "problem": ""}


@dataclass(frozen=True, slots=True)
class Letter:
    """What came by mail for a card: its number and transport code."""

    card: str
    code: str = field(repr=False)

    @property
    def name(self) -> str:
        """The card as the faces name it: ``DEMO-000003``."""
        raw = bytes.fromhex(self.card)
        return f"{raw[:4].decode('ascii', 'replace')}-{int.from_bytes(raw[4:], 'big'):06d}"


@dataclass(frozen=True, slots=True)
class TrayView:
    """What lies where. ``letters``: by the card they came for; ``torn``: the power was cut."""

    lies: Mapping[str, str] = field(default_factory=dict)
    used: tuple[str, ...] = ()
    letters: Mapping[str, Letter] = field(default_factory=dict)
    slips: int = 0
    armed: bool = False
    torn: bool = False
    problem: str = ""


class Mailbox:
    """The families' letters, opened again only when one more has come."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._codes: dict[str, str] = {}

    def waiting(self) -> set[str]:
        """Cards (hex) whose letter lies in the box."""
        out = self._desk.mail / "out"
        return {path.stem for path in out.glob("*.age")} if out.exists() else set()

    def open(self, card: str) -> Letter:
        """The letter of one card; :class:`demo.programs.ProgramError`."""
        if card not in self._codes:
            self._codes = self._desk.codes()
        return Letter(card, self._codes[card])


class TrayPage:
    """Where each card lies.

    ``secrets`` are what the people of this demo know; ``cards_said`` is what must be said of the
    cards themselves, Indonesian and English.
    """

    def __init__(
        self, trays: Mapping[str, Tray], cards: list[Path], specimen: Path, mailbox: Mailbox,
        *, paper: Paper, secrets: Mapping[str, Any], faces: Mapping[str, str],
        cards_said: tuple[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.secrets, self.faces, self.cards_said = secrets, faces, cards_said
        self._trays, self._mailbox, self._paper = trays, mailbox, paper
        self.blanks = tuple(p.stem for p in cards)
        self._files = {p.stem: p for p in cards} | {SPECIMEN: specimen}
        self._turn, self._closing = threading.RLock(), threading.Event()
        self._listeners: list[Callable[[], None]] = []
        self._came: dict[str, str] = {}  # letter not opened yet → the card it is for
        self.view = TrayView()

    @property
    def names(self) -> tuple[str, ...]:
        """Every card there is."""
        return (*self._files, *STAND_INS)

    # --- cards -----------------------------------------------------------------------------------

    def insert(self, reader: str, card: str) -> None:
        """Take whatever lies in ``reader`` out, and this card wherever it lies; put it in."""
        with self._turn:
            self._look()
            lies = dict(self.view.lies)
            for where in [r for r, c in lies.items() if r == reader or c == card]:
                self._trays[where].remove()
                del lies[where]
                self._show(lies=dict(lies))
            if card in STAND_INS:
                self._trays[reader].insert_stand_in(card)
            else:
                self._trays[reader].insert(self._files[card])
            used = {*self.view.used, card} & set(self.blanks)
            self._show(lies=lies | {reader: card}, used=tuple(sorted(used)), **_CALM)

    def remove(self, reader: str) -> None:
        """Take out what lies in this reader."""
        with self._turn:
            self._look()
            lies = dict(self.view.lies)
            if lies.pop(reader, None):
                self._trays[reader].remove()
            self._show(lies=lies, **_CALM)

    def tear(self) -> None:
        """The next debit at the point loses its power half-way."""
        with self._turn:
            if "point" in self.view.lies:
                self._trays["point"].tear_debit(2)
                self._show(armed=True, torn=False)

    def trouble(self, what: str) -> None:
        """Show what went wrong with a card server, until the next card is moved."""
        self._show(problem=what)

    def slip(self, number: int) -> bytes | None:
        """A printed slip as PNG, by its number from the first."""
        slips = self._paper.slips()
        if not 0 <= number < len(slips):
            return None
        data = io.BytesIO()
        picture(slips[number], data)
        return data.getvalue()

    # --- what happens by itself ------------------------------------------------------------------

    def watch(self) -> None:
        """Look until :meth:`close`; trouble is shown on the page and looked at again."""
        while not self._closing.wait(LOOK_S):
            try:
                with self._turn:
                    self._look()
                self._open_letters()
            except ProgramError as e:
                self.trouble(str(e))

    def close(self) -> None:
        """End :meth:`watch`."""
        self._closing.set()

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` (from any thread) at each new view; call the result to end it."""
        self._listeners.append(listener)

        def stop() -> None:
            with contextlib.suppress(ValueError):
                self._listeners.remove(listener)

        return stop

    def _look(self) -> None:
        """A card that lost its power is out; a new letter is of the card in the desk's reader."""
        before = self.view
        lies = {r: c for r, c in before.lies.items() if self._trays[r].holds_card()}
        changes: dict[str, Any] = {"lies": lies}
        if before.armed and "point" not in lies:
            changes |= {"armed": False, "torn": True}
        known = self._came.keys() | {x.card for x in before.letters.values()}
        for card in self._mailbox.waiting() - known:
            self._came[card] = before.lies.get("desk", card)
        with contextlib.suppress(PaperError):  # a slip is just being printed
            changes["slips"] = len(self._paper.slips())
        self._show(**changes)

    def _open_letters(self) -> None:
        """By the desk's own program, which takes a second: nobody waits for it to move a card."""
        for card, holder in list(self._came.items()):
            letter = self._mailbox.open(card)
            with self._turn:
                self._show(letters={**self.view.letters, holder: letter})
                del self._came[card]

    def _show(self, **changes: Any) -> None:
        with self._turn:
            fresh = replace(self.view, **changes)
            if fresh == self.view:
                return
            self.view = fresh
            for listener in tuple(self._listeners):
                listener()


def tray_face(page: TrayPage, port: int, uid: int) -> Face:
    """The tray's page on a port of 127.0.0.1."""
    face = Face("Baki kartu", HERE / "templates", Door.at(port, uid), mark=Mark(demo=True),
                static=HERE / "static")  # fmt: skip

    def values(view: TrayView) -> dict[str, Any]:
        in_stack = [b for b in page.blanks if b not in view.used]
        newest = range(view.slips - 1, max(-1, view.slips - 1 - SLIPS_SHOWN), -1)
        return {"view": view, "stack": in_stack, "others": (SPECIMEN, *STAND_INS),
                "slips": list(newest), "secrets": page.secrets, "faces": page.faces,
                "cards_said": page.cards_said}  # fmt: skip

    @face.app.get("/")
    def index(request: Request) -> HTMLResponse:
        return face.page(request, "tray.html", **values(page.view))

    @face.app.get("/langsung", response_class=EventSourceResponse)
    async def live(request: Request) -> AsyncIterator[ServerSentEvent]:
        """The whole tray, now and whenever something moves."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the server is ending
                loop.call_soon_threadsafe(news.set)

        stop, shown = page.listen(tell), None
        try:
            while True:
                news.clear()
                view = page.view
                if view != shown:
                    text = face.part(session(request), "tray-now.html", **values(view))
                    yield ServerSentEvent(raw_data=text)
                    shown = view
                await news.wait()
        finally:
            stop()

    _moves(face, page)
    return face


def _moves(face: Face, page: TrayPage) -> None:
    """Slips as pictures; and what a hand does, which answers nothing: the stream shows it."""

    @face.app.get("/struk/{number}.png")
    def slip(number: int) -> Response:
        found = page.slip(number)
        if found is None:
            raise HTTPException(404)
        return Response(found, media_type="image/png")

    def done(act: Callable[[], None]) -> Response:
        try:
            act()
        except ProgramError as e:
            page.trouble(str(e))
        return Response(status_code=_NO_CONTENT)

    @face.app.post("/insert/{reader}/{card}")
    def insert(reader: str, card: str) -> Response:
        if reader not in READERS or card not in page.names:
            raise HTTPException(404)
        return done(lambda: page.insert(reader, card))

    @face.app.post("/remove/{reader}")
    def remove(reader: str) -> Response:
        if reader not in READERS:
            raise HTTPException(404)
        return done(lambda: page.remove(reader))

    @face.app.post("/tear")
    def tear() -> Response:
        return done(page.tear)
