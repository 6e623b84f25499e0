"""The desk's pages: routes only. What they show is the bench's view; what they ask, a command.

docs/ui.md#how-pages-move.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from issuer import messages
from issuer.face import screens
from issuer.face.bench import Bench
from issuer.face.screens import View
from keys.errors import Code as KeyCode
from keys.errors import KeysError
from keys.messages import MESSAGES as KEY_MESSAGES
from ui.face import Face, Mark, session
from ui.guard import Door, Session, cookie_line
from wire.env import Environment

HERE: Final = Path(__file__).parent
REGIONS: Final = ("strip", "queue", "screen", "last", "family")
"""Places of the page, each a template ``region_*.html`` that changes by itself."""
_SEE_OTHER, _NO_CONTENT, _UNPROCESSABLE = 303, 204, 422
_VISIT = "visit"


def make_face(bench: Bench, env: Environment, door: Door) -> Face:
    """The face over one bench."""
    face = Face(
        "Meja penerbitan", HERE / "templates", door, static=HERE / "static",
        mark=Mark(demo=env.is_demo, specimen=env.is_specimen),
        filters={
            "short": short, "card": card_name, "ymd": day_of_number,
            "outcome": messages.text, "title": messages.title,
            "step": messages.STEPS.__getitem__, "said": messages.KINDS.__getitem__,
            "decision": messages.DECISIONS.__getitem__,
            "life": messages.LIVES.__getitem__, "keys": lambda c: KEY_MESSAGES[KeyCode(c)],
        },
    )  # fmt: skip
    _pages(face, bench)
    _commands(face.app, bench)
    return face


def short(raw: bytes) -> str:
    """The beginning of an id in groups of four hex digits: ``3f2a 90bc``."""
    return f"{raw[:2].hex()} {raw[2:4].hex()}"


def card_name(card_id: bytes) -> str:
    """``KHBS-000123``: mark and serial number, as the auditor's page says it."""
    return f"{card_id[:4].decode('ascii', 'replace')}-{int.from_bytes(card_id[4:], 'big'):06d}"


def day_of_number(day: int) -> int:
    """Seconds within the day YYYYMMDD, for the formatters of dates."""
    at = datetime.strptime(str(day), "%Y%m%d").replace(tzinfo=UTC)
    return int(at.timestamp())


def _is_in(here: Session, view: View) -> bool:
    """Whether this browser is the one that signed in last."""
    return view.visit != "" and here.keep.get(_VISIT) == view.visit


def _part(face: Face, to: Session, name: str, view: View) -> str:
    """One place of the page as ``view`` has it."""
    return face.part(to, f"region_{name}.html", view=view, screen=view.screen, s=screens)


def _pages(face: Face, bench: Bench) -> None:
    @face.app.get("/")
    def index(request: Request) -> HTMLResponse:
        here, view = session(request), bench.view
        if not _is_in(here, view):
            return _door(face, request, view)
        parts = {name: _part(face, here, name, view) for name in REGIONS}
        return face.page(request, "desk.html", view=view, parts_of=parts)

    @face.app.get("/masuk")
    def back_to_the_door() -> Response:
        """Where the address of a refused attempt leads when it is opened again."""
        return RedirectResponse("/", _SEE_OTHER)

    @face.app.post("/masuk")
    async def sign_in(
        request: Request, officer: Annotated[str, Form()], passphrase: Annotated[str, Form()]
    ) -> Response:
        here = session(request)
        if not re.fullmatch(r"[0-9]{1,10}", officer) or not 0 < int(officer) < 1 << 32:
            return _door(face, request, bench.view, number_wrong=True)
        command = screens.SignIn(int(officer), passphrase, secrets.token_hex(16))
        try:
            view = await asyncio.wrap_future(bench.tell(command))
        except KeysError as e:
            return _door(face, request, bench.view, problem=KEY_MESSAGES[e.code])
        if view.visit != command.visit:  # somebody else, at the same moment
            return _door(face, request, view)
        here.officer, here.keep[_VISIT] = command.officer, view.visit
        return RedirectResponse("/", _SEE_OTHER, {
            "set-cookie": cookie_line(face.sessions.renew(here), request.headers["host"])
        })  # fmt: skip

    @face.app.get("/langsung", response_class=EventSourceResponse)
    async def live(request: Request, seen: int = 0) -> AsyncIterator[ServerSentEvent]:
        """What changes, place by place, as it changes; ``seen`` is the view the page has."""
        here, loop, news = session(request), asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the server is ending
                loop.call_soon_threadsafe(news.set)

        stop = bench.listen(tell)
        shown: dict[str, str] = {}
        try:
            while True:
                news.clear()
                view = bench.view
                fresh = _fresh(face, here, view)
                if shown or view.number != seen:
                    changed = "".join(
                        f'<hx-partial hx-target="#{name}" hx-swap="innerHTML">{text}</hx-partial>'
                        for name, text in fresh.items() if shown.get(name) != text
                    )  # fmt: skip
                    if changed:
                        yield ServerSentEvent(raw_data=changed)
                shown = fresh
                await news.wait()
        finally:
            stop()


