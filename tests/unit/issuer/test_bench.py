"""The desk's controller against reference cards: every screen is the engine's own result."""

from __future__ import annotations

import pytest

from card_os.host.links import CardMute, NoCard
from issuer import cli
from issuer.cards import PcscStack
from issuer.errors import LogFullError, TransferError
from issuer.face import screens as s
from issuer.face.bench import BenchThread
from issuer.outcomes import (
    Issued,
)
from issuer.tally import Counts
from keys.errors import PassphraseError
from tests.unit.issuer.bench_world import WORDS, Reader, World, place_of, signed_in
from tests.unit.issuer.desk_world import OFFICER, DeskWorld
from wire.log import DeskStep
from wire.objects import (
    KeyRole,
)


@pytest.fixture
def d():
    """A desk that works by files: its log stays."""
    return World()


@pytest.fixture
def o():
    """A desk whose office answers."""
    return World(reached=True)


# --- signing in --------------------------------------------------------------------------------


def test_nothing_is_done_before_an_officer_signs_in_with_the_desks_passphrase(d):
    d.w.order()
    card = d.w.card()
    writes = card.nvm.writes
    assert isinstance(d.insert(card), s.SignedOut)
    for command in (s.Go(0), s.ReadCard(), s.Contact(), s.AskScrap(b"\x01" * 16)):
        assert isinstance(d.tell(command).screen, s.SignedOut)
    with pytest.raises(PassphraseError):
        d.tell(s.SignIn(OFFICER, "wrong", "x"))
    assert (d.bench.view.visit, d.bench.view.officer) == ("", 0)
    assert (card.nvm.writes, d.bench.view.queue) == (writes, ())
    d.sign_in()
    assert d.bench.view.officer == OFFICER
    # A card that lay there already is begun by a key, not by signing in.
    assert d.screen == s.Ready(d.bench.view.queue[0], card_in=True, take_out=False)
    d.go()
    assert isinstance(d.screen, s.Finished)


def test_who_signs_out_leaves_nothing_on_the_screen(d):
    signed_in(d)
    first = d.bench.view.visit
    d.tell(s.SignOut())
    view = d.bench.view
    assert (view.visit, view.officer, view.queue, view.last) == ("", 0, (), ())
    assert d.bench._key is None
    d.sign_in()
    assert d.bench.view.visit not in {"", first}


def test_signing_in_again_ends_the_earlier_visit_and_a_wrong_passphrase_does_not(d):
    signed_in(d)
    with pytest.raises(PassphraseError):
        d.tell(s.SignIn(8, "wrong", "x"))
    assert (d.bench.view.visit, d.bench.view.officer) == ("visit 1", OFFICER)
    assert d.tell(s.SignIn(8, WORDS, "y")).officer == 8
    d.insert(d.w.card())
    assert {r.body.officer for r in d.w.desk.log.records() if hasattr(r.body, "step")} == {8}


def test_the_passphrase_is_in_no_repr():
    assert WORDS not in repr(s.SignIn(1, WORDS, ""))


# --- card after card ---------------------------------------------------------------------------


def test_three_cards_in_a_row_without_a_key_between(d):
    numbers = signed_in(d)
    for n, number in enumerate(numbers):
        assert d.screen.family.order.number == number
        screen = d.insert(d.w.card())
        assert isinstance(screen, s.Finished)
        job = d.w.desk.book.job(number)
        assert screen.outcome == Issued(number, job.card_id, (1, 2), resumed=False)
        assert d.w.steps(number)[-1] == DeskStep.VERIFIED
        d.take()
        view = d.bench.view
        assert (view.today, view.waiting) == (Counts(n + 1, 0), 2 - n)
        assert view.last[0].order == number
    assert isinstance(d.screen, s.NoOrders)
    assert view.free == 0
    assert len(view.last) == 3


def test_a_card_swapped_at_once_counts_as_the_next(d):
    numbers = signed_in(d)
    d.insert(d.w.card())
    d.insert(d.w.card())
    d.bench.turn()
    assert [x.order for x in d.bench.view.last] == numbers[1::-1]


def test_the_steps_on_the_screen_are_those_of_the_log(d):
    (number,) = signed_in(d, 1)
    d.insert(d.w.card())
    shown = [v.screen for v in d.seen if isinstance(v.screen, s.Working)]
    assert [x.done for x in shown] == list(range(9))
    assert shown[0].family is None
    assert {x.family.order.number for x in shown[1:]} == {number}
    for screen in shown:
        stages = [line.stage for line in screen.steps]
        rest = 8 - screen.done
        assert stages == (["done"] * screen.done + ["now"] * bool(rest)
                          + ["todo"] * (rest - 1))[:8]  # fmt: skip
    assert d.w.steps(number) == list(s.STEPS)


def test_without_auto_a_card_waits_for_the_key(d):
    signed_in(d)
    d.tell(s.Auto(on=False))
    card = d.w.card()
    assert d.insert(card) == s.Ready(d.bench.view.queue[0], card_in=True, take_out=False)
    d.go()
    assert isinstance(d.screen, s.Finished)
    d.go()  # nothing more with this card
    assert isinstance(d.screen, s.Finished)


