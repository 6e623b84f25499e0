"""Routes of the village hall: a page, its stream of screens, and one door for commands.

docs/ui.md#how-pages-move.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from terminal.face import forms, words
from terminal.face.board import Board
from terminal.kiosk_commands import Command
from terminal.kiosk_screens import View
from ui.face import Face, Mark, session
from ui.guard import Door

HERE: Final = Path(__file__).parent
NO_CONTENT: Final = 204


def hall_face(
    board: Board, send: Callable[[int, Command], None], *, door: Door, mark: Mark
) -> Face:
    """The face over a published screen; ``send`` hands a command to the worker."""
    face = Face("Titik bagi", HERE / "templates", door, mark=mark, filters=words.FILTERS,
                static=HERE / "static")  # fmt: skip

    @face.app.get("/")
    def page(request: Request) -> HTMLResponse:
        mark = board.mark
        return face.page(request, "hall.html", seen=mark, **_values(board.view, is_page=True))

    @face.app.get("/live", response_class=EventSourceResponse)
    async def live(request: Request, seen: str = "") -> AsyncIterator[ServerSentEvent]:
        """Screens as they come; what the page shows already is not sent over typed digits."""
        shown = request.headers.get("last-event-id") or seen
        number = board.view.number
        async for view, turn in board.follow():
            is_new = view.number != number
            name = "strip-part.html" if turn == shown else "screen.html"
            values = _values(view, is_new=is_new)
            yield ServerSentEvent(raw_data=face.part(session(request), name, **values), id=turn)
            shown, number = turn, view.number

    @face.app.post("/do/{verb}")
    async def do(verb: str, request: Request) -> Response:
        form = {k: str(v) for k, v in (await request.form()).items()}
        try:
            number = forms.whole(form.get("screen", ""))
            send(number, forms.command(verb, form, board.view.screen))
        except forms.FormError as e:
            raise HTTPException(422, str(e)) from e
        return Response(status_code=NO_CONTENT)

    return face


def _values(view: View, *, is_new: bool = False, is_page: bool = False) -> dict[str, Any]:
    """What a template gets. ``is_new``: heard, spoken and focused; a whole page is focused."""
    return {"view": view, "screen": view.screen, "strip": view.strip, "is_new": is_new,
            "is_focused": is_new or is_page}  # fmt: skip
