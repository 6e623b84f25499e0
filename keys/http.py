"""The key service on a unix socket, and its client (docs/wire.md has no part in this).

``POST /v1/<verb>``: body and answer are deterministic CBOR arrays. Nothing secret stands in a
URL, and nothing of a body is logged. Errors are RFC 9457 problem documents whose ``code`` gives
the client the same exception that the service raised.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from keys import errors
from keys.cardservice import CardStep
from keys.enrol import OfficerRequest, StationRequest
from keys.errors import Code, KeysError, ObjectRefusedError, RevokedKeyError, UnreachableError
from keys.messages import MESSAGES
from keys.service import EntitlementWish, KeyService
from wire import bundle, cbor, objects
from wire.errors import FormatError, WireError
from wire.objects import SignedShape

BASE = "http://betang-keys"
TIMEOUT_S = 120.0
BACKLOG = 128
CBOR_TYPE = "application/cbor"
PROBLEM_TYPE = "application/problem+json"
Verb = Callable[[KeyService, list[cbor.Value]], cbor.Value]

_SHAPES: dict[str, type[SignedShape]] = {
    s.KIND: s
    for s in (
        objects.FieldVerification, objects.DecreeAnnex, objects.Programme, objects.FundRelease,
        objects.StockDelivery, objects.Enrolment, objects.Order, objects.TerminalLost,
        objects.Decision, objects.Hotlist, objects.Parameters, bundle.Bundle,
    )
}  # fmt: skip


def _bytes(value: cbor.Value) -> bytes:
    if not isinstance(value, bytes):
        raise FormatError("argument is not a byte string")
    return value


def _optional(value: cbor.Value) -> bytes | None:
    return None if value is None else _bytes(value)


def _list(value: cbor.Value) -> list[bytes]:
    if not isinstance(value, list):
        raise FormatError("argument is not a list")
    return [_bytes(v) for v in value]


def _text(value: cbor.Value) -> str:
    if not isinstance(value, str):
        raise FormatError("argument is not text")
    return value


def _number(value: cbor.Value) -> int:
    if type(value) is not int:
        raise FormatError("argument is not a number")
    return value


def _shape(kind: cbor.Value) -> type[SignedShape]:
    shape = _SHAPES.get(_text(kind))
    if shape is None:
        raise FormatError("no object of this kind is signed here")
    return shape


def _step(value: cbor.Value) -> CardStep:
    try:
        return CardStep(_text(value))
    except ValueError as e:
        raise FormatError("no such step") from e


def _registry(s: KeyService, a: list[cbor.Value]) -> cbor.Value:
    shape = _shape(a[0])
    shapes = [shape.parse(raw) for raw in _list(a[1])]
    return [*s.sign_registry(shapes, _bytes(a[2]), _bytes(a[3]))]


def _policy(s: KeyService, a: list[cbor.Value]) -> cbor.Value:
    return s.sign_policy(_shape(a[0]).parse(_bytes(a[1])), _optional(a[2]), _optional(a[3]))


def _entitlements(s: KeyService, a: list[cbor.Value]) -> cbor.Value:
    wishes = [EntitlementWish.parse(raw) for raw in _list(a[0])]
    return [*s.sign_entitlements(wishes, _bytes(a[1]), _bytes(a[2]))]


def _scripts(s: KeyService, a: list[cbor.Value]) -> cbor.Value:
    return [*s.sign_scripts(_list(a[0]), _bytes(a[1]), _bytes(a[2]))]


def _officer(s: KeyService, a: list[cbor.Value]) -> cbor.Value:
    wish = OfficerRequest.parse(_bytes(a[0]))
    return s.certify_officer(wish, _optional(a[1]), _optional(a[2]))


def _approver(s: KeyService, a: list[cbor.Value]) -> cbor.Value:
    s.enrol_approver(objects.ApproverEnrolment.parse(_bytes(a[0])))
    return None


def _close(s: KeyService, a: list[cbor.Value]) -> cbor.Value:
    s.close_card_session(_bytes(a[0]))
    return None


def _scrap(s: KeyService, a: list[cbor.Value]) -> cbor.Value:
    s.scrap_card(_bytes(a[0]), _text(a[1]))
    return None


VERBS: dict[str, tuple[int, Verb]] = {
    "registry": (4, _registry),
    "policy": (4, _policy),
    "entitlements": (3, _entitlements),
    "scripts": (3, _scripts),
    "terminal": (1, lambda s, a: s.certify_terminal(StationRequest.parse(_bytes(a[0])))),
    "officer": (3, _officer),
    "approver": (1, _approver),
    "personaliser-certificate": (0, lambda s, _: s.personaliser_certificate()),
    "personaliser-ecdh": (1, lambda s, a: s.personaliser_ecdh(_bytes(a[0]))),
    "card-open": (2, lambda s, a: s.open_card_session(_bytes(a[0]), _number(a[1]))),
    "card-step": (3, lambda s, a: s.card_step(_bytes(a[0]), _step(a[1]), _bytes(a[2]))),
    "card-close": (1, _close),
    "card-certify": (1, lambda s, a: s.certify_card(_bytes(a[0]))),
    "card-certificate": (1, lambda s, a: s.card_certificate(_bytes(a[0]))),
    "card-scrap": (2, _scrap),
    "trust": (0, lambda s, _: s.trust_file()),
    "stock": (0, lambda s, _: [*s.stock()]),
}
"""Verb → number of arguments and what it calls."""


def make_app(service: KeyService) -> FastAPI:
    """The HTTP application over ``service``."""
    app = FastAPI(title="betang-keys", docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/v1/{verb}")
    async def call(verb: str, request: Request) -> Response:
        if verb not in VERBS:
            return _problem(Code.OBJECT, "no such verb", 404)
        body = await request.body()
        try:
            value = await run_in_threadpool(_call, service, verb, body)
        except KeysError as e:
            return _problem(e.code, str(e), 422, _revocation(e))
        except WireError as e:
            return _problem(Code.OBJECT, str(e), 422)
        return Response(cbor.encode([value]), media_type=CBOR_TYPE)

    return app


def _call(service: KeyService, verb: str, body: bytes) -> cbor.Value:
    count, function = VERBS[verb]
    return function(service, cbor.decode_array(body, count))


def _revocation(error: KeysError) -> str | None:
    return bytes(error.revocation).hex() if isinstance(error, RevokedKeyError) else None


def _problem(code: Code, detail: str, status: int, revocation: str | None = None) -> Response:
    indonesian, english = MESSAGES[code]
    body = {
        "type": f"urn:betang:keys:{code}",
        "title": indonesian,
        "title_en": english,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if revocation is not None:
        body["revocation"] = revocation
    return JSONResponse(body, status, media_type=PROBLEM_TYPE)


def listen(path: Path) -> socket.socket:
    """A socket at ``path`` that only its owner may use; once the path exists, it listens."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(str(part))
    finally:
        os.umask(before)
    sock.listen(BACKLOG)
    part.replace(path)
    return sock


