"""``betang-issuer`` from init to a settled desk log, against the real backend and key service."""

from __future__ import annotations

import asyncio
import json
import stat
from dataclasses import replace
from functools import partial

import httpx
import pytest

from backend.api import make_app as backend_app
from card_os.host.links import CardMute, InProcessLink
from card_os.reference.card import ReferenceCard
from card_os.reference.foreign import ForeignCard
from card_os.reference.packages import PACKAGES
from card_os.reference.profiles import JCOP_LIKE, TransportKeys
from issuer import cli
from keys.cardsession import TransportSets
from keys.enrol import Provision, StationRequest
from keys.http import KeyClient
from keys.httpserver import make_app as keys_app
from keys.signer import sign_object
from tests.support import backend_world
from tests.unit.issuer.desk_world import TRANSPORT, CutLink
from wire import cbor
from wire.cose import Sign1
from wire.log import DeskStep, Upload
from wire.objects import KeyRole, Order

URL = "http://backend"


class InProcess(httpx.BaseTransport):
    """An ASGI application behind a plain client, one request at a time."""

    def __init__(self, app):
        self.app = app

    def handle_request(self, request):
        async def ask():
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
                return await client.request(request.method, str(request.url),
                                            content=request.content)  # fmt: skip

        answer = asyncio.run(ask())
        return httpx.Response(answer.status_code, content=answer.content)


class OneCard:
    """A reader with these cards, one after the other."""

    def __init__(self, links):
        self.links = list(links)

    def next(self, _):
        link = self.links.pop(0) if self.links else None
        if isinstance(link, Exception):
            raise link
        return link


class Desk:
    def __init__(self, path, monkeypatch, capsys):
        self.path, self.capsys = path, capsys
        self.world = world = backend_world.make(path)
        world.import_all(rows=8)
        world.service._keys.batches["b1"] = TransportSets(0xFF, {b"": TRANSPORT})
        self.backend = InProcess(backend_app(world.office))
        keys = InProcess(keys_app(world.service))
        monkeypatch.setenv("BETANG_PASSPHRASE", "desk words")
        monkeypatch.setattr(cli.time, "time", world.clock)
        monkeypatch.setattr(cli, "KeyClient", lambda _: KeyClient(None, keys))
        monkeypatch.setattr(httpx, "Client", partial(httpx.Client, transport=self.backend))
        monkeypatch.setattr(cli, "open_stack", lambda _: OneCard(self.links))
        self.links, self.chips = [], 0

    def run(self, *words, links=(), demo=True, lang="en"):
        self.links = links
        front = ["--data", str(self.path / "desk"), *(["--demo"] if demo else []), "--lang", lang]
        code = cli.main([*front, *words])
        self.out, self.err = self.capsys.readouterr()
        return code

    def card(self):
        self.chips += 1
        serial = self.chips.to_bytes(4, "big")
        self.world.state.receive_chips("b1", [JCOP_LIKE.kdd_of(serial)])
        return ReferenceCard.create(
            transport_keys=TransportKeys(0xFF, TRANSPORT), serial=serial, registry=PACKAGES,
            random=self.world.random,
        )  # fmt: skip

    def provision(self):
        assert self.run("mail-key", "--out", str(self.path / "mail.key")) == 0
        recipient = self.out.strip()
        request = self.path / "request"
        assert self.run("init", "--station", "DESK0001", "--http", URL, "--key-service",
                        str(self.path / "sock"), "--reader", "x", "--mail-recipient", recipient,
                        "--out", str(request)) == 0  # fmt: skip
        StationRequest.parse(request.read_bytes()).verify()
        raw = self.world.office.enrol(StationRequest.parse(request.read_bytes()), "*", "Meja")
        file = self.path / "provision"
        file.write_bytes(raw)
        assert self.run("provision", str(file)) == 0
        self.world.office.order_cards(backend_world.DESK)
        return file

    def lines(self):
        return [json.loads(x) for x in self.out.splitlines()]


@pytest.fixture
def desk(tmp_path, monkeypatch, capsys):
    return Desk(tmp_path, monkeypatch, capsys)