def _fresh(face: Face, here: Session, view: View) -> dict[str, str]:
    if not _is_in(here, view):
        gone = face.part(here, "gone.html")
        return dict.fromkeys(REGIONS, "") | {"screen": gone}
    return {name: _part(face, here, name, view) for name in REGIONS}


def _door(
    face: Face, request: Request, view: View, *, number_wrong: bool = False,
    problem: screens.Texts | None = None,
) -> HTMLResponse:  # fmt: skip
    """The page before an officer signed in."""
    if problem is None and isinstance(view.screen, screens.SignedOut):
        problem = view.screen.problem
    return face.page(request, "signin.html", view=view, number_wrong=number_wrong, problem=problem)


def _commands(app: FastAPI, bench: Bench) -> None:
    """Each answers nothing: what came of it arrives in the stream, as all else does."""

    async def tell(request: Request, command: screens.Command) -> Response:
        if not _is_in(session(request), bench.view):
            return RedirectResponse("/", _SEE_OTHER)
        await asyncio.wrap_future(bench.tell(command))
        return Response(status_code=_NO_CONTENT)

    @app.post("/lanjut")
    async def go(request: Request, turn: Annotated[int, Form()]) -> Response:
        return await tell(request, screens.Go(turn))

    @app.post("/kembali")
    async def back(request: Request, turn: Annotated[int, Form()]) -> Response:
        return await tell(request, screens.Back(turn))

    @app.post("/baca")
    async def read(request: Request) -> Response:
        return await tell(request, screens.ReadCard())

    @app.post("/kantor")
    async def contact(request: Request) -> Response:
        return await tell(request, screens.Contact())

    @app.post("/otomatis")
    async def auto(request: Request, on: Annotated[bool, Form()]) -> Response:
        return await tell(request, screens.Auto(on))

    @app.post("/rusak")
    async def scrap(request: Request, order: Annotated[str, Form(max_length=32)]) -> Response:
        try:
            number = bytes.fromhex(order)
        except ValueError:
            return Response(status_code=_UNPROCESSABLE)
        return await tell(request, screens.AskScrap(number))

    @app.post("/rusak/alasan")
    async def reason(
        request: Request, turn: Annotated[int, Form()],
        reason: Annotated[str, Form(max_length=200)] = "",
    ) -> Response:  # fmt: skip
        return await tell(request, screens.GiveReason(turn, reason))

    @app.post("/rusak/ya")
    async def scrapped(request: Request, turn: Annotated[int, Form()]) -> Response:
        return await tell(request, screens.Scrap(turn))

    @app.post("/keluar")
    async def sign_out(request: Request) -> Response:
        here = session(request)
        if _is_in(here, bench.view):
            await asyncio.wrap_future(bench.tell(screens.SignOut()))
        here.officer = 0
        here.keep.pop(_VISIT, None)
        return RedirectResponse("/", _SEE_OTHER)
