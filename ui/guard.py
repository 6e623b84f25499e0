"""Who may use a face, and what a page may do: the checks in front of every request.

docs/ui.md, Safety; who would attack a face, and what he gains: docs/threat-model.md.

1. The address in the Host header is one of ours (a page elsewhere that points its name at
   127.0.0.1 gets nothing).
2. A face of one machine answers only its local user: the other end of the loopback connection
   belongs to that user id, as the kernel says (/proc/net/tcp).
3. What changes something carries the session's token and comes from our own page.
4. Bodies are small; answers carry a content policy without inline script and are not kept.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE: Final = "betang"
TOKEN_HEADER: Final = "x-csrf"  # noqa: S105 - the header's name
TOKEN_FIELD: Final = "csrf"  # noqa: S105 - the field's name
BODY_LIMIT: Final = 64 * 1024  # bytes
IDLE_S: Final = 8 * 3600
SESSIONS_MAX: Final = 256
SAFE: Final = {"GET", "HEAD"}
HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
LOOPBACK: Final = "127.0.0.1"
SERVED: Final[dict[str, Any]] = {
    # uvicorn believes X-Forwarded-For of whoever connects from 127.0.0.1, port and all: any local
    # user could name the connection of another.
    "proxy_headers": False,
    "access_log": False, "log_level": "warning", "lifespan": "off",
}  # fmt: skip
"""How uvicorn serves every face."""
_FORM = "application/x-www-form-urlencoded"
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


@dataclass(slots=True)
class Session:
    """One browser's visit. ``officer`` is who signed in, 0 for nobody; ``keep`` is the face's."""

    token: str = field(repr=False)
    language: str = "id"
    officer: int = 0
    last_s: float = 0.0
    keep: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Door:
    """What :class:`Guard` checks against. ``uid`` None: any local user (the auditor's laptop)."""

    hosts: frozenset[str]
    uid: int | None = None

    @classmethod
    def at(cls, port: int, uid: int | None = None) -> Self:
        """The door of a face at this port of :data:`LOOPBACK`."""
        return cls(frozenset({f"{LOOPBACK}:{port}", f"localhost:{port}"}), uid)


class Sessions:
    """Sessions in memory, by a random cookie; the oldest go first when there are too many."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_id: dict[str, Session] = {}

    def find(self, cookie: str | None) -> Session | None:
        """The live session of this cookie."""
        session = self._by_id.get(cookie or "")
        now = self._clock()
        if session is None or now - session.last_s > IDLE_S:
            self._by_id.pop(cookie or "", None)
            return None
        session.last_s = now
        return session

    def new(self, language: str = "id") -> tuple[str, Session]:
        """A fresh session and its cookie's value."""
        while len(self._by_id) >= SESSIONS_MAX:
            del self._by_id[min(self._by_id, key=lambda k: self._by_id[k].last_s)]
        cookie, session = secrets.token_urlsafe(32), Session(secrets.token_urlsafe(32), language)
        session.last_s = self._clock()
        self._by_id[cookie] = session
        return cookie, session

    def renew(self, session: Session) -> str:
        """A new cookie value for this session (after signing in), the old one void."""
        self._by_id = {k: s for k, s in self._by_id.items() if s is not session}
        cookie = secrets.token_urlsafe(32)
        session.token = secrets.token_urlsafe(32)
        self._by_id[cookie] = session
        return cookie


class Guard:
    """ASGI middleware: the four checks; ``scope["state"]["session"]`` is the session."""

    def __init__(self, app: ASGIApp, door: Door, sessions: Sessions,
                 owner: Callable[[tuple[str, int], tuple[str, int]], int | None] | None = None,
                 ) -> None:  # fmt: skip
        self._app, self._door, self._sessions = app, door, sessions
        self._owner = owner or peer_uid

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        if (why := self._stranger(scope, headers)) is not None:
            return await PlainTextResponse(why, 403)(scope, receive, _closed(send))
        cookie = _cookie(headers)
        session, fresh = self._sessions.find(cookie), None
        if scope["method"] not in SAFE:
            body = await _read(receive)
            if body is None:
                return await PlainTextResponse("Isian terlalu besar / too large", 413)(
                    scope, receive, _closed(send)
                )
            if session is None or not _is_ours(headers, body, session):
                return await PlainTextResponse(
                    "Halaman sudah lama. Muat ulang, lalu ulangi. / The page is old. Reload it.",
                    403,
                )(scope, receive, _closed(send))
            receive = _again(body, receive)
        if session is None:
            fresh, session = self._sessions.new()
        scope.setdefault("state", {})["session"] = session
        line = None if fresh is None else cookie_line(fresh, headers["host"])
        return await self._app(scope, receive, _closed(send, line))

    def _stranger(self, scope: Scope, headers: Headers) -> str | None:
        if headers.get("host", "") not in self._door.hosts:
            return "Alamat ini tidak dilayani. / This address is not served."
        if self._door.uid is None:
            return None
        client, server = scope.get("client"), scope.get("server")
        if client is None or server is None or self._owner(client, server) != self._door.uid:
            return "Hanya untuk pengguna mesin ini. / Only for this machine's own user."
        return None


def _cookie(headers: Headers) -> str | None:
    # Not SimpleCookie: a neighbour's odd cookie would hide ours, or raise.
    return cookie_parser(headers.get("cookie", "")).get(cookie_name(headers.get("host", "")))


def _is_ours(headers: Headers, body: bytes, session: Session) -> bool:
    """Origin is our own, and the token is the session's (header of htmx, or form field)."""
    if headers.get("origin") not in {None, f"http://{headers.get('host')}"}:
        return False
    token = headers.get(TOKEN_HEADER)
    if token is None and headers.get("content-type", "").split(";")[0] == _FORM:
        fields: Mapping[str, list[str]] = parse_qs(body.decode("utf-8", "replace"))
        token = fields.get(TOKEN_FIELD, [""])[0]
    return hmac.compare_digest((token or "").encode(), session.token.encode())


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None when it is too large, or its sender left half-way."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more for the route, then whatever else comes."""
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once


def _closed(send: Send, cookie: str | None = None) -> Send:
    """Send with the policy headers; pages and answers are never kept by the browser."""

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            headers.setdefault("cache-control", "no-store")
            if cookie is not None:
                headers.append("set-cookie", cookie)
        await send(message)

    return with_headers


def cookie_name(host: str) -> str:
    """One name a port: browsers give a cookie to every port of a host, and faces are neighbours."""
    return f"{COOKIE}-{urlsplit(f'//{host}').port or 80}"


def cookie_line(value: str, host: str) -> str:
    """The Set-Cookie line of a session; never readable by script, never sent from elsewhere."""
    return f"{cookie_name(host)}={value}; Path=/; HttpOnly; SameSite=Strict"


def peer_uid(
    client: tuple[str, int], server: tuple[str, int], tables: Sequence[Path] = _TABLES
) -> int | None:
    """User id that owns the client's end of a loopback connection; None when not found.

    The kernel's table (/proc/net/tcp) names for each socket its local and remote address and its
    user; the client's socket is the one whose local address is the client and remote is us. All of
    both addresses counts: 127.0.0.2 is another socket, and may be another user's, with equal ports.
    """
    local, remote = _written(client), _written(server)
    for table in tables if local and remote else ():
        try:
            lines = table.read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[1] in local and columns[2] in remote:
                return int(columns[7])
    return None


def _written(address: tuple[str, int]) -> set[str]:
    """A loopback address as /proc writes it, alone and IPv4-mapped in an IPv6 one; else nothing."""
    try:
        ip = ipaddress.IPv4Address(address[0])
    except ValueError:
        return set()
    if not ip.is_loopback:
        return set()
    mark, word = (
        f"{int.from_bytes(raw, sys.byteorder):08X}" for raw in (b"\0\0\xff\xff", ip.packed)
    )
    return {f"{head}{word}:{address[1]:04X}" for head in ("", f"{0:016X}{mark}")}