def test_from_init_to_an_acknowledged_desk_log(desk):
    file = desk.provision()
    assert desk.run("provision", str(file)) == 0  # again is harmless
    assert desk.run("orders") == 0
    (taken,) = desk.lines()
    assert taken["new"] > 2
    assert desk.run("orders") == 0
    assert desk.lines()[0]["new"] == 0
    cards = [desk.card() for _ in range(3)]
    links = [InProcessLink(cards[0])]
    assert desk.run("personalise", "--next", "--officer", "7", "--json", links=links) == 0
    *events, done = desk.lines()
    assert done["outcome"] == "Issued"
    assert done["wallets"]
    assert [e["step"] for e in events] == [s.name for s in DeskStep][:8]
    links = [InProcessLink(c) for c in cards[1:]]
    assert desk.run("bulk", "--officer", "7", "--json", links=links) == 0
    assert desk.lines()[-1] == {"good": 2, "bad": 0, "end": "no-more-cards"}
    assert desk.run("sync") == 0
    synced = desk.lines()[0]
    assert synced["uploaded"] == synced["pruned"] > 24
    report = desk.world.office.report()
    assert report["findings"] == []
    assert len(desk.world.office.orders(backend_world.DESK)) == taken["new"] - 3
    assert desk.run("status") == 0
    status = desk.lines()[0]
    assert (status["issued"], status["unacknowledged"], status["begun"]) == (3, 0, [])


def test_interrupted_between_processes_and_identified_on_the_way(desk):
    desk.provision()
    desk.run("orders")
    card = desk.card()
    words = ("personalise", "--officer", "7")
    assert desk.run(*words, links=[CutLink(card, 34)]) == cli.REFUSED
    assert "Put the same card in again" in desk.out
    assert desk.run("status") == 0
    (begun,) = desk.lines()[0]["begun"]
    assert desk.run("identify", "--officer", "7", links=[InProcessLink(card)]) == 0
    shown = desk.lines()[0]
    assert shown["order"]["number"] == begun["order"]
    assert shown["card"]["chip"] == begun["chip"]
    assert desk.run(*words, "--order", begun["order"], links=[InProcessLink(card)]) == 0
    assert desk.run("identify", "--officer", "7", links=[InProcessLink(card)]) == 0
    assert desk.lines()[0]["inside"]["life"] == "INERT"
    assert desk.run(*words, links=[InProcessLink(card)]) == cli.REFUSED
    assert desk.run(*words, links=[InProcessLink(ForeignCard())], lang="id") == cli.REFUSED
    assert "bukan kartu untuk program ini" in desk.out
    mute = CardMute("no ATR")
    assert desk.run("identify", "--officer", "7", links=[mute]) == 0
    assert (desk.lines()[0]["said"], desk.lines()[0]["card"]) == ("MUTE", None)
    assert desk.run("sync") == 0  # the readings are in the log, and the office counts them
    assert desk.world.office.report()["counts"]["cards_read"] == 3


def test_an_order_of_another_familys_row_stops_the_run_until_it_is_skipped(desk):
    desk.provision()
    desk.run("orders")
    true = [Order.parse(Sign1.parse(raw).payload) for raw in
            desk.world.office.orders(backend_world.DESK)]  # fmt: skip
    wrong = replace(true[0], number=b"w" * 16, family=true[1].family, predecessor=b"DEMO\0\0\0\x09")
    registry = desk.world.keys.signers[KeyRole.REGISTRY, 1]
    file = desk.path / "wrong"
    file.write_bytes(cbor.encode_sequence([bytes(sign_object(registry, wrong, backend_world.ENV))]))
    assert desk.run("orders", "--file", str(file)) == 0
    assert desk.run("orders") == 0  # brings what stands behind it
    bulk = ("bulk", "--officer", "7", "--json")
    assert desk.run(*bulk, links=[InProcessLink(desk.card())]) == 0
    assert desk.lines() == [{"good": 0, "bad": 0, "end": "order-wrong"}]
    one = ("personalise", "--officer", "7")
    assert desk.run(*one, links=[InProcessLink(desk.card())]) == cli.REFUSED
    assert "not that family's" in desk.out
    skip = ("skip", "--officer", "7", "--order")
    assert desk.run(*skip, true[0].number.hex()) == cli.FAILED
    assert desk.run(*skip, wrong.number.hex()) == 0
    assert desk.run(*bulk, links=[InProcessLink(desk.card())]) == 0
    assert desk.lines()[-1] == {"good": 1, "bad": 0, "end": "no-more-cards"}


def test_the_mail_path_opens_the_mailer_of_an_issued_card(desk):
    desk.provision()
    desk.run("orders")
    desk.run("personalise", "--officer", "7", "--json", links=[InProcessLink(desk.card())])
    card = desk.lines()[-1]["card_id"]
    mailer = desk.path / "desk" / "mail" / "out" / f"{card}.age"
    assert stat.S_IMODE(mailer.stat().st_mode) == 0o600
    key = str(desk.path / "mail.key")
    assert desk.run("open-mailers", "--identity", key, str(mailer)) == 0
    (opened,) = desk.lines()[0]
    assert opened["card"] == card
    assert len(opened["code"]) == 8
    mailer.write_bytes(b"?")
    assert desk.run("open-mailers", "--identity", key, str(mailer)) == 1


