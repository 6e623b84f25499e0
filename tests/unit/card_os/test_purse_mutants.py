"""What the reference purse does at its borders; each met a mutant that survived."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from card_os.reference import purse_store
from card_os.reference.errors import CardFileError
from card_os.reference.purse_store import Card
from tests.support.purse_world import (
    CODE,
    ENV,
    OFFICER,
    OTHER_PIN,
    PIN,
    World,
    stage,
    void_of,
)
from wire import raw
from wire.cvc import Role
from wire.entitlement import ScriptAction
from wire.env import Environment
from wire.purse import RING_SLOTS, Flag, Ins

P, H = Role.PERSONALISER, Role.HANDOVER


def test_a_change_of_pin_leaves_a_pending_reset_to_its_officer() -> None:
    bench = stage()
    session = bench.open()
    script = bytes(bench.world.script(ScriptAction.PIN_RESET, 1))
    assert session.sw(Ins.SCRIPT, 0, 0, script) == 0x9000
    assert session.sw(Ins.CHANGE_PIN, 0, 0x80, PIN + OTHER_PIN) == 0x9000
    assert Flag.PIN_RESET_PENDING in bench.open().state().flags
    assert bench.store.card.reset_officer == OFFICER
    assert bench.open(H, officer=OFFICER).sw(Ins.ACTIVATE, 1, 0, PIN) == 0x9000


@pytest.mark.parametrize("code", [b"4081726/", b"4081726:", b"/0817263", b":0817263"])
def test_a_transport_code_is_of_digits(code: bytes) -> None:
    bench = stage("KEYED")
    session = bench.open(P)
    certificate = bytes(bench.own_certificate())
    assert session.sw(Ins.PERSONALISE, 0, 0, code + certificate) == 0x6A80
    assert session.sw(Ins.PERSONALISE, 0, 0, b"09" * 4 + certificate) == 0x9000
    assert len(CODE) == len(code)


@pytest.mark.parametrize("other", [bytes(16), b"\xff" * 16])
def test_an_entitlement_for_another_certificate_is_refused(other: bytes) -> None:
    bench = stage()
    session = bench.open()
    made = bench.world.entitlement(other, sequence=9)
    assert session.sw(Ins.LOAD, 0, 0, bytes(made)) == 0x6A80
    assert session.sw(Ins.LOAD, 0, 0, bytes(bench.entitlement(sequence=9))) == 0x9000


def test_a_new_card_knows_no_later_day_than_the_first() -> None:
    assert Card(life=stage().store.card.life).own_date == date(2000, 1, 1)
    assert purse_store.ENTITLEMENT_SLOTS == 9  # docs: the ninth is the spare of a torn LOAD


def test_the_ring_is_never_written_over_what_is_not_acknowledged() -> None:
    store = stage().store
    card = replace(store.card, sequence=RING_SLOTS, acknowledged=0)
    with pytest.raises(CardFileError, match="unacknowledged"):
        store.put_spare_receipt(card, bytes(210))
    store.put_spare_receipt(replace(card, acknowledged=1), bytes(210))


@pytest.mark.parametrize("env", [e for e in Environment if e != ENV])
def test_a_certificate_of_any_other_environment_is_none_of_this_card(env: Environment) -> None:
    bench = stage("KEYED")
    session = bench.open(P)
    keys, card_id = (bench.channel_public, bench.receipt_public), bench.world.card_id()
    other = World(env).card_certificate(*keys, card_id=card_id)
    assert session.sw(Ins.PERSONALISE, 0, 0, CODE + bytes(other)) == 0x6A80
    assert session.sw(Ins.PERSONALISE, 0, 0, CODE + bytes(bench.own_certificate())) == 0x9000


def test_all_that_the_ring_holds_is_part_of_what_the_purse_can_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(purse_store, "RING_SLOTS", 3)
    bench = stage()
    made = [bench.pay(100), bench.pay(50)]
    made.append(bench.open(Role.SUPERVISOR, officer=OFFICER).void(void_of(2)))
    bodies = [raw.body_of(bytes(r)) for r in made]
    ring = bench.store.logical_state()[4]
    assert [b for b in ring if b in bodies] == bodies
