"""The HTTP API: the contract's routes, problems in two languages, no personal data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from backend import objects
from backend.api import PROBLEM, Metrics, make_app, make_office_app
from keys import doors
from keys.enrol import OfficerRequest, Provision, StationRequest
from keys.issuance import HttpIssuance, IssuanceItem
from keys.signer import Ed25519Signer, P256KeyAgreement
from tests.support.backend_world import CASH, DESK, ENV, BackendWorld
from wire import cbor, log
from wire.bundle import unpack
from wire.chain import IssuanceKind
from wire.cvc import Role
from wire.entitlement import Entitlement
from wire.objects import Enrolment, StationKind

JUNK = b"\x01\x02"
ENROL = "/v1/enrolments?area=62&place=Balai"


@contextmanager
def serving(app: FastAPI, path: Path) -> Iterator[httpx.Client]:
    """A real server on a socket, which listens before the thread starts."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    with doors.listen(path) as sock:
        thread = Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        with doors.client(path, 60) as client:
            yield client
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def http(ready: BackendWorld, metrics: Metrics, tmp_path: Path) -> Iterator[httpx.Client]:
    """What stations reach."""
    with serving(make_app(ready.office, metrics), tmp_path / "s") as client:
        yield client


@pytest.fixture
def inside(ready: BackendWorld, metrics: Metrics, tmp_path: Path) -> Iterator[httpx.Client]:
    """What only the office reaches."""
    with serving(make_office_app(ready.office, metrics), tmp_path / "o") as client:
        yield client


def test_upload_twice_and_fork(
    ready: BackendWorld, http: httpx.Client, inside: httpx.Client
) -> None:
    card = next(c for c in ready.cards(12) if CASH in c.wallets)
    terminal = ready.terminal(b"TERM0001")
    terminal.debit(card, CASH, 1000)
    raw = terminal.upload()
    first = http.post("/v1/uploads", content=raw)
    assert (first.status_code, first.headers["content-type"]) == (200, "application/cbor")
    assert first.headers["betang-upload"] == "accepted"
    again = http.post("/v1/uploads", content=raw)
    assert (again.content, again.headers["betang-upload"]) == (first.content, "exists")
    assert 'betang_uploads_total{outcome="exists"} 1.0' in inside.get("/metrics").text
    del terminal.records[-1]
    terminal.add(log.Boot("x"))
    fork = http.post("/v1/uploads", content=terminal.upload())
    assert (fork.status_code, fork.headers["content-type"]) == (409, PROBLEM)
    body = fork.json()
    assert body["type"] == "urn:betang:fork"
    assert body["title"] != body["title_en"]
    report = inside.get("/v1/report").json()
    assert [f["invariant"] for f in report["findings"]] == [2]


def test_a_gap_says_where_to_begin(ready: BackendWorld, http: httpx.Client) -> None:
    terminal = ready.terminal(b"TERM0001")
    terminal.add(log.Boot("x"))
    answer = http.post("/v1/uploads", content=terminal.upload(first=2))
    assert (answer.status_code, answer.json()["expected"]) == (409, 1)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/uploads", 422),
        ("POST", "/v1/certificates", 422),
        ("GET", "/v1/bundles/zz", 422),
        ("GET", "/v1/bundles/0000000000000000", 404),
        ("GET", "/v1/cards/0000000000000000/entitlements", 404),
    ],
)
def test_bad_input_is_a_problem(http: httpx.Client, method: str, path: str, status: int) -> None:
    refused(http.request(method, path, content=JUNK if method == "POST" else None), status)


@pytest.mark.parametrize("path", ["issuance", "enrolments?area=*&place=x", "officers"])
def test_bad_input_at_the_offices_door(inside: httpx.Client, path: str) -> None:
    refused(inside.post(f"/v1/{path}", content=JUNK), 422)


def refused(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == PROBLEM
    assert "Traceback" not in answer.text


def test_enrolment_bundle_orders_entitlements(
    ready: BackendWorld, http: httpx.Client, inside: httpx.Client
) -> None:
    log_key = Ed25519Signer.generate(ready.random)
    channel = P256KeyAgreement.generate(ready.random)
    request = StationRequest.make(ENV, b"TERM0009", StationKind.TERMINAL, log_key, channel)
    answer = inside.post(ENROL, content=bytes(request))
    provision = Provision.parse(answer.content)
    assert len(provision.certificates) == 1
    assert len(provision.links) == 2
    assert unpack(provision.bundle)
    again = http.get(f"/v1/bundles/{b'TERM0009'.hex()}", params={"epoch": 1, "counter": 1})
    assert again.status_code == 204
    ready.office.order_cards(DESK)
    orders = list(cbor.decode_sequence(http.get(f"/v1/orders/{DESK.hex()}").content))
    card = ready.issue(orders[1])
    assert len(list(cbor.decode_sequence(http.get(f"/v1/orders/{DESK.hex()}").content))) == (
        len(orders) - 1
    )
    made = http.post(f"/v1/cards/{card.card_id.hex()}/entitlements")
    held = http.get(f"/v1/cards/{card.card_id.hex()}/entitlements")
    assert made.content == held.content
    assert {Entitlement.parse(x).card_id for x in cbor.decode_sequence(made.content)} == {
        card.card_id
    }


def test_the_key_services_log_over_http(http: httpx.Client, inside: httpx.Client) -> None:
    appender = HttpIssuance(inside)
    item = IssuanceItem(IssuanceKind.OBJECT, bytes(32), note="bundle")
    before = http.get("/v1/health").json()["issuance"]
    appender.append_many([item])
    appender.append_many([item])
    assert http.get("/v1/health").json()["issuance"] == before + 1


def test_metrics_name_nobody(inside: httpx.Client) -> None:
    text = inside.get("/metrics").text
    assert "betang_chain_sequence" in text


@pytest.mark.parametrize("key", ["log", "channel"])
def test_a_request_that_does_not_prove_its_keys(
    ready: BackendWorld, http: httpx.Client, inside: httpx.Client, key: str
) -> None:
    log_key = Ed25519Signer.generate(ready.random)
    channel = P256KeyAgreement.generate(ready.random)
    good = StationRequest.make(ENV, b"TERM0009", StationKind.TERMINAL, log_key, channel)
    proof = {f"{key}_pop": bytes(64)}
    for door, path in ((inside, ENROL), (http, "/v1/certificates")):
        answer = door.post(path, content=bytes(replace(good, **proof)))
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:betang:proof")
    with ready.office.db.read() as session:
        assert objects.unsigned(session, Enrolment.KIND) == []
    wish = OfficerRequest.make(ENV, b"TERM0009", Role.SUPERVISOR, 7, channel)
    bad = bytes(replace(wish, channel_pop=bytes(64)))
    assert inside.post("/v1/officers", content=bad).json()["type"] == "urn:betang:proof"


def test_a_station_id_belongs_to_one_log_key(
    ready: BackendWorld, http: httpx.Client, inside: httpx.Client
) -> None:
    ready.terminal(b"TERM0001")
    channel = P256KeyAgreement.generate(ready.random)
    other = StationRequest.make(ENV, b"TERM0001", StationKind.TERMINAL,
                                Ed25519Signer.generate(ready.random), channel)  # fmt: skip
    for door, path in ((inside, ENROL), (http, "/v1/certificates")):
        answer = door.post(path, content=bytes(other))
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:betang:conflict")
    nobody = StationRequest.make(ENV, b"NOBODY01", StationKind.TERMINAL,
                                 Ed25519Signer.generate(ready.random), channel)  # fmt: skip
    assert http.post("/v1/certificates", content=bytes(nobody)).status_code == 404