def make_server(service: KeyService) -> uvicorn.Server:
    """The server over ``service``; run it on :func:`listen`'s socket."""
    return uvicorn.Server(
        uvicorn.Config(make_app(service), log_level="warning", access_log=False, lifespan="off")
    )


def serve(service: KeyService, path: Path) -> None:
    """Serve at ``path`` until SIGTERM or SIGINT; the socket is gone afterwards."""
    # uvicorn raises the signal that ended it once more; without a handler nothing is tidied up.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with listen(path) as sock:
        try:
            make_server(service).run(sockets=[sock])
        finally:
            path.unlink(missing_ok=True)


# --- client ---------------------------------------------------------------------------------


def _error_classes() -> dict[str, type[KeysError]]:
    found = {}
    for name in vars(errors).values():
        if isinstance(name, type) and issubclass(name, KeysError):
            found[str(name.code)] = name
    return found


_CLASSES = _error_classes()


class KeyClient:
    """The verbs of :class:`keys.service.KeyService` over the socket at ``path``.

    Raises what the service raises (:class:`ObjectRefusedError` for bytes that are no object of
    ours), and :class:`UnreachableError`. ``transport`` is for tests in process.
    """

    def __init__(self, path: Path | None, transport: httpx.BaseTransport | None = None) -> None:
        carrier = transport or httpx.HTTPTransport(uds=str(path))
        self._http = httpx.Client(transport=carrier, base_url=BASE, timeout=TIMEOUT_S)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _ask(self, verb: str, arguments: list[cbor.Value]) -> cbor.Value:
        try:
            answer = self._http.post(
                f"/v1/{verb}",
                content=cbor.encode(arguments),
                headers={"content-type": CBOR_TYPE},
            )
        except httpx.HTTPError as e:
            raise UnreachableError("the key service does not answer") from e
        if answer.status_code != httpx.codes.OK:
            raise _error_of(answer)
        return cbor.decode_array(answer.content, 1)[0]

    def _bytes(self, verb: str, arguments: list[cbor.Value]) -> bytes:
        return _bytes(self._ask(verb, arguments))

    def sign_registry(
        self, shapes: Sequence[SignedShape], request: bytes, approval: bytes
    ) -> list[bytes]:
        """See :meth:`keys.service.KeyService.sign_registry`."""
        kind = shapes[0].KIND if shapes else ""
        payloads: list[cbor.Value] = [bytes(s) for s in shapes]
        return _list(self._ask("registry", [kind, payloads, request, approval]))

    def sign_policy(
        self, shape: SignedShape, request: bytes | None = None, approval: bytes | None = None
    ) -> bytes:
        """See :meth:`keys.service.KeyService.sign_policy`."""
        return self._bytes("policy", [shape.KIND, bytes(shape), request, approval])

    def sign_entitlements(
        self, wishes: Sequence[EntitlementWish], request: bytes, approval: bytes
    ) -> list[bytes]:
        """See :meth:`keys.service.KeyService.sign_entitlements`."""
        bodies: list[cbor.Value] = [bytes(w) for w in wishes]
        return _list(self._ask("entitlements", [bodies, request, approval]))

    def sign_scripts(self, bodies: Sequence[bytes], request: bytes, approval: bytes) -> list[bytes]:
        """See :meth:`keys.service.KeyService.sign_scripts`."""
        return _list(self._ask("scripts", [[*bodies], request, approval]))

    def certify_terminal(self, request: StationRequest) -> bytes:
        """See :meth:`keys.service.KeyService.certify_terminal`."""
        return self._bytes("terminal", [bytes(request)])

    def certify_officer(
        self, wish: OfficerRequest, request: bytes | None = None, approval: bytes | None = None
    ) -> bytes:
        """See :meth:`keys.service.KeyService.certify_officer`."""
        return self._bytes("officer", [bytes(wish), request, approval])

    def enrol_approver(self, enrolment: objects.ApproverEnrolment) -> None:
        """See :meth:`keys.servicecore.ServiceCore.enrol_approver`."""
        self._ask("approver", [bytes(enrolment)])

    def personaliser_certificate(self) -> bytes:
        """See :meth:`keys.cardservice.CardVerbs.personaliser_certificate`."""
        return self._bytes("personaliser-certificate", [])

    def personaliser_ecdh(self, channel_key: bytes) -> bytes:
        """See :meth:`keys.cardservice.CardVerbs.personaliser_ecdh`."""
        return self._bytes("personaliser-ecdh", [channel_key])

    def open_card_session(self, order: bytes, officer: int) -> bytes:
        """See :meth:`keys.cardservice.CardVerbs.open_card_session`."""
        return self._bytes("card-open", [order, officer])

    def card_step(self, session_id: bytes, step: CardStep, apdu: bytes = b"") -> bytes:
        """See :meth:`keys.cardservice.CardVerbs.card_step`."""
        return self._bytes("card-step", [session_id, str(step), apdu])

    def close_card_session(self, session_id: bytes) -> None:
        """See :meth:`keys.cardservice.CardVerbs.close_card_session`."""
        self._ask("card-close", [session_id])

    def certify_card(self, session_id: bytes) -> bytes:
        """See :meth:`keys.cardservice.CardVerbs.certify_card`."""
        return self._bytes("card-certify", [session_id])

    def card_certificate(self, session_id: bytes) -> bytes | None:
        """See :meth:`keys.cardservice.CardVerbs.card_certificate`."""
        return _optional(self._ask("card-certificate", [session_id]))

    def scrap_card(self, card_id: bytes, reason: str) -> None:
        """See :meth:`keys.cardservice.CardVerbs.scrap_card`."""
        self._ask("card-scrap", [card_id, reason])

    def trust_file(self) -> bytes:
        """See :meth:`keys.servicecore.ServiceCore.trust_file`."""
        return self._bytes("trust", [])

    def stock(self) -> tuple[int, int, int]:
        """See :meth:`keys.servicecore.ServiceCore.stock`."""
        value = self._ask("stock", [])
        free, certified, scrapped = value if isinstance(value, list) else [None] * 3
        return _number(free), _number(certified), _number(scrapped)


def _error_of(answer: httpx.Response) -> KeysError:
    try:
        problem = answer.json()
        code, detail = str(problem["code"]), str(problem["detail"])
        revocation = problem.get("revocation")
    except (ValueError, KeyError, TypeError, AttributeError):
        return UnreachableError(f"the key service answered {answer.status_code}")
    if code == Code.REVOKED and isinstance(revocation, str):
        return RevokedKeyError(objects.Revocation.parse(bytes.fromhex(revocation)))
    kind = _CLASSES.get(code, ObjectRefusedError)
    return kind(detail) if kind is not RevokedKeyError else KeysError(detail)
