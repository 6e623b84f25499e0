"""Pulled, killed or torn anywhere: the next visit finishes the same card, certified once."""

from __future__ import annotations

import pytest

from issuer.outcomes import (
    Interrupted,
    Refusal,
    Refused,
    TurnedAway,
)
from tests.unit.issuer.desk_world import (
    COMMANDS,
    OFFICER,
    CutLink,
    DeskWorld,
    DyingVerbs,
    Killed,
    issued_once,
)


@pytest.fixture
def w():
    return DeskWorld()


def test_there_are_as_many_commands_as_the_interruptions_below_assume(w):
    w.order()
    link = CutLink(w.card())
    assert w.desk.personalise(link, OFFICER).is_good
    assert len(link.sent) == COMMANDS


@pytest.mark.parametrize("answered", [False, True])
def test_pulled_at_every_command_the_next_visit_finishes_the_same_card(w, answered):
    for cut in range(COMMANDS):
        number, card = w.order(), w.card()
        first = w.desk.personalise(CutLink(card, cut, answered=answered), OFFICER)
        assert isinstance(first, Interrupted | TurnedAway), (cut, first)
        issued_once(w, number, card, w.make(card))


@pytest.mark.parametrize("answered", [False, True])
def test_killed_at_every_command_the_next_start_finishes_the_same_card(w, answered):
    for cut in range(COMMANDS):
        number, card = w.order(), w.card()
        with pytest.raises(Killed):
            w.desk.personalise(CutLink(card, cut, answered=answered, error=Killed), OFFICER)
        w.start()
        issued_once(w, number, card, w.make(card))


def test_pulled_at_every_two_commands_still_one_card(w):
    for cut in range(6, COMMANDS, 3):
        number, card = w.order(), w.card()
        for again in (cut, cut // 2, cut):
            w.desk.personalise(CutLink(card, again, answered=bool(again % 2)), OFFICER)
        outcome = w.make(card)
        if isinstance(outcome, Refused):  # a visit got through: the resumed way is shorter
            assert outcome.reason == Refusal.CARD_ISSUED
            assert len(w.certificates(w.desk.book.job(number).order.family)) == 1
        else:
            issued_once(w, number, card, outcome)


def test_torn_at_every_persistent_write_the_next_visit_finishes_the_same_card(w):
    w.order()
    card = w.card()
    before = card.nvm.writes
    assert w.make(card).is_good
    writes = card.nvm.writes - before
    assert writes > 50
    for tear in range(writes):
        number, card = w.order(), w.card()
        card.nvm.tear_before = tear
        first = w.make(card)
        card.nvm.tear_before = None
        if not first.is_good:
            issued_once(w, number, card, w.make(card))


@pytest.mark.parametrize(
    "verb", ["open_card_session", "certify_card", "personaliser_certificate", "personaliser_ecdh"]
)
def test_killed_after_a_verb_of_the_service(w, verb):
    number, card = w.order(), w.card()
    w.verbs = DyingVerbs(w.service, verb)
    w.start()
    with pytest.raises(Killed):
        w.make(card)
    w.verbs = w.service
    w.start()
    issued_once(w, number, card, w.make(card))


def test_a_card_begun_goes_on_with_its_own_order_whatever_comes_next(w):
    first, second = w.order(), w.order()
    one, two = w.card(), w.card()
    w.desk.personalise(CutLink(one, 30), OFFICER)
    assert w.make(two).order == second
    issued_once(w, first, one, w.make(one))


def test_a_half_made_chip_is_stock_again_before_it_has_keys(w):
    first = w.order()
    one, two = w.card(), w.card()
    w.desk.personalise(CutLink(one, 12), OFFICER)
    assert w.make(two).order == first
    second = w.order()
    assert w.make(one).order == second
