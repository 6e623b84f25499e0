"""A card read at the desk is in the signed log before it is on the screen."""

from __future__ import annotations

import pytest

from card_os.host.links import CardMute, CardRemoved
from card_os.reference.foreign import ForeignCard
from issuer.errors import LogFullError
from issuer.face import screens as s
from issuer.tally import Counts
from keys.errors import StockError
from tests.unit.issuer.bench_world import World, signed_in
from tests.unit.issuer.desk_world import OFFICER, CutLink
from wire.log import CardRead, CardSaid


@pytest.fixture
def d():
    """A desk that works by files: its log stays."""
    return World()


@pytest.fixture
def o():
    """A desk whose office answers."""
    return World(reached=True)


def test_any_card_is_read_and_nothing_is_done_with_it_until_the_officer_goes_back(d):
    (number,) = signed_in(d, 1)
    d.tell(s.ReadCard())
    assert isinstance(d.screen, s.ReadWait)
    blank = d.w.card()
    writes = blank.nvm.writes
    assert (d.insert(blank).reading.said, blank.nvm.writes) == (CardSaid.BLANK, writes)
    d.take()
    assert d.insert(ForeignCard()).reading.said == CardSaid.FOREIGN
    d.take()
    assert d.insert(lambda: CardMute("dead")).reading.said == CardSaid.MUTE
    d.take()
    assert d.insert(lambda: CutLink(blank, 1)).reading.said == CardSaid.PULLED
    assert d.bench.view.today == Counts(0, 0)
    d.take()
    d.go()
    assert d.insert(blank).outcome.order == number
    d.tell(s.ReadCard())
    reading = d.screen.reading
    assert (reading.said, reading.inside.life.name) == (CardSaid.PURSE, "INERT")
    assert reading.inside.card_id == reading.job.card_id == d.screen.family.card_id


def test_with_no_orders_a_card_is_only_read(d):
    d.sign_in()
    assert isinstance(d.screen, s.NoOrders)
    assert d.insert(d.w.card()).reading.said == CardSaid.BLANK


def readings(d: World) -> list[CardRead]:
    return [r.body for r in d.w.desk.log.records() if isinstance(r.body, CardRead)]


def test_each_reading_is_in_the_signed_log_before_it_is_shown(d):
    (number,) = signed_in(d, 1)
    d.tell(s.ReadCard())
    logged_when_shown = []
    d.bench.listen(
        lambda: isinstance(d.screen, s.Read) and logged_when_shown.append(len(readings(d)))
    )
    blank, said = d.w.card(), []
    for make in (
        blank, ForeignCard(), lambda: CardMute("dead"),
        lambda: CutLink(blank, 1), lambda: CutLink(blank, 2, error=lambda: CardMute("gone")),
    ):  # fmt: skip
        said.append(d.insert(make).reading.said)
        d.take()
    assert said == [CardSaid.BLANK, CardSaid.FOREIGN, CardSaid.MUTE,
                    CardSaid.PULLED, CardSaid.MUTE]  # fmt: skip
    assert readings(d) == [CardRead(x, OFFICER, None) for x in said]
    assert logged_when_shown[0] == 1
    d.go()
    d.insert(blank)
    d.tell(s.ReadCard())
    card_id = d.w.desk.book.job(number).card_id
    assert readings(d)[-1] == CardRead(CardSaid.PURSE, OFFICER, card_id)
    assert d.bench.view.unsent == d.w.desk.log.head().sequence
    d.w.desk.log.check()


def test_a_purse_that_does_not_open_is_logged_as_closed_under_its_orders_card(d):
    signed_in(d, 1)
    d.insert(d.w.card())

    def away(_):
        raise StockError("away")

    d.bench._inside = away
    d.tell(s.ReadCard())
    assert (d.screen.reading.inside, d.screen.reading.closed) == (None, "away")
    assert readings(d) == [CardRead(CardSaid.PURSE_CLOSED, OFFICER, d.screen.family.card_id)]

    def gone(_):
        raise CardRemoved("pulled")

    d.bench._inside = gone
    d.tell(s.ReadCard())
    assert readings(d)[-1].said == CardSaid.PULLED
    assert d.screen.state == "warning"


def test_a_full_log_shows_the_error_and_no_reading(d, monkeypatch):
    signed_in(d, 1)
    d.insert(d.w.card())
    shown = len(d.seen)

    def full(*_, **__):
        raise LogFullError("no room")

    monkeypatch.setattr(d.w.desk.log, "append", full)
    d.tell(s.ReadCard())
    assert isinstance(d.screen, s.Trouble)
    assert not any(isinstance(v.screen, s.Read) for v in d.seen[shown:])
    d.take()
    d.go()
    d.tell(s.ReadCard())
    assert isinstance(d.insert(lambda: CardMute("dead")), s.Trouble)


def test_a_card_that_answers_nonsense_is_read_as_none_of_ours(d):
    signed_in(d, 1)

    class Nonsense(CutLink):
        def transmit(self, command, /):
            super().transmit(command)
            return b"\x62\x83"

    d.tell(s.ReadCard())
    assert d.insert(lambda: Nonsense(d.w.card())).reading.said == CardSaid.FOREIGN


def test_a_reading_is_sent_with_the_log(o):
    o.office.open = [o.w.signed_order()]
    o.sign_in()
    o.tell(s.ReadCard())
    o.insert(ForeignCard())
    assert (o.bench.view.unsent, o.office.uploads) == (0, 1)
