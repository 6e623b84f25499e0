"""Two people, each with one key and one list: what they read is what they sign."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from keys import approve
from keys.approve import Person, Role
from keys.describe import ACTIONS, describe
from keys.enrol import OfficerRequest
from keys.errors import ApprovalError
from keys.exchange import MAX_ANSWER_BYTES, Exchange, Part, Pending
from keys.signer import Ed25519Signer, P256KeyAgreement
from tests.support.keys_world import ENV, NOW_S, PARAMETERS, KeyWorld, make, wish
from wire.cvc import Role as CardRole
from wire.env import Environment
from wire.objects import (
    Decision,
    DecisionKind,
    DecreeAnnex,
    DecreeRow,
    FundRelease,
    Hotlist,
)

FUNDS = FundRelease("SP2D-7", 6658, 5_000_000, NOW_S)
SECRET = "rahasia-satu"


@pytest.fixture
def w() -> KeyWorld:
    return make()


@pytest.fixture
def folder(tmp_path: Path) -> Exchange:
    return Exchange(tmp_path)


class Desk:
    """One person and what they were shown and noted."""

    def __init__(self, w: KeyWorld, number: int, *, actions=ACTIONS, says=True, key=None) -> None:
        self.shown: list[list[str]] = []
        self.noted: list[dict] = []

        def show(lines: list[str]) -> bool:
            self.shown.append(lines)
            return says

        signer = key or w.world.people[number]
        self.person = Person(w.trust, number, signer, frozenset(actions), w.clock, show,
                             self.noted.append)  # fmt: skip

    def step(self, folder: Exchange, role: Role) -> int:
        return self.person.step(folder, role)


def offered(folder: Exchange, *shapes, action="") -> str:
    return folder.offer(Pending(ENV, action or shapes[0].KIND, tuple(bytes(s) for s in shapes)))


def refusal(folder: Exchange, name: str) -> str:
    return (folder.read(name, Part.REFUSAL) or b"").decode()


def test_two_people_sign_what_the_signer_then_takes(w, folder) -> None:
    one, two = Desk(w, 1), Desk(w, 2)
    name = offered(folder, FUNDS)
    assert two.step(folder, Role.AGREE) == 0  # nobody has asked yet
    assert one.step(folder, Role.ASK) == 1
    assert one.step(folder, Role.ASK) == 0  # once
    assert two.step(folder, Role.AGREE) == 1
    assert two.step(folder, Role.AGREE) == 0
    request, approval = folder.read(name, Part.REQUEST), folder.read(name, Part.APPROVAL)
    assert w.service.sign_registry([FUNDS], request, approval)
    for desk in (one, two):
        assert "program 6658 Rp: 5000000" in desk.shown[0]
        assert desk.noted[0]["summary"] == desk.shown[0][1:]
    folder.clear(name)
    assert (folder.names(), folder.has(name, Part.APPROVAL)) == ([], False)


@pytest.mark.parametrize("role", list(Role))
def test_an_action_outside_the_list_is_refused(w, folder, role) -> None:
    name = offered(folder, FUNDS)
    if role == Role.AGREE:
        Desk(w, 1).step(folder, Role.ASK)
    desk = Desk(w, 2, actions=ACTIONS - {"funds"})
    desk.step(folder, role)
    assert "2 does not sign for funds" in refusal(folder, name)
    assert desk.noted == []
    assert desk.step(folder, role) == 0  # refused is answered


def test_no_is_a_refusal_and_nothing_is_noted(w, folder) -> None:
    name, desk = offered(folder, FUNDS), Desk(w, 1, says=False)
    desk.step(folder, Role.ASK)
    assert "refused" in refusal(folder, name)
    assert desk.noted == []
    assert not folder.has(name, Part.REQUEST)


def test_one_person_does_not_agree_to_their_own_request(w, folder) -> None:
    name = offered(folder, FUNDS)
    Desk(w, 1).step(folder, Role.ASK)
    Desk(w, 1).step(folder, Role.AGREE)
    assert "one's own" in refusal(folder, name)


def test_a_request_for_other_bytes_under_this_name(w, folder) -> None:
    name = offered(folder, FUNDS)
    request, _ = w.two("funds", [bytes(PARAMETERS)])
    folder.put(name, Part.REQUEST, request)
    Desk(w, 2).step(folder, Role.AGREE)
    assert "something else" in refusal(folder, name)


def test_a_request_by_a_stranger_or_expired(w, folder) -> None:
    name = offered(folder, FUNDS)
    Desk(w, 1).step(folder, Role.ASK)
    w.clock.now_s += 86_401
    Desk(w, 2).step(folder, Role.AGREE)
    assert "expired" in refusal(folder, name)
    folder.clear(name)
    w.clock.now_s = NOW_S
    name = offered(folder, FUNDS)
    folder.put(name, Part.REQUEST, b"nothing")
    Desk(w, 2).step(folder, Role.AGREE)
    assert "does not stand" in refusal(folder, name)


def test_a_key_that_is_not_the_stated_one_signs_nothing(w, folder) -> None:
    name = offered(folder, FUNDS)
    Desk(w, 1, key=Ed25519Signer.generate(w.rng.randbytes)).step(folder, Role.ASK)
    assert "not the one stated" in refusal(folder, name)


def test_another_environment_is_refused(w, folder) -> None:
    name = folder.offer(Pending(Environment.LIVE, "funds", (bytes(FUNDS),)))
    Desk(w, 1).step(folder, Role.ASK)
    assert "environment" in refusal(folder, name)


def test_bytes_put_under_another_name_are_refused(w, folder, tmp_path) -> None:
    name = offered(folder, FUNDS)
    other = Pending(ENV, "funds", (bytes(FundRelease("SP2D-8", 1, 1, 1)),))
    (tmp_path / f"{name}.pending").write_bytes(bytes(other))
    Desk(w, 1).step(folder, Role.ASK)
    assert "another action" in refusal(folder, name)


def test_foreign_files_and_oversized_answers(w, folder, tmp_path) -> None:
    (tmp_path / "readme.pending").write_bytes(b"x")
    assert Desk(w, 1).step(folder, Role.ASK) == 0
    name = offered(folder, FUNDS)
    folder.put(name, Part.REQUEST, bytes(MAX_ANSWER_BYTES + 1))
    Desk(w, 2).step(folder, Role.AGREE)
    assert "larger" in refusal(folder, name)
    with pytest.raises(ApprovalError):
        folder.read("../x", Part.PENDING)


# --- what is read ------------------------------------------------------------


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_bytes_that_are_something_else_are_not_signed(action) -> None:
    with pytest.raises(ApprovalError):
        describe(action, [b"\x81\x01"])


def test_a_batch_is_summed_and_listed(w) -> None:
    cert = w.certified()
    row = DecreeRow(10, b"F" * 16, 6657, 3, bytes(32))
    annex = DecreeAnnex("SK-1", 20260401, "Bupati", (row, replace(row, row=11)))
    lines = describe("decree", [bytes(annex)])
    assert {"program 6657 baris / rows: 2", "program 6657 satuan / units: 6"} <= set(lines)
    wishes = [bytes(wish(cert)), bytes(wish(cert, cause=None, sequence=2))]
    lines = describe("entitlements", wishes)
    assert lines[0] == "entitlements: 2"
    assert {"program 1: 1 naik / raised", "tanpa kenaikan / without a step: 1"} <= set(lines)
    assert any("L=100" in line and cert.subject[:4].decode() in line for line in lines)
    many = describe("funds", [bytes(FUNDS)] * 50)
    assert many[-1] == "… +10"


def test_each_field_of_a_decision_and_a_hotlists_cards_are_shown(w) -> None:
    move = Decision("K-1", DecisionKind.MOVE, b"DEMO\x00\x00\x00\x07", 3, 0, 0, 500,
                    b"DEMO\x00\x00\x00\x08", "hilang", NOW_S)  # fmt: skip
    text = "\n".join(describe("decision", [bytes(move)]))
    for part in ("move", "DEMO-00000007", "DEMO-00000008", "amount=500", "'hilang'"):
        assert part in text
    assert "2 kartu / cards, …7,9" in describe("hotlist", [bytes(w.hotlist(1, [7, 9]))])[1]
    with pytest.raises(ApprovalError):
        describe("hotlist", [bytes(Hotlist(1, 1, b"no bitmap"))])
    channel = P256KeyAgreement.generate(w.rng.randbytes)
    wanted = OfficerRequest.make(ENV, b"TERM0001", CardRole.SUPERVISOR, 7, channel)
    assert "role=supervisor officer=7" in describe("certify-officer", [bytes(wanted)])[1]


# --- the program ------------------------------------------------------------


def program(tmp_path: Path, *arguments: str) -> int:
    return approve.main([*arguments[:1], "--demo", "--data", str(tmp_path / "p"), *arguments[1:]])


@pytest.fixture
def opened(w, tmp_path, monkeypatch):
    """A person's folder whose key is the one stated for person 1."""
    monkeypatch.setenv("BETANG_PASSPHRASE", SECRET)
    assert program(tmp_path, "new", "--person", "1", "--action", "funds") == 0
    from keys.store import SealedStore

    store = SealedStore(tmp_path / "p/sealed", log_n=10)
    store.save("approval", w.world.people[1].private_bytes(), SECRET, replace=True)
    (tmp_path / "trust").write_bytes(bytes(w.trust.trust_file()))
    (tmp_path / "x").mkdir()
    monkeypatch.setattr(approve.time, "time", lambda: NOW_S)
    return Exchange(tmp_path / "x")


