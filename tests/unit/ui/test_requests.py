"""Every check in front of a face, one request at a time; who connects, over a real socket."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message

from ui.face import Face, Mark
from ui.guard import BODY_LIMIT, IDLE_S, SERVED, Door, Guard, Sessions, cookie_name, peer_uid

HOST = "127.0.0.1:8001"
FORM = {"content-type": "application/x-www-form-urlencoded"}
ROOT = Path(__file__).parents[3]


async def told(request: Request) -> Response:
    return PlainTextResponse(f"heard {len(await request.body())}")


class Asked:
    """A guarded application without a socket; ``uid`` owns whatever connects."""

    def __init__(self, uid: int | None = 7) -> None:
        self.now = 0.0
        self.sessions = Sessions(lambda: self.now)
        app = Starlette(routes=[Route("/", told, methods=["GET", "POST"])])
        self.guard = Guard(app, Door.at(8001, 7), self.sessions, lambda _client, _server: uid)
        self.cookie, self.session = self.sessions.new()

    def __call__(self, method: str = "POST", content: bytes | None = None, **headers: str
                 ) -> httpx.Response:  # fmt: skip
        if content is None:
            content = f"csrf={self.session.token}".encode()
        given = FORM | {"cookie": f"betang-8001={self.cookie}", "host": HOST}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.guard, client=("127.0.0.1", 40_000))
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
                return await client.request(method, "/", content=content, headers=given)

        return asyncio.run(ask())


def test_our_own_form_is_heard_whole() -> None:
    asked = Asked()
    answer = asked(origin=f"http://{HOST}")
    assert answer.text == f"heard {len(asked.session.token) + 5}"
    assert asked(content=b"", x_csrf=asked.session.token).text == "heard 0"
    assert asked(host="localhost:8001", cookie=f"betang-8001={asked.cookie}").is_success


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (403, {"host": "evil.example"}), (403, {"host": "127.0.0.1:8002"}), (403, {"host": ""}),
        (403, {"origin": "http://evil.example"}), (403, {"origin": "null"}), (403, {"origin": "http://["}),
        (403, {"origin": "http://127.0.0.1:8002"}), (403, {"x_csrf": "wrong"}),
        (403, {"x_csrf": ""}), (403, {"cookie": "betang-8001=unknown"}), (403, {"cookie": ""}),
        (403, {"content_type": "text/plain"}),
    ],
)  # fmt: skip
def test_what_is_not_ours_is_refused(status: int, headers: dict[str, str]) -> None:
    assert Asked()(**headers).status_code == status


def test_a_body_has_a_limit_and_no_token_excuses_it() -> None:
    asked = Asked()
    whole = f"csrf={asked.session.token}&x=".encode()
    assert asked(content=whole.ljust(BODY_LIMIT, b"y")).is_success
    assert asked(content=whole.ljust(BODY_LIMIT + 1, b"y")).status_code == 413


@pytest.mark.parametrize("uid", [8, 0, None])
def test_another_user_of_the_machine_sees_nothing(uid: int | None) -> None:
    answer = Asked(uid)("GET", b"")
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_connection_without_addresses_is_nobodys() -> None:
    """As of a unix socket: nothing can be looked up."""
    asked, sent = Asked(), list[Message]()

    async def send(message: Message) -> None:
        sent.append(message)

    async def ask() -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"",
                 "headers": [(b"host", HOST.encode())], "client": None,
                 "server": ("127.0.0.1", 8001)}  # fmt: skip
        await asked.guard(scope, _nothing, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 403


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def test_half_a_form_is_no_form() -> None:
    """A page that goes while it sends ``amount=150000`` must not have sent ``amount=15``."""
    asked, sent = Asked(), list[Message]()
    half = f"csrf={asked.session.token}&amount=15".encode()
    coming = iter([
        {"type": "http.request", "body": half, "more_body": True}, {"type": "http.disconnect"},
    ])  # fmt: skip

    async def receive() -> Message:
        return next(coming)

    async def send(message: Message) -> None:
        sent.append(message)

    async def ask() -> None:
        cookie = f"betang-8001={asked.cookie}".encode()
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"",
                 "headers": [(b"host", HOST.encode()), (b"cookie", cookie),
                             (b"content-type", FORM["content-type"].encode())],
                 "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8001)}  # fmt: skip
        await asked.guard(scope, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 413


def test_the_cookie_is_new_unless_ours_and_bound_to_the_page() -> None:
    asked = Asked()
    assert "set-cookie" not in asked("GET", b"").headers
    planted = asked("GET", b"", cookie="betang-8001=chosen-by-another")
    line = planted.headers["set-cookie"]
    assert re.fullmatch(r"betang-8001=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict", line)
    assert "chosen" not in line
    assert planted.headers["cache-control"] == "no-store"
    assert planted.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("other", ["a:b=1", 'x="', "{}=1", "=", "betang-8002=z"])
def test_a_neighbours_cookie_neither_hides_ours_nor_ends_the_request(other: str) -> None:
    asked = Asked()
    assert asked(cookie=f"{other}; {cookie_name(HOST)}={asked.cookie}").is_success


def test_use_keeps_a_session_and_idleness_ends_it() -> None:
    asked = Asked()
    for _ in range(3):
        asked.now += IDLE_S
        assert asked().is_success
    asked.now += IDLE_S + 1
    assert asked().status_code == 403


# --- who connects --------------------------------------------------------------------------------

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
OWNER, OTHER = 1000, 1001


def row(local: str, remote: str, uid: int) -> str:
    return f"   0: {local} {remote} 01 00000000:00000000 00:00000000 00000000 {uid} 0 1\n"


@pytest.mark.parametrize("client", [("127.0.0.2", 0x9C40), ("127.0.0.2", 0x1F41)])
def test_equal_ports_of_another_loopback_address_are_another_user(
    tmp_path: Path, client: tuple[str, int]
) -> None:
    """The second also looks like the server's own end: its port is the server's."""
    ours, server = "0100007F:9C40", "0100007F:1F41"
    theirs = f"0200007F:{client[1]:04X}"
    rows = [row(ours, server, OWNER), row(server, theirs, OWNER), row(theirs, server, OTHER),
            row(ours, "0300007F:1F41", OWNER)]  # fmt: skip
    table = tmp_path / "tcp"
    for order in (rows, rows[::-1]):
        table.write_text(HEAD + "".join(order))
        assert peer_uid(client, ("127.0.0.1", 0x1F41), [table]) == OTHER
        assert peer_uid(("127.0.0.1", 0x9C40), ("127.0.0.1", 0x1F41), [table]) == OWNER


def test_a_client_that_speaks_through_an_ipv6_socket_is_found(tmp_path: Path) -> None:
    table, mapped = tmp_path / "tcp6", "0000000000000000FFFF0000"
    table.write_text(HEAD + row(f"{mapped}0100007F:9C40", f"{mapped}0100007F:1F41", OTHER))
    server = ("127.0.0.1", 0x1F41)
    assert peer_uid(("127.0.0.1", 0x9C40), server, [tmp_path / "none", table]) == OTHER


@pytest.mark.parametrize("host", ["192.168.1.5", "::1", "::ffff:127.0.0.1", "unknown", ""])
def test_beyond_loopback_nobody_is_known(tmp_path: Path, host: str) -> None:
    table = tmp_path / "tcp"
    table.write_text(HEAD + row("0501A8C0:9C40", "0501A8C0:1F41", OWNER))
    assert peer_uid((host, 0x9C40), (host, 0x1F41), [table]) is None


@pytest.fixture
def served() -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """The address of a guarded face as every face is served, and who it thinks has connected."""
    seen: list[tuple[str, int]] = []

    def owner(client: tuple[str, int], server: tuple[str, int]) -> int | None:
        seen.append(client)
        return peer_uid(client, server)

    config = uvicorn.Config("", port=0, **SERVED)
    with config.bind_socket() as listening:
        port = listening.getsockname()[1]
        listening.listen()
        app = Starlette(routes=[Route("/", told)])
        config.app = Guard(app, Door.at(port, os.getuid()), Sessions(), owner)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{port}", seen
        server.should_exit = True
        thread.join()


def test_no_header_says_who_connects(served: tuple[str, list[tuple[str, int]]]) -> None:
    """uvicorn would take address and port of another's connection from X-Forwarded-For."""
    address, seen = served
    with httpx.Client() as client:
        assert client.get(address, headers={"X-Forwarded-For": "127.0.0.1:40000"}).is_success
    assert seen[0][1] != 40_000


