"""Bulk runs, what a card is, and the words for every outcome."""

from __future__ import annotations

import inspect

import pytest

from card_os.host.links import CardMute, CardRemoved, InProcessLink
from card_os.reference.foreign import ForeignCard
from issuer import errors, messages, outcomes
from issuer.bulk import BulkResult, End, run_bulk
from issuer.cards import PcscStack, SocketStack
from issuer.identify import Kind, examine, look_inside
from issuer.outcomes import CardDone, Fault, Refusal, Turned
from keys.kdf import StaticKeys
from tests.unit.issuer.desk_world import ENV, OFFICER, CutLink, DeskWorld
from wire.log import DeskStep
from wire.purse import Life


@pytest.fixture
def w():
    return DeskWorld()


def stack(*links):
    waiting = list(links)

    def swap():
        link = waiting.pop(0) if waiting else None
        if isinstance(link, Exception):
            raise link
        return link() if callable(link) else link

    return swap


def fresh(w: DeskWorld, count: int):
    return [InProcessLink(w.card()) for _ in range(count)]


def test_a_stack_of_cards_is_issued_until_the_orders_end(w):
    numbers = [w.order() for _ in range(3)]
    result = run_bulk(w.desk, stack(*fresh(w, 5)), OFFICER)
    assert result == BulkResult(3, 0, End.ORDERS_DONE)
    assert all(w.steps(n)[-1] == DeskStep.VERIFIED for n in numbers)
    done = [e for e in w.events if isinstance(e, CardDone)]
    assert [(e.good, e.bad) for e in done] == [(1, 0), (2, 0), (3, 0)]


def test_the_run_ends_without_cards_and_at_its_count(w):
    for _ in range(4):
        w.order()
    assert run_bulk(w.desk, stack(*fresh(w, 1)), OFFICER) == BulkResult(1, 0, End.NO_MORE_CARDS)
    result = run_bulk(w.desk, stack(*fresh(w, 3)), OFFICER, count=2)
    assert result == BulkResult(2, 0, End.COUNT_DONE)


def bad(w: DeskWorld):
    return InProcessLink(w.card(keys=StaticKeys(b"X" * 16, b"Y" * 16, b"Z" * 16)))


def test_consecutive_failures_stop_the_run_and_single_ones_do_not(w):
    for _ in range(9):
        w.order()
    good = fresh(w, 3)
    links = [bad(w), bad(w), good[0], bad(w), bad(w), good[1], bad(w), bad(w), bad(w), good[2]]
    assert run_bulk(w.desk, stack(*links), OFFICER) == BulkResult(2, 7, End.FAILURES)
    assert run_bulk(w.desk, stack(bad(w)), OFFICER, stop_after=1).end == End.FAILURES


def test_a_card_put_aside_half_made_comes_back_in_the_same_run(w):
    first, second = w.order(), w.order()
    card = w.card()
    links = [CutLink(card, 30), *fresh(w, 1), lambda: InProcessLink(card)]
    assert run_bulk(w.desk, stack(*links), OFFICER) == BulkResult(2, 1, End.ORDERS_DONE)
    assert all(w.steps(n)[-1] == DeskStep.VERIFIED for n in (first, second))


def test_cards_that_cannot_be_powered_are_counted_bad(w):
    w.order()
    links = [CardMute("no ATR"), CardRemoved("pulled"), InProcessLink(ForeignCard())]
    assert run_bulk(w.desk, stack(*links), OFFICER) == BulkResult(0, 3, End.FAILURES)


def test_an_unfinishable_card_is_scrapped_at_once_when_asked(w):
    number, card = w.order(), w.card()
    w.desk.personalise(CutLink(card, 45), OFFICER)
    (w.folder / "mail").rename(w.folder / "stolen")
    result = run_bulk(w.desk, stack(InProcessLink(card), *fresh(w, 1)), OFFICER, scrap=True)
    assert result == BulkResult(1, 1, End.ORDERS_DONE)
    assert DeskStep.SCRAPPED in w.steps(number)


# --- what a card is -----------------------------------------------------------------------------


def test_every_card_says_what_it_is_and_nothing_is_written(w):
    w.order()
    foreign = examine(InProcessLink(ForeignCard()), ENV)
    assert (foreign.kind, foreign.chip, foreign.kvns) == (Kind.FOREIGN, b"", ())
    card = w.card()
    before = card.nvm.writes
    blank = examine(InProcessLink(card), ENV)
    assert (blank.kind, blank.kvns) == (Kind.BLANK, (0xFF,))
    assert card.nvm.writes == before
    w.desk.personalise(CutLink(card, 12), OFFICER)
    own = examine(InProcessLink(card), ENV)
    assert (own.kind, own.kvns, own.chip) == (Kind.OWN_KEYS, (0x31,), blank.chip)
    w.make(card)
    purse = examine(InProcessLink(card), ENV)
    assert (purse.kind, purse.env) == (Kind.PURSE, ENV)
    assert len({examine(InProcessLink(w.card()), ENV).chip for _ in range(3)}) == 3


def test_the_desk_reads_a_card_it_made(w):
    w.order()
    card = w.card()
    card_id = w.make(card).card_id
    tools = w.desk.tools
    state = look_inside(InProcessLink(card), tools.keys, w.trust, tools.links, w.rng.randbytes)
    assert (state.card_id, state.life, len(state.wallets)) == (card_id, Life.INERT, 2)


def test_on_a_socket_only_another_chip_counts_as_the_next(monkeypatch, w):
    one, two = w.card(), w.card()
    shown = [one, one, two]
    monkeypatch.setattr("card_os.host.socketlink.SocketLink", lambda _: InProcessLink(shown[0]))
    cards = SocketStack("x", clock=iter(range(100)).__next__, pause=lambda _: shown.pop(0))
    first = cards.next(10)
    assert first.transmit(bytes.fromhex("00A4040000"))
    assert cards.next(10) is not None
    assert shown == [two]
    assert cards.next(0) is None


def test_a_reader_gives_a_card_once_and_a_mute_one_must_be_taken_out(monkeypatch):
    said = []

    class Reader:
        """As PcscReader; the first card is mute."""

        def __init__(self, pattern):
            said.append(f"find {pattern}")

        def wait_for_removal(self, _):
            said.append("out")
            return said.count("out") < 3

        def wait_for_card(self, _):
            said.append("in")
            return True

        def connect(self):
            if "out" not in said:
                raise CardMute("no ATR")
            return "link"

        def close(self):
            said.append("close")

    monkeypatch.setattr("card_os.host.pcsc.PcscReader", Reader)
    cards = PcscStack("desk")
    with pytest.raises(CardMute):
        cards.next(1)
    assert [cards.next(1), cards.next(1), cards.next(1)] == ["link", "link", None]
    assert said == ["find desk", "in", "close", "find desk", "out", "in", "out", "in", "out"]


# --- words ----------------------------------------------------------------------------------------


def test_every_outcome_and_error_has_its_words():
    reasons = {"TurnedAway": Turned, "Refused": Refusal, "Unfinishable": Fault}
    wanted = set()
    for name, kind in inspect.getmembers(outcomes, inspect.isclass):
        if issubclass(kind, outcomes.Outcome) and kind is not outcomes.Outcome:
            wanted |= {f"{name}.{r}" for r in reasons[name]} if name in reasons else {name}
    assert set(messages.OUTCOMES) == wanted
    assert set(messages.ERRORS) == set(errors.Code)
    for indonesian, english in [*messages.OUTCOMES.values(), *messages.ERRORS.values()]:
        assert indonesian.endswith(".")
        assert english.endswith(".")
