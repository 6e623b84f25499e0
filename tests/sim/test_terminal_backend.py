"""A real terminal, real cards and the real backend's HTTP: from enrolment to settled receipts."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import httpx
import pytest

from backend.api import make_app, make_office_app
from keys.enrol import OfficerRequest
from keys.issuance import IssuanceItem
from keys.state import Chip
from terminal import sync
from terminal.config import Config, Folder
from terminal.outcomes import Redeemed, RedeemUnknown, Voided
from terminal.visit import Visit
from tests.support import backend_world
from tests.support.terminal_world import PIN, Card, Issuer
from wire.chain import IssuanceKind
from wire.cose import Sign1
from wire.cvc import Role
from wire.objects import Order

WORDS = "sandi"


class InProcess(httpx.BaseTransport):
    """The ASGI application behind a plain client, one request at a time."""

    def __init__(self, app):
        self.app = app

    def handle_request(self, request):
        async def ask():
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://backend") as client:
                return await client.request(request.method, str(request.url),
                                            content=request.content)  # fmt: skip

        answer = asyncio.run(ask())
        return httpx.Response(answer.status_code, content=answer.content)


class Bridge(Issuer):
    """Cards of the backend's own hierarchy, entered in its issuance log."""

    def __init__(self, world):
        super().__init__()
        self.env, self.world, self.backend = backend_world.ENV, world.keys, world
        self.random = world.random

    def issue(self, order_raw) -> Card:
        self.backend.serial += 1
        card = Card(self, self.backend.serial, "active")
        order, order_hash = Order.parse(Sign1.parse(order_raw).payload), Sign1.parse(order_raw).hash
        state, kdd = self.backend.state, self.backend.serial.to_bytes(10, "big")
        state.receive_chips("test", [kdd])
        with state.transaction():
            state.certify(Chip(kdd, "test", order_hash, card.card_id, card.certificate.raw,
                               card.certificate.public_key, scrapped=False))  # fmt: skip
        self.backend.office.append_many([IssuanceItem(
            IssuanceKind.CARD_CERTIFICATE, card.certificate.raw, order.family,
            order.predecessor, order_hash)])  # fmt: skip
        return card


@pytest.fixture
def village(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.support.terminal_world.START_S", backend_world.START_S)
    world = backend_world.make(tmp_path)
    world.import_all(rows=20)
    bridge, office = Bridge(world), world.office
    office.order_cards(backend_world.DESK)
    world.desk()
    cards = [bridge.issue(raw) for raw in office.orders(backend_world.DESK)[:3]]
    office.entitle()
    transport = InProcess(make_app(office))
    own = InProcess(make_office_app(office))
    with (
        httpx.Client(transport=transport, base_url="http://backend") as client,
        httpx.Client(transport=own, base_url="http://office") as inside,
    ):
        yield Village(tmp_path / "t", world, client, inside, cards)


class Village:
    def __init__(self, path: Path, world, client: httpx.Client, inside: httpx.Client, cards):
        self.world, self.client, self.cards = world, client, cards
        self.inside = inside
        self.folder = Folder(path, demo=True, log_n=10)
        config = Config(station="TERM0001", environment=backend_world.ENV)
        random = world.random
        request = self.folder.create(config, WORDS, random)
        officer = self.folder.make_officer(Role.SUPERVISOR, 41, WORDS, random)
        provision = inside.post("/v1/enrolments?area=*&place=Balai", content=bytes(request)).content
        assert OfficerRequest.parse(bytes(officer)).verify()
        inside.post("/v1/officers", content=bytes(officer)).raise_for_status()
        self.folder.provision(provision, WORDS)
        self.reopen()
        self.opened.engine.open_shift(5)

    def reopen(self):
        self.opened = self.folder.open(WORDS, clock=self.world.clock, random=self.world.random)
        self.engine = self.opened.engine

    def sync(self):
        return sync.over_http(self.engine, self.opened.log_key, self.client)

    def report(self):
        return self.inside.get("/v1/report").json()


def test_a_day_in_the_village_settles_exactly(village):
    engine, (one, two, _) = village.engine, village.cards
    village.sync()
    with engine.begin(one.link()) as visit:
        assert isinstance(visit, Visit)
        visit.verify_pin(PIN)
        shown = [w for w in visit.wallets() if w.most]
        assert shown, visit.wallets()
        for wallet in shown:
            paid = visit.redeem(wallet.wallet, 1)
            assert isinstance(paid, Redeemed), paid
            visit.delivered(paid.intent)
    with engine.begin(two.link()) as visit:
        visit.verify_pin(PIN)
        two.drop_answer_of = 0
        unknown = visit.redeem(shown[0].wallet, 1)
        assert isinstance(unknown, RedeemUnknown)
    assert village.sync().uploaded > 0
    village.reopen()
    engine = village.engine
    officer = village.folder.officer(Role.SUPERVISOR, 41, WORDS)
    with engine.begin(two.link(), Role.SUPERVISOR, officer) as visit:
        assert isinstance(visit.recovered[0], Redeemed)
        assert isinstance(visit.void(unknown.intent, on_counter=False, reason="salah"), Voided)
    done = village.sync()
    assert done.pruned > 0
    assert engine.journal.unacknowledged() == []
    village.world.office.settle()
    report = village.report()
    assert report["difference_minor"] == report["goods_difference"] == 0
    assert report["settled_minor"] > 0
    assert report["findings"] == []
    assert (report["counts"]["receipts"], report["counts"]["cards_active"]) == (3, 2)


def test_an_upload_twice_is_answered_by_the_same_acknowledgement(village):
    engine = village.engine
    from terminal.carry import build_upload

    raw = bytes(build_upload(engine.journal, village.opened.log_key))
    first = village.client.post("/v1/uploads", content=raw)
    again = village.client.post("/v1/uploads", content=raw)
    assert first.status_code == again.status_code == 200
    assert hashlib.sha256(first.content).digest() == hashlib.sha256(again.content).digest()