def test_a_key_pressed_for_a_screen_that_has_gone_is_not_heard(d):
    signed_in(d)
    d.tell(s.Auto(on=False))
    turn = d.bench.view.turn
    d.insert(d.w.card())
    d.tell(s.Go(turn))
    assert d.screen.card_in
    assert d.bench.view.today == Counts(0, 0)


# --- the office --------------------------------------------------------------------------------


def test_orders_come_at_sign_in_and_when_asked_and_the_log_goes(o):
    o.office.open = [o.w.signed_order()]
    o.sign_in()
    assert o.bench.view.waiting == 1
    assert (o.bench.view.notice.kind, o.bench.view.unsent) == ("done", 0)
    o.office.open.append(o.w.signed_order())
    o.tell(s.Contact())
    assert o.bench.view.waiting == 2
    o.insert(o.w.card())
    assert o.bench.view.unsent == 0
    assert o.office.uploads == 1


def test_an_office_that_does_not_answer_stops_nothing_and_is_asked_again_only_when_told(o):
    o.office.error = TransferError("cable")
    signed_in(o)
    assert o.bench.view.notice.kind == "warning"
    assert isinstance(o.screen, s.Ready)
    o.w.source.error = None
    assert isinstance(o.insert(o.w.card()), s.Finished)
    assert o.bench.view.unsent > 0
    o.office.error = None
    o.take()
    o.tell(s.Contact())
    assert o.bench.view.unsent == 0


def test_an_order_that_does_not_stand_is_said(o):
    o.office.open = [o.w.signed_order(signer=o.w.world.signer(KeyRole.POLICY))]
    o.sign_in()
    assert o.bench.view.notice.kind == "warning"
    assert isinstance(o.screen, s.NoOrders)


def test_a_desk_without_an_office_says_how_orders_come(d):
    d.sign_in()
    d.tell(s.Contact())
    assert d.bench.view.notice.kind == "warning"


def test_the_reader_is_a_state_of_the_view(o):
    o.bench.turn()
    assert (o.bench.view.light, o.bench.view.reader) == (s.Light.EMPTY, "Pembaca meja")
    o.reader.gone = True
    o.bench.turn()
    assert o.bench.view.light == s.Light.NONE
    o.reader.gone = False
    o.insert(o.w.card())
    assert o.bench.view.light == s.Light.CARD
    before = o.bench.view.number
    o.bench.turn()
    assert o.bench.view.number == before  # nothing new, nothing published


def test_the_tally_keeps_a_month(o):
    signed_in(o, 2)
    o.insert(o.w.card())
    o.w.clock.now_s += 32 * 86_400
    o.take()
    assert o.bench.view.today == Counts(1, 0)
    o.w.order()
    o.insert(o.w.card())
    assert (o.bench.view.today, len(o.bench.view.last)) == (Counts(1, 0), 1)


# --- the thread --------------------------------------------------------------------------------


def test_the_store_is_opened_and_used_in_one_thread():
    from contextlib import contextmanager

    opened, ended = [], []

    @contextmanager
    def open_place():
        w = DeskWorld()
        w.order()
        opened.append(w)
        yield place_of(w)

    thread = BenchThread(open_place, Reader, on_end=lambda: ended.append(1))
    view = thread.bench.tell(s.SignIn(OFFICER, WORDS, "v")).result(10)
    assert view.waiting == 1
    thread.close()
    assert ended == [1]

    @contextmanager
    def broken():
        raise LogFullError("no room")
        yield

    with pytest.raises(LogFullError):
        BenchThread(broken, Reader)


class Shy:
    """As PcscReader, looked at moment by moment: what it says next stands in ``moments``."""

    def __init__(self, moments: str) -> None:
        self.moments = list(moments)

    def __call__(self, _):
        return self

    def _now(self) -> str:
        return self.moments.pop(0)

    def wait_for_card(self, _):
        return self._now() == "in"

    def wait_for_removal(self, _):
        return self._now() == "out"

    def connect(self):
        if (now := self._now()) != "link":
            raise NoCard("no card is in the reader") if now == "gone" else CardMute("no ATR")
        return "link"

    def close(self):
        pass


def test_no_card_is_missed_between_two_looks_at_the_reader(monkeypatch):
    def stack(moments: str) -> PcscStack:
        reader = Shy(moments.split())
        monkeypatch.setattr("card_os.host.pcsc.PcscReader", reader)
        return PcscStack("desk")

    # Came between two looks: nothing lay there that would have to go first.
    cards = stack("empty in link")
    assert (cards.next(0), cards.next(0)) == (None, "link")
    # Seen, gone when it was to be powered, and there again.
    cards = stack("in gone in link lies")
    with pytest.raises(NoCard):
        cards.next(0)
    assert (cards.next(0), cards.next(0)) == ("link", None)
    # A mute one was seen to go, and the next was there before the next look.
    cards = stack("in mute lies out in link")
    with pytest.raises(CardMute):
        cards.next(0)
    assert (cards.is_out(0), cards.is_out(0), cards.next(0)) == (False, True, "link")


def test_the_face_says_in_one_line_what_it_needs(tmp_path, capsys):
    assert cli.main(["face", "--port", "1", "--data", str(tmp_path), "--demo"]) == cli.FAILED
    assert "no desk in" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["face", "--port", "1"])
