"""The key service on a unix socket: the server behind :class:`keys.http.KeyClient`.

Errors go out as RFC 9457 problem documents.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from keys.cardservice import CardStep
from keys.doors import listen
from keys.enrol import OfficerRequest, StationRequest
from keys.errors import Code, KeysError, RevokedKeyError
from keys.http import (
    CBOR_TYPE,
    PROBLEM_TYPE,
    as_bytes,
    as_list,
    as_number,
    as_optional,
    as_text,
)
from keys.messages import MESSAGES
from keys.service import EntitlementWish, KeyService
from wire import bundle, cbor, objects
from wire.errors import FormatError, WireError
from wire.objects import SignedShape

Verb = Callable[[KeyService, list[cbor.Value]], cbor.Value]

_SHAPES: dict[str, type[SignedShape]] = {
    s.KIND: s
    for s in (
        objects.FieldVerification, objects.DecreeAnnex, objects.Programme, objects.FundRelease,
        objects.StockDelivery, objects.Enrolment, objects.Order, objects.TerminalLost,
        objects.Decision, objects.Hotlist, objects.Parameters, bundle.Bundle,
    )
}  # fmt: skip


def _shape(kind: cbor.Value) -> type[SignedShape]:
    shape = _SHAPES.get(as_text(kind))
    if shape is None:
        raise FormatError("no object of this kind is signed here")
    return shape


def _step(value: cbor.Value) -> CardStep:
    try:
        return CardStep(as_text(value))
    except ValueError as e:
        raise FormatError("no such step") from e


def _registry(s: KeyService, a: list[cbor.Value]) -> cbor.Value:
    shape = _shape(a[0])
    shapes = [shape.parse(raw) for raw in as_list(a[1])]
    return [*s.sign_registry(shapes, as_bytes(a[2]), as_bytes(a[3]))]


def _policy(s: KeyService, a: list[cbor.Value]) -> cbor.Value:
    return s.sign_policy(_shape(a[0]).parse(as_bytes(a[1])), as_optional(a[2]), as_optional(a[3]))


def _entitlements(s: KeyService, a: list[cbor.Value]) -> cbor.Value:
    wishes = [EntitlementWish.parse(raw) for raw in as_list(a[0])]
    return [*s.sign_entitlements(wishes, as_bytes(a[1]), as_bytes(a[2]))]


def _scripts(s: KeyService, a: list[cbor.Value]) -> cbor.Value:
    return [*s.sign_scripts(as_list(a[0]), as_bytes(a[1]), as_bytes(a[2]))]


def _officer(s: KeyService, a: list[cbor.Value]) -> cbor.Value:
    wish = OfficerRequest.parse(as_bytes(a[0]))
    return s.certify_officer(wish, as_optional(a[1]), as_optional(a[2]))


def _approver(s: KeyService, a: list[cbor.Value]) -> cbor.Value:
    s.enrol_approver(objects.ApproverEnrolment.parse(as_bytes(a[0])))
    return None


def _close(s: KeyService, a: list[cbor.Value]) -> cbor.Value:
    s.close_card_session(as_bytes(a[0]))
    return None


def _scrap(s: KeyService, a: list[cbor.Value]) -> cbor.Value:
    s.scrap_card(as_bytes(a[0]), as_text(a[1]))
    return None


VERBS: dict[str, tuple[int, Verb]] = {
    "registry": (4, _registry),
    "policy": (4, _policy),
    "entitlements": (3, _entitlements),
    "scripts": (3, _scripts),
    "terminal": (1, lambda s, a: s.certify_terminal(StationRequest.parse(as_bytes(a[0])))),
    "officer": (3, _officer),
    "approver": (1, _approver),
    "personaliser-certificate": (0, lambda s, _: s.personaliser_certificate()),
    "personaliser-ecdh": (1, lambda s, a: s.personaliser_ecdh(as_bytes(a[0]))),
    "card-open": (2, lambda s, a: s.open_card_session(as_bytes(a[0]), as_number(a[1]))),
    "card-step": (3, lambda s, a: s.card_step(as_bytes(a[0]), _step(a[1]), as_bytes(a[2]))),
    "card-close": (1, _close),
    "card-certify": (1, lambda s, a: s.certify_card(as_bytes(a[0]))),
    "card-certificate": (1, lambda s, a: s.card_certificate(as_bytes(a[0]))),
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


def make_server(service: KeyService) -> uvicorn.Server:
    """The server over ``service``; run it on :func:`keys.doors.listen`'s socket."""
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
