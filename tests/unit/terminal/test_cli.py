"""``betang-terminal`` from init to a tap, with a card behind a patched reader."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from keys import ca
from keys.enrol import OfficerRequest, Provision, StationRequest
from keys.signer import sign_object
from terminal import cli
from tests.support.terminal_world import (
    CASH,
    CODE,
    FOOD,
    OTHER_PIN,
    PIN,
    PROGRAMMES,
    Clock,
    Issuer,
    Terminal,
    entry,
)
from wire.cvc import Role
from wire.log import Upload
from wire.objects import Enrolment, KeyRole


@pytest.fixture
def point(tmp_path, monkeypatch):
    """A provisioned terminal's folder, run at the world's time."""
    monkeypatch.setenv("BETANG_PASSPHRASE", "terminal words")
    monkeypatch.setenv("BETANG_OFFICER_PASSPHRASE", "officer words")
    return Point(tmp_path, monkeypatch)


class Point:
    def __init__(self, path: Path, monkeypatch):
        self.path, self.patch = path, monkeypatch
        self.issuer, self.clock = Issuer(), Clock()
        monkeypatch.setattr(cli.time, "time", self.clock)
        self.card = self.issuer.card()

    def run(self, *words, secrets="", card=None, demo=True):
        card = card or self.card
        self.patch.setattr(cli, "_connect", lambda pattern, wait: card.link())
        self.patch.setattr(cli.sys, "stdin", io.StringIO(secrets))
        front = ["--data", str(self.path / "t"), *(["--demo"] if demo else [])]
        return cli.main([*front, *words])

    def provision(self):
        out = self.path / "request"
        assert self.run("init", "--station", "TERM0001", "--out", str(out)) == 0
        request = StationRequest.parse(out.read_bytes()).verify()
        certificates = [self.certify(request)]
        for role, number in ((Role.SUPERVISOR, 41), (Role.HANDOVER, 42)):
            assert self.run("officer", "--role", role.name.lower(), "--officer", str(number),
                            "--out", str(out)) == 0  # fmt: skip
            certificates.append(self.certify(OfficerRequest.parse(out.read_bytes())))
        issuer = self.issuer
        enrolment = sign_object(issuer.world.signer(KeyRole.REGISTRY), Enrolment(
            b"TERM0001", request.kind, request.log_key, "*", "Balai desa", self.clock.now_s),
            issuer.env)  # fmt: skip
        helper = Terminal(issuer)
        helper.certificates = certificates
        bundle = helper.bundle(entry(
            self.card, issuer.entitlement(self.card, FOOD),
            issuer.entitlement(self.card, CASH, loaded=1_000_000)))  # fmt: skip
        file = self.path / "provision"
        file.write_bytes(bytes(Provision(
            enrolment.raw, bytes(issuer.world.trust), tuple(c.raw for c in certificates),
            tuple(x.raw for x in issuer.world.links), bundle)))  # fmt: skip
        assert self.run("provision", str(file)) == 0
        self.helper = helper
        return file

    def certify(self, request):
        return ca.issue_terminal_certificate(
            self.issuer.terminal_ca(), request, serial=self.issuer.next_serial(),
            now_s=self.clock.now_s,
        )  # fmt: skip


def test_from_init_to_settled_upload(point, capsys):
    file = point.provision()
    assert point.run("provision", str(file)) == 0  # again is harmless
    assert point.run("shift", "open", "--officer", "5") == 0
    assert point.run("tap", "--json", "--redeem", f"{FOOD}=1", "--redeem", f"{CASH:#x}=250000",
                     secrets=PIN + "\n") == 0  # fmt: skip
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [x["outcome"] for x in shown["outcomes"]] == [
        "Redeemed", "Delivered.final", "Redeemed", "Delivered.final"]  # fmt: skip
    assert shown["outcomes"][0]["receipt"]["amount"] == 1
    assert point.run("status") == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["station"], status["shift_officer"], status["unknown"]) == ("TERM0001", 5, [])
    out = point.path / "upload"
    assert point.run("sync", "--export", str(out)) == 0
    kinds = [r.kind.name for r in Upload.parse(out.read_bytes()).records]
    assert kinds.count("DELIVERED") == 2
    assert point.run("shift", "close") == 0


def test_void_after_hand_over_by_commands(point, capsys):
    point.provision()
    point.run("shift", "open", "--officer", "5")
    assert point.run("tap", "--json", "--no-deliver", "--redeem", f"{FOOD}=1", secrets=PIN) == 0
    intent = json.loads(capsys.readouterr().out)["outcomes"][0]["intent"]
    assert point.run("deliver", str(intent)) == 0
    assert point.run("deliver", str(intent)) == cli.REFUSED
    assert point.run("void", "--intent", str(intent), "--officer", "41", "--reason", "salah",
                     "--on-counter", "--json") == 0  # fmt: skip
    void = json.loads(capsys.readouterr().out.splitlines()[-1])["outcomes"][0]["void"]
    assert point.run("given-back", str(void)) == cli.REFUSED
    assert point.run("returned", str(void)) == 0


def test_activation_pin_change_dispute_and_bypass(point, capsys):
    point.card = point.issuer.card(life="inert")
    point.provision()
    point.run("shift", "open", "--officer", "5")
    assert point.run("activate", "--officer", "42", "--bast", "B-1", "--place", "Desa",
                     secrets=f"{CODE}\n{PIN}\n") == 0  # fmt: skip
    assert point.run("change-pin", secrets=f"{PIN}\n{OTHER_PIN}\n") == 0
    assert point.run("tap", "--redeem", f"{FOOD}=1", "--bypass", "sakit", "--officer", "41") == 0
    assert point.run("dispute", "--sequence", "1", secrets=OTHER_PIN) == 0
    assert point.run("tap", "--redeem", f"{FOOD}=1", secrets="111222") == cli.REFUSED
    shown = capsys.readouterr().out
    assert "PIN atau kode salah. Sisa 2 kali." in shown
    assert not [secret for secret in (PIN, OTHER_PIN, CODE) if secret in shown]


def test_secrets_come_from_any_descriptor(point, capsys):
    point.provision()
    point.run("shift", "open", "--officer", "5")
    read, write = os.pipe()
    os.write(write, PIN.encode() + b"\n")
    os.close(write)
    assert point.run("tap", "--redeem", f"{FOOD}=1", "--secrets-fd", str(read)) == 0
    os.close(read)


def test_stock(point, capsys):
    point.provision()
    assert point.run("stock", "count", "beras", "gram", "5000") == 0
    assert json.loads(capsys.readouterr().out)[0]["quantity"] == 5000
    assert point.run("stock", "receive", "KIRIM-9") == cli.FAILED


def test_without_demo_a_demo_terminal_is_refused_in_one_message(point, capsys):
    point.provision()
    assert point.run("tap", demo=False) == cli.FAILED
    assert "betang-terminal:" in capsys.readouterr().err


def test_errors_are_sentences_and_never_tracebacks(point, capsys):
    assert point.run("status") == cli.FAILED
    point.provision()
    assert point.run("init", "--station", "TERM0001", "--out", str(point.path / "r")) == cli.FAILED
    assert point.run("sync") == cli.FAILED
    (point.path / "noise").write_bytes(b"noise")
    assert point.run("sync", "--import", str(point.path / "noise")) == cli.FAILED
    assert point.run("provision", str(point.path / "noise")) == cli.FAILED
    point.patch.setenv("BETANG_PASSPHRASE", "wrong")
    assert point.run("status") == cli.FAILED
    shown = capsys.readouterr().err
    assert shown.count("betang-terminal:") == 6
    assert "Traceback" not in shown


def test_a_provision_for_another_station_is_refused(point, capsys):
    point.provision()
    other = Point(point.path / "other", point.patch)
    other.path.mkdir()
    out = other.path / "r"
    assert other.run("init", "--station", "TERM0009", "--out", str(out)) == 0
    assert other.run("provision", str(point.path / "provision")) == cli.FAILED


def test_a_dead_card_is_noted(point, capsys):
    from card_os.host.links import CardMute

    point.provision()

    class Dead:
        def link(self):
            raise CardMute("no ATR")

    assert point.run("tap", "--json", card=Dead()) == cli.REFUSED
    assert "CardRefused.DEAD_CARD" in capsys.readouterr().out


def test_programmes_are_shown_by_name(point, capsys):
    point.provision()
    assert point.run("tap") == 0
    assert PROGRAMMES[0].title_id in capsys.readouterr().out