def test_every_face_is_served_so() -> None:
    texts = [
        path.read_text("utf-8") for folder in ("terminal", "issuer", "backend/face", "demo")
        for path in (ROOT / folder).rglob("*.py")
    ]  # fmt: skip
    faces = [text for text in texts if re.search(r"uvicorn\.(run|Config)\(", text)]
    assert len(faces) == 4
    assert all("**SERVED" in text and "host=LOOPBACK" in text for text in faces)


# --- the language --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("referer", "target"),
    [
        (f"http://{HOST}/trail?kartu=1", "/trail?kartu=1"), ("http://evil.example/x", "/x"),
        ("http://h//evil.example", "/"), ("http://h/\\evil.example", "/%5Cevil.example"),
        ("http://h", "/"), ("x", "/"), ("", "/"),
    ],
)  # fmt: skip
def test_the_language_leads_back_into_the_face_and_nowhere_else(
    tmp_path: Path, referer: str, target: str
) -> None:
    face = Face("x", tmp_path, Door(frozenset({HOST})), mark=Mark())
    cookie, session = face.sessions.new()
    headers = {"cookie": f"{cookie_name(HOST)}={cookie}", "x-csrf": session.token,
               "referer": referer}  # fmt: skip

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(face.app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            return await client.post("/bahasa/en", headers=headers)

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.headers["location"]) == (303, target)
    assert session.language == "en"
