"""One face: a FastAPI application with the shared look, words and guard (docs/ui.md)."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from ui import show
from ui.guard import Door, Guard, Session, Sessions
from ui.words import LANGUAGES, Words

HERE: Final = Path(__file__).parent
TYPES: Final = {
    ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2",
    ".png": "image/png",
}  # fmt: skip
_PACKED = {".css", ".js", ".svg"}
_FOREVER = "public, max-age=31536000, immutable"


class MissingAssetError(Exception):
    """A page names a file that is not there; ``scripts/setup`` fetches those of others."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One static file, ready to send: named by its hash, packed once."""

    name: str
    media_type: str
    plain: bytes
    packed: bytes | None


class Assets:
    """Files of ``static/`` folders by the hash of their content, all in memory."""

    def __init__(self, *folders: Path) -> None:
        self._by_name: dict[str, Asset] = {}
        self._names: dict[str, str] = {}
        found = [p for folder in folders for p in folder.glob("*") if p.suffix in TYPES]
        for path in sorted(found, key=lambda p: (p.suffix == ".css", p.name)):
            self._add(path)

    def _add(self, path: Path) -> None:
        plain = path.read_bytes()
        if path.suffix == ".css":  # last: what they name has its hash by now
            for other, name in self._names.items():
                plain = plain.replace(f"url({other})".encode(), f"url({name})".encode())
        name = f"{path.stem}.{hashlib.sha256(plain).hexdigest()[:12]}{path.suffix}"
        packed = gzip.compress(plain, 9, mtime=0) if path.suffix in _PACKED else None
        self._names[path.name] = name
        self._by_name[name] = Asset(name, TYPES[path.suffix], plain, packed)

    def url(self, name: str) -> str:
        """Address of a file by its plain name; :class:`MissingAssetError`."""
        if name not in self._names:
            raise MissingAssetError(f"{name} is missing; run scripts/setup play")
        return f"/static/{self._names[name]}"

    def answer(self, name: str, accepted: str) -> Response:
        """The file, packed when the browser takes that; never asked for again."""
        asset = self._by_name.get(name)
        if asset is None:
            return Response(status_code=404)
        headers = {"cache-control": _FOREVER, "vary": "accept-encoding"}
        if asset.packed is None or "gzip" not in accepted:
            return Response(asset.plain, media_type=asset.media_type, headers=headers)
        headers["content-encoding"] = "gzip"
        return Response(asset.packed, media_type=asset.media_type, headers=headers)


@cache
def shared_assets() -> Assets:
    """The files all faces share, with those of others that set-up fetched."""
    return Assets(HERE / "static", HERE / "vendor")


@dataclass(frozen=True, slots=True)
class Mark:
    """What kind of world a page shows: real, DEMO, specimen or training."""

    demo: bool = False
    specimen: bool = False


class Face:
    """Templates, words, session and security of one face; routes are added to :attr:`app`.

    ``static`` is a folder of the face's own files beside the shared ones.
    ``page`` renders a whole page, ``part`` a fragment of one; both in the session's language.
    """

    def __init__(
        self, title: str, templates: Path, door: Door, *, mark: Mark,
        filters: dict[str, Callable[..., Any]] | None = None,
        static: Path | None = None, sessions: Sessions | None = None,
    ) -> None:  # fmt: skip
        self.title, self.mark = title, mark
        self.sessions = sessions or Sessions()
        assets = Assets(HERE / "static", HERE / "vendor", *([static] if static else []))
        self.app = FastAPI(title=title, openapi_url=None, docs_url=None, redoc_url=None)
        self.app.add_middleware(Guard, door=door, sessions=self.sessions)
        self._env = jinja2.Environment(
            loader=jinja2.FileSystemLoader([templates, HERE / "templates"]), autoescape=True,
            undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._env.filters |= {"rupiah": show.rupiah, "number": show.number, "masked": show.masked}
        self._env.filters |= filters or {}
        self._env.globals |= {
            "asset": assets.url, "icon": icon, "face": title, "mark": mark,
        }  # fmt: skip

        @self.app.get("/static/{name}", include_in_schema=False)
        def file(name: str, request: Request) -> Response:
            return assets.answer(name, request.headers.get("accept-encoding", ""))

        self.app.post("/bahasa/{language}", include_in_schema=False)(_language)

    def page(self, request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A whole page or, for htmx, the same template; ``name`` is a template's."""
        return HTMLResponse(self.part(session(request), name, **values), status)

    def part(self, to: Session, name: str, **values: Any) -> str:
        """A template rendered in the language of this session."""
        words = Words(to.language)
        return self._env.get_template(name).render(
            values | {"_": words.say, "pick": words.pick, "language": to.language, "session": to}
            | _pairs(words)
        )  # fmt: skip


def _pairs(words: Words) -> dict[str, Callable[..., str]]:
    """Formatters that have two forms, in the page's language."""
    return {
        "good": lambda code: words.pick(show.good(code)),
        "amount": lambda value, unit: words.pick(show.amount(value, unit)),
        "when": lambda time_s: words.pick(show.when(time_s)),
        "day": lambda time_s: words.pick(show.day(time_s)),
    }


def session(request: Request) -> Session:
    """The session the guard found or began."""
    found: Session = request.state.session
    return found


def icon(name: str, label: str = "", css: str = "") -> Markup:
    """A pictogram of ui/static/pictograms.svg; hidden from screen readers without a label."""
    said = (
        Markup('role="img" aria-label="{}"').format(label)
        if label else Markup('aria-hidden="true"')
    )  # fmt: skip
    return Markup('<svg class="icon {}" {}><use href="{}#{}"/></svg>').format(
        css, said, shared_assets().url("pictograms.svg"), name
    )


def _language(language: str, request: Request) -> Response:
    """Change the language and go back to the page that asked."""
    if language in LANGUAGES:
        session(request).language = language
    return back(request)


def back(request: Request) -> Response:
    """To the page that asked, by its path alone: never out of this face."""
    asked = request.headers.get("referer", "/")
    target = "/" + asked.split("/", 3)[3] if asked.count("/") > 2 else "/"
    return RedirectResponse("/" if target.startswith("//") else target, 303)
