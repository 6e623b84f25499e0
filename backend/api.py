"""The backend over HTTP (contract in docs/ledger.md#http). Errors are RFC 9457.

Two applications over one office: :func:`make_app` is the stations' door, where nothing is entered
that a station's own key did not sign; :func:`make_office_app` is the office's own, for whoever may
open its socket.

Jobs run in threads, and none keeps a transaction open while the key service is asked, which
appends to ``/v1/issuance`` of this same process.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    generate_latest,
)
from starlette.concurrency import run_in_threadpool

from backend import issuance, ledger, messages, notes
from backend.errors import BackendError, Code, UploadGapError
from backend.office import Office
from keys.enrol import OfficerRequest, StationRequest
from keys.errors import KeysError
from keys.issuance import decode_items
from wire import cbor
from wire.errors import FormatError, WireError, require

MAX_BODY_BYTES = 64 * 1024 * 1024
OUTCOME = "Betang-Upload"
"""Header of an upload's answer: ``accepted``, or ``exists`` for a duplicate."""
CBOR, SEQUENCE, PROBLEM = "application/cbor", "application/cbor-seq", "application/problem+json"


def problem(code: Code, status: int, detail: str, **more: Any) -> JSONResponse:
    """One RFC 9457 problem, its title in both languages."""
    body = {
        "type": f"urn:betang:{code.value}", "status": status, "title": messages.text(code),
        "title_en": messages.text(code, "en"), "detail": detail, **more,
    }  # fmt: skip
    return JSONResponse(body, status, media_type=PROBLEM)


class Metrics:
    """Counters of both doors, without personal data."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.uploads = Counter("betang_uploads", "Uploads by outcome", ["outcome"],
                               registry=self.registry)  # fmt: skip
        self.appended = Counter("betang_issuance_items", "Items offered to the issuance log",
                                registry=self.registry)  # fmt: skip
        self.head = Gauge("betang_chain_sequence", "Newest sequence", ["chain"],
                          registry=self.registry)  # fmt: skip


async def _body(request: Request) -> bytes:
    """The body, refused beyond 64 MiB before it fills the memory."""
    raw = bytearray()
    async for part in request.stream():
        raw += part
        require(len(raw) <= MAX_BODY_BYTES, "body larger than 64 MiB")
    return bytes(raw)


def _hex(text: str, size: int = 8) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError as e:
        raise FormatError("not hexadecimal") from e
    require(len(raw) == size, f"{size} bytes expected")
    return raw


Body = Annotated[bytes, Depends(_body)]


def make_app(office: Office, metrics: Metrics | None = None) -> FastAPI:
    """The stations' door; ``metrics`` are those that the office's door shows."""
    app = _app("Betang backend")
    _station_routes(app, office, metrics or Metrics())
    _read_routes(app, office)
    return app


def make_office_app(office: Office, metrics: Metrics | None = None) -> FastAPI:
    """The office's own door. It asks nobody who he is: serve it on a socket of its owner's."""
    app = _app("Betang office")
    _office_routes(app, office, metrics or Metrics())
    return app


def _app(title: str) -> FastAPI:
    app = FastAPI(title=title, version="1", docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(BackendError)
    async def _backend(_: Request, e: BackendError) -> JSONResponse:
        more = {"expected": e.expected} if isinstance(e, UploadGapError) else {}
        notes.log().warning("refused", code=e.code.value)
        return problem(e.code, e.status, str(e), **more)

    @app.exception_handler(WireError)
    async def _wire(_: Request, e: WireError) -> JSONResponse:
        return problem(Code.UPLOAD, 422, str(e))

    @app.exception_handler(KeysError)
    async def _keys(_: Request, e: KeysError) -> JSONResponse:
        return problem(Code.SIGNER, 422, str(e))

    @app.exception_handler(Exception)
    async def _unforeseen(_: Request, e: Exception) -> JSONResponse:
        notes.log().error("unforeseen", error=type(e).__name__)
        return problem(Code.BACKEND, 500, type(e).__name__)

    return app


def _station_routes(app: FastAPI, office: Office, metrics: Metrics) -> None:
    @app.post("/v1/uploads")
    async def uploads(raw: Body) -> Response:
        try:
            answer = await run_in_threadpool(office.take_upload, raw)
        except BackendError as e:
            metrics.uploads.labels(e.code.value).inc()
            raise
        metrics.uploads.labels(answer.outcome.value).inc()
        return Response(answer.ack, media_type=CBOR, headers={OUTCOME: answer.outcome.value})

    @app.post("/v1/certificates")
    async def renew(raw: Body) -> Response:
        request = StationRequest.parse(raw)
        return Response(await run_in_threadpool(office.renew, request), media_type=CBOR)

    @app.post("/v1/cards/{card}/entitlements")
    def entitle(card: str) -> Response:
        card_id = _hex(card)
        office.entitle(card_id)
        return _sequence(office.entitlements_of(card_id))


def _sequence(items: list[bytes]) -> Response:
    return Response(cbor.encode_sequence(items), media_type=SEQUENCE)


def _read_routes(app: FastAPI, office: Office) -> None:
    @app.get("/v1/bundles/{station}")
    def bundle(station: str, epoch: int = 0, counter: int = 0) -> Response:
        raw = office.bundle(_hex(station), (epoch, counter) if counter else None)
        if raw is None:
            return Response(status_code=204)
        return Response(raw, media_type="application/octet-stream")

    @app.get("/v1/orders/{desk}")
    def orders(desk: str) -> Response:
        return _sequence(office.orders(_hex(desk)))

    @app.get("/v1/orders/{desk}/evidence")
    def evidence(desk: str) -> Response:
        return _sequence(office.evidence(_hex(desk)))

    @app.get("/v1/cards/{card}/entitlements")
    def entitlements(card: str) -> Response:
        return _sequence(office.entitlements_of(_hex(card)))

    @app.get("/v1/stations/{station}/certificates")
    def certificates(station: str) -> Response:
        return _sequence(office.certificates_of(_hex(station)))

    @app.get("/v1/health")
    def health() -> dict[str, Any]:
        with office.db.read() as session:
            return {"status": "ok", "environment": int(office.trust.env),
                    "ledger": ledger.head(session)[0],
                    "issuance": issuance.head(session)[0]}  # fmt: skip


def _office_routes(app: FastAPI, office: Office, metrics: Metrics) -> None:
    @app.post("/v1/issuance")
    async def append(raw: Body) -> Response:
        # Here and not in a thread: jobs that wait for each other may hold all of them, and the one
        # they wait for waits for the key service, which waits for this. The chain takes one
        # append at a time anyway.
        items = decode_items(raw)
        office.append_issuance(items)
        metrics.appended.inc(len(items))
        return Response(status_code=200)

    @app.post("/v1/enrolments")
    async def enrol(
        raw: Body,
        area: Annotated[str, Query(max_length=64)],
        place: Annotated[str, Query(max_length=64)],
    ) -> Response:
        request = StationRequest.parse(raw)
        return Response(await run_in_threadpool(office.enrol, request, area, place),
                        media_type=CBOR)  # fmt: skip

    @app.post("/v1/officers")
    async def officer(raw: Body) -> Response:
        wish = OfficerRequest.parse(raw)
        return Response(await run_in_threadpool(office.certify_officer, wish), media_type=CBOR)

    @app.get("/v1/report")
    def report() -> dict[str, Any]:
        return office.report()

    @app.get("/metrics")
    def scrape() -> Response:
        with office.db.read() as session:
            metrics.head.labels("ledger").set(ledger.head(session)[0])
            metrics.head.labels("issuance").set(issuance.head(session)[0])
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
