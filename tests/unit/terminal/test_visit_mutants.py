"""What a visit reads of a card, and whose it is; each met a mutant that survived."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from card_os.host import errors
from card_os.host.opening import CardIdentity
from card_os.host.purse import PurseSession
from keys.signer import P256Signer
from terminal import collect, recovery
from terminal.guard import guarded
from terminal.opening import TurnedAwayError
from terminal.outcomes import CardLost, CardRefused, Caution, Step, Warn
from tests.support.terminal_world import ENV, FOOD, GIB, PIN, Issuer, Terminal, at_work, entry
from tests.unit.terminal.test_void import paid_food, void
from wire.cvc import Role
from wire.entitlement import ScriptAction
from wire.log import Reason, RecordType
from wire.receipt import Receipt, Statement, StatementKind


def test_only_an_acknowledged_receipt_that_is_not_the_newest_may_be_gone(monkeypatch):
    terminal, card = at_work()

    def gone(self, sequence):
        raise errors.NotThereError("READ", 0x6A88)

    with terminal.begin(card) as visit:
        monkeypatch.setattr(PurseSession, "read_receipt", gone)
        visit.session._state = replace(visit.session.state, acknowledged=3, sequence=5)
        assert [collect._read(visit, n) for n in (1, 2, 3)] == [None] * 3
        for acknowledged, n in ((3, 4), (3, 5), (5, 5), (6, 5)):
            visit.session._state = replace(visit.session.state, acknowledged=acknowledged)
            with pytest.raises(TurnedAwayError) as e:
                collect._read(visit, n)
            assert e.value.reason is Reason.IDENTITY_CHANGED


@pytest.mark.parametrize("known", [False, True])
def test_the_first_script_of_a_card_is_collected_unless_the_bundle_counts_it(known):
    terminal = Terminal(Issuer())
    card = terminal.issuer.card()
    script = terminal.issuer.script(card, ScriptAction.PIN_UNBLOCK)
    with card._session(Role.TERMINAL, b"OTHER001") as session:
        session.script(script)
    cards = [entry(card, script_count=1, pin_set_count=1)] if known else []
    terminal.engine.install(terminal.bundle(*cards))
    terminal.engine.open_shift(5)
    with terminal.begin(card):
        pass
    items = [r.body.item for r in terminal.journal.records(0, GIB)
             if r.kind is RecordType.COLLECTED]  # fmt: skip
    kinds = [Statement.parse(item).kind for item in items]
    assert kinds == ([] if known else [StatementKind.ACTIVATION, StatementKind.SCRIPT])


def test_an_answer_no_card_could_give_turns_the_card_away_and_a_cut_one_does_not():
    terminal, _ = at_work()

    def answers(error):
        def action():
            raise error

        return guarded(terminal.engine, Step.COLLECTING, action)

    found = answers(errors.ProtocolError("nonsense"))
    assert found == CardRefused(Reason.IDENTITY_CHANGED, None, "nonsense")
    assert terminal.kinds()[-1] == "REJECTED"
    assert answers(errors.UnexpectedStatusError("READ", 0x1234)) == CardLost(Step.COLLECTING)
    assert terminal.events[-1] == CardLost(Step.COLLECTING)


def test_goods_on_the_counter_are_told_to_their_own_card():
    terminal, card = at_work()
    other = terminal.issuer.card(2)
    voided = void(terminal, card, paid_food(terminal, card, deliver=True).intent, on_counter=True)

    def told(which):
        with terminal.begin(which) as visit:
            return [w for w in visit.warnings if w.caution is Caution.GOODS_SUSPENDED]

    assert told(other) == []
    assert told(card) == [Warn(Caution.GOODS_SUSPENDED, voided.void)]


@pytest.mark.parametrize("other", [b"AAAA0001", b"ZZZZ0001"])
def test_a_receipt_in_a_bundle_is_of_the_card_it_names(other):
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        paid = visit.redeem(FOOD, 1)
    receipt = terminal.journal.intent(paid.intent).receipt
    key = P256Signer.generate(random.Random(3).randbytes)  # noqa: S311
    fields = {n: getattr(receipt, n) for n in Receipt.__slots__ if n != "raw"}
    bodies = [Receipt.encode_body(**fields | {"card_id": c}) for c in (card.card_id, other)]
    mine, theirs = (b + key.sign(b) for b in bodies)
    identity = CardIdentity(ENV, card.card_id, b"", key.public_key, bytes(32))
    assert recovery._verified(mine, identity) == Receipt.parse(mine)
    assert recovery._verified(theirs, identity) is None
    assert recovery._verified(mine[:-1] + bytes([mine[-1] ^ 1]), identity) is None