def test_orders_entitlements_and_log_by_file(desk):
    desk.provision()
    office = desk.world.office
    orders = desk.path / "orders"
    orders.write_bytes(cbor.encode_sequence(office.orders(backend_world.DESK)))
    assert desk.run("orders", "--file", str(orders)) == 0
    folder = desk.path / "ents"
    folder.mkdir()
    words = ("personalise", "--officer", "7", "--json", "--entitlements", str(folder))
    card = desk.card()
    assert desk.run(*words, links=[InProcessLink(card)]) == cli.REFUSED
    waiting = desk.lines()[-1]
    assert waiting["outcome"] == "Waiting"
    card_id = bytes.fromhex(waiting["card_id"])
    office.entitle(card_id)
    (folder / f"{card_id.hex()}.cbor").write_bytes(
        cbor.encode_sequence(office.entitlements_of(card_id))
    )
    assert desk.run(*words, links=[InProcessLink(card)]) == 0
    out = desk.path / "upload"
    assert desk.run("sync", "--export", str(out)) == 0
    upload = Upload.parse(out.read_bytes())
    ack = desk.path / "ack"
    ack.write_bytes(office.ingest(out.read_bytes()))
    assert desk.run("sync", "--import", str(ack)) == 0
    assert desk.lines()[0]["pruned"] == len(upload.records)
    assert desk.run("sync", "--import", str(out)) == 1


def test_a_scrapped_card_frees_its_order_at_the_backend(desk):
    desk.provision()
    desk.run("orders")
    card = desk.card()
    desk.run("personalise", "--officer", "7", links=[CutLink(card, 40)])
    desk.run("status")
    number = desk.lines()[0]["begun"][0]["order"]
    before = len(desk.world.office.orders(backend_world.DESK))
    assert desk.run("scrap", "--order", number, "--officer", "7", "--reason", "patah") == 0
    assert len(desk.world.office.orders(backend_world.DESK)) == before + 1
    assert desk.run("scrap", "--order", number, "--officer", "7", "--reason", "patah") == 1
    links = [InProcessLink(desk.card())]
    assert desk.run("personalise", "--order", number, "--officer", "7", links=links) == 0
    assert desk.run("sync") == 0
    assert desk.world.office.report()["findings"] == []


def test_a_provision_file_for_another_station_or_without_links_is_refused(desk):
    file = desk.provision()
    answer = Provision.parse(file.read_bytes())
    other = desk.world.office.enrol(
        StationRequest.make(
            backend_world.ENV, b"DESK0002", 2, desk.world.desk(b"DESK0003").log_key
        ), "*", "x",
    )  # fmt: skip
    for raw in (
        other, bytes(replace(answer, links=())), bytes(replace(answer, links=answer.links[:1])),
        b"?", bytes(replace(answer, enrolment=Provision.parse(other).enrolment)),
    ):  # fmt: skip
        file.write_bytes(raw)
        assert desk.run("provision", str(file)) == 1
        assert "folder cannot be used" in desk.err
    assert desk.run("status") == 0


def test_without_demo_nothing_of_a_demo_desk_opens_and_one_line_says_so(desk):
    desk.provision()
    for words in (("status",), ("orders",), ("sync",), ("personalise", "--officer", "1")):
        assert desk.run(*words, demo=False) == 1
        assert "DEMO" in desk.err
        assert len(desk.err.splitlines()) == 1


def test_wrong_use_is_told_in_one_line(desk, tmp_path):
    assert desk.run("status") == 1
    assert "not provisioned" in desk.err
    desk.provision()
    assert desk.run("init", "--station", "DESK0001", "--mail-recipient", "x",
                    "--out", str(tmp_path / "r")) == 1  # fmt: skip
    assert desk.run("mail-key", "--out", str(tmp_path / "mail.key")) == 1
    assert desk.run("personalise", "--officer", "7") == 1
    assert "Reader or card is not ready" in desk.err
    assert desk.run("personalise", "--officer", "7", "--order", "00" * 16,
                    links=[InProcessLink(desk.card())]) == 1  # fmt: skip
    with pytest.raises(SystemExit):
        desk.run("personalise", "--officer", "7", "--order", "zz")
