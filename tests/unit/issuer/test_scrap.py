"""A card that cannot be finished is scrapped knowingly, and its order is free again."""

from __future__ import annotations

import pytest

from issuer.errors import ScrapRefusedError
from issuer.outcomes import (
    Scrapped,
    Turned,
    TurnedAway,
)
from tests.unit.issuer.desk_world import (
    COMMANDS,
    OFFICER,
    CutLink,
    DeskWorld,
    DyingVerbs,
    Killed,
)
from wire.chain import IssuanceKind


@pytest.fixture
def w():
    return DeskWorld()


def begun(w: DeskWorld):
    number, card = w.order(), w.card()
    w.desk.personalise(CutLink(card, COMMANDS - 5), OFFICER)
    return number, card, w.desk.book.job(number).card_id


def test_a_dead_card_is_scrapped_by_its_order(w):
    number, card, card_id = begun(w)
    assert w.desk.scrap(number, "melted", OFFICER) == Scrapped(number, card_id, "melted")
    assert w.state.card(card_id).scrapped
    assert not w.desk.tools.mail.holds(card_id)
    assert w.make(card) == TurnedAway(Turned.SCRAPPED, "melted")
    assert w.make(w.card()).order == number


def test_a_scrap_that_was_interrupted_is_completed_by_the_next(w):
    number, _, card_id = begun(w)
    w.verbs = DyingVerbs(w.service, "scrap_card")
    w.start()
    with pytest.raises(Killed):
        w.desk.scrap(number, "melted", OFFICER)
    w.verbs = w.service
    w.start()
    assert isinstance(w.desk.scrap(number, "melted", OFFICER), Scrapped)
    assert [i.item for i in w.issuance.items if i.kind == IssuanceKind.SCRAPPED] == [card_id]


def test_what_cannot_be_scrapped(w):
    number = w.order()
    with pytest.raises(ScrapRefusedError, match="no card"):
        w.desk.scrap(number, "why", OFFICER)
    w.make(w.card())
    with pytest.raises(ScrapRefusedError, match="issued"):
        w.desk.scrap(number, "why", OFFICER)
    begun_number, _, _ = begun(w)
    with pytest.raises(ScrapRefusedError, match="reason"):
        w.desk.scrap(begun_number, "  ", OFFICER)