def one(tmp_path, name, *more) -> int:
    return program(tmp_path, "ask", "--trust", str(tmp_path / "trust"), *more,
                   str(tmp_path / "x" / f"{name}.pending"))  # fmt: skip


def test_the_program_shows_asks_and_keeps_a_journal(
    w, opened, tmp_path, monkeypatch, capsys
) -> None:
    name = offered(opened, FUNDS)
    monkeypatch.setattr("sys.stdin", io.StringIO("ya\n"))
    assert one(tmp_path, name) == 0
    assert "program 6658 Rp: 5000000" in capsys.readouterr().out
    assert opened.has(name, Part.REQUEST)
    (line,) = (tmp_path / "p/signed.jsonl").read_text().splitlines()
    assert json.loads(line)["action"] == "funds"
    other = offered(opened, PARAMETERS)
    assert one(tmp_path, other, "--unattended") == 1
    assert "does not sign for parameters" in refusal(opened, other)


def test_no_answer_is_no(w, opened, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    name = offered(opened, FUNDS)
    assert one(tmp_path, name) == 1
    assert not opened.has(name, Part.REQUEST)


def test_only_a_demonstration_signs_unattended(w, opened, tmp_path, monkeypatch, capsys) -> None:
    from keys.hierarchy import make_world

    real = make_world(Environment.LIVE, random=w.rng.randbytes, now_s=NOW_S, from_s=NOW_S)
    (tmp_path / "trust").write_bytes(bytes(real.trust))
    name = offered(opened, FUNDS)
    assert one(tmp_path, name, "--unattended") == 1
    assert "unattended" in capsys.readouterr().err


def test_a_folder_is_made_once_and_a_wrong_passphrase_opens_nothing(
    w, opened, tmp_path, monkeypatch, capsys
) -> None:
    assert program(tmp_path, "new", "--person", "1") == 1
    monkeypatch.setenv("BETANG_PASSPHRASE", "lain")
    assert one(tmp_path, offered(opened, FUNDS), "--unattended") == 1
    assert "does not open" in capsys.readouterr().err
