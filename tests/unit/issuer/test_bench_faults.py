"""What goes wrong at the desk, on its screen: pulled, failing, foreign cards, a full disk."""

from __future__ import annotations

from dataclasses import replace

import pytest

from card_os.host.links import CardMute, InProcessLink
from card_os.reference.foreign import ForeignCard
from issuer.errors import LogFullError, TransferError
from issuer.face import screens as s
from issuer.outcomes import (
    Faulty,
    Interrupted,
    Scrapped,
    Turned,
    TurnedAway,
    Unfinishable,
    WrongKeys,
)
from issuer.tally import Counts
from keys.errors import StockError
from keys.kdf import StaticKeys
from tests.unit.issuer.bench_world import World, signed_in
from tests.unit.issuer.desk_world import COMMANDS, CutLink, DeskWorld
from wire.env import Environment
from wire.log import CardSaid, DeskStep


@pytest.fixture
def d():
    """A desk that works by files: its log stays."""
    return World()


@pytest.mark.parametrize("answered", [False, True])
def test_pulled_anywhere_the_screen_says_so_and_the_same_card_is_finished(d, answered):
    d.sign_in()
    for cut in range(COMMANDS):
        number, card = d.w.order(), d.w.card()
        d.tell(s.Back(d.bench.view.turn))
        screen = d.insert(lambda: CutLink(card, cut, answered=answered))  # noqa: B023
        assert isinstance(screen, s.Failed), (cut, screen)
        assert isinstance(screen.outcome, Interrupted | TurnedAway)
        job = d.w.desk.book.job(number)
        if screen.family is not None:
            assert (screen.family.order, screen.family.step) == (job.order, job.step)
            assert screen.family.can_scrap
        d.take()
        assert isinstance(d.screen, s.Failed)  # explained until something else is done
        assert not d.screen.retry
        assert d.bench.view.last[0].card_id == job.card_id
        assert [f.order.number for f in d.bench.view.begun] == ([number] if job.is_bound else [])
        screen = d.insert(card)
        assert isinstance(screen, s.Finished), (cut, screen)
        assert screen.outcome.order == number
        d.take()
        assert len(d.w.certificates(job.order.family)) == 1


@pytest.mark.parametrize("cut", range(9, COMMANDS, 7))
def test_pulled_and_scrapped_knowingly_the_order_takes_another_card(d, cut):
    (number,) = signed_in(d, 1)
    card = d.w.card()
    d.insert(lambda: CutLink(card, cut))
    d.take()
    d.tell(s.AskScrap(number))
    assert isinstance(d.screen, s.ScrapReason)
    d.tell(s.GiveReason(d.bench.view.turn, "  "))
    assert d.screen.missing
    d.tell(s.GiveReason(d.bench.view.turn, " patah\n dua "))
    assert d.screen == s.ScrapConfirm(d.screen.family, "patah dua")
    assert DeskStep.SCRAPPED not in d.w.steps(number)
    d.tell(s.Scrap(d.bench.view.turn))
    assert isinstance(d.screen.outcome, Scrapped)
    assert d.w.steps(number)[-1] == DeskStep.SCRAPPED
    assert d.bench.view.scrapped == d.w.desk.book.scrapped_count() == 1
    d.go()
    screen = d.insert(card)
    assert screen.outcome.reason == Turned.SCRAPPED
    d.take()
    screen = d.insert(d.w.card())
    assert screen.outcome.order == number


def test_scrapping_is_left_by_going_back_and_needs_both_answers(d):
    (number,) = signed_in(d, 1)
    d.insert(lambda: CutLink(d.w.card(), 30))
    d.tell(s.Scrap(d.bench.view.turn))
    d.tell(s.GiveReason(d.bench.view.turn, "patah"))
    assert isinstance(d.screen, s.Failed)
    d.tell(s.AskScrap(number))
    d.tell(s.Scrap(d.bench.view.turn))
    assert isinstance(d.screen, s.ScrapReason)
    d.tell(s.GiveReason(d.bench.view.turn, "patah"))
    d.go()  # Enter alone is no answer
    assert isinstance(d.screen, s.ScrapConfirm)
    d.tell(s.Back(d.bench.view.turn))
    assert isinstance(d.screen, s.Ready)
    assert d.bench.view.scrapped == 0


def test_an_order_without_a_card_and_one_issued_are_not_asked_about(d):
    first, second = signed_in(d, 2)
    d.insert(d.w.card())
    for number in (first, second):
        d.tell(s.AskScrap(number))
        assert isinstance(d.screen, s.Finished)
    d.tell(s.AskScrap(b"?" * 16))
    assert isinstance(d.screen, s.Trouble)
    d.go()
    assert d.screen == s.Ready(d.bench.view.queue[0], card_in=False, take_out=True)


def test_a_fault_is_tried_again_with_the_card_as_it_lies(d):
    signed_in(d, 1)
    card = d.w.card()
    d.w.source.error = TransferError("no answer")
    screen = d.insert(card)
    assert (screen.outcome.key, screen.retry) == ("Waiting", True)
    d.w.source.error = None
    d.go()
    assert isinstance(d.screen, s.Finished)
    assert d.screen.outcome.resumed
    shown = [v.screen for v in d.seen if isinstance(v.screen, s.Working)][-1]
    assert [x.stage for x in shown.steps] == ["found"] * 6 + ["done"] * 2


def wrong(w: DeskWorld):
    return w.card(keys=StaticKeys(b"X" * 16, b"Y" * 16, b"Z" * 16))


def test_wrong_keys_are_never_tried_again_by_a_key(d):
    signed_in(d, 1)
    tries = []
    card = wrong(d.w)
    screen = d.insert(lambda: tries.append(1) or InProcessLink(card))
    assert isinstance(screen.outcome, WrongKeys)
    assert not screen.retry
    d.go()
    d.go()
    assert len(tries) == 1
    assert d.screen.take_out


def test_three_failures_one_after_the_other_stop_the_desk_until_told(d):
    signed_in(d)
    for _ in range(2):
        d.insert(wrong(d.w))
        d.take()
    screen = d.insert(wrong(d.w))
    assert (screen.failures, screen.outcome.key) == (3, "WrongKeys")
    d.take()
    card = d.w.card()
    assert isinstance(d.insert(card), s.Stopped)
    assert d.bench.view.today == Counts(0, 3)
    d.go()
    assert d.screen.card_in
    d.go()
    assert isinstance(d.screen, s.Finished)


def test_an_unfinishable_card_says_so_and_is_not_retried(d):
    signed_in(d, 1)
    card = d.w.card()
    d.insert(lambda: CutLink(card, 45))
    (d.w.folder / "mail").rename(d.w.folder / "stolen")
    screen = d.insert(card)
    assert isinstance(screen.outcome, Unfinishable)
    assert not screen.retry
    assert screen.family.can_scrap


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: InProcessLink(ForeignCard()), "TurnedAway.foreign"),
        (lambda: CardMute("no ATR"), "TurnedAway.mute"),
    ],
)
def test_a_card_that_is_none_of_ours_is_turned_away(d, make, key):
    signed_in(d, 1)
    assert d.insert(make).outcome.key == key
    assert d.bench.view.today == Counts(0, 1)


def test_a_specimen_card_is_told_kindly(d):
    signed_in(d, 1)
    other = DeskWorld(Environment.DEMO_SPECIMEN)
    other.order()
    card = other.card()
    other.make(card)
    assert d.insert(card).outcome.key == "TurnedAway.specimen"
    d.tell(s.ReadCard())
    assert d.screen.reading.said == CardSaid.SPECIMEN
    assert d.screen.picture == "specimen"


def test_a_full_disk_stops_the_work_and_is_said(d, monkeypatch):
    signed_in(d, 1)

    def full(*_, **__):
        raise LogFullError("no room")

    monkeypatch.setattr(d.w.desk.log, "append", full)
    assert isinstance(d.insert(d.w.card()), s.Trouble)


def test_the_key_service_out_of_reach_is_an_outcome_and_an_unknown_stock(d):
    def down(*_):
        raise StockError("away")

    signed_in(d, 1)
    d.bench._place = replace(d.bench._place, stock=down)
    d.insert(d.w.card())
    assert d.bench.view.free is None


def test_a_fault_answer_is_shown_as_the_engine_names_it(d):
    signed_in(d, 1)

    class Liar(CutLink):
        def transmit(self, command, /):
            answer = super().transmit(command)
            return b"\x6f\x00" if len(self.sent) == 20 else answer

    screen = d.insert(lambda: Liar(d.w.card()))
    assert isinstance(screen.outcome, Faulty)
    assert screen.retry
