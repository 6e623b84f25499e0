"""The desk's controller against reference cards: every screen is the engine's own result."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace

import pytest

from card_os.host.links import CardMute, CardRemoved, InProcessLink, NoCard
from card_os.reference.foreign import ForeignCard
from issuer import cli
from issuer.cards import PcscStack
from issuer.errors import LogFullError, SkipRefusedError, TransferError
from issuer.face import screens as s
from issuer.face.bench import Bench, BenchThread
from issuer.orders import JobState
from issuer.outcomes import (
    Faulty,
    Interrupted,
    Issued,
    Refusal,
    Refused,
    Scrapped,
    Turned,
    TurnedAway,
    Unfinishable,
    WrongKeys,
)
from issuer.tally import Counts
from keys.errors import PassphraseError, StockError
from keys.kdf import StaticKeys
from tests.unit.issuer.bench_world import WORDS, Office, Reader, place_of, proofs
from tests.unit.issuer.desk_world import COMMANDS, OFFICER, CutLink, DeskWorld
from wire.cose import Sign1
from wire.env import Environment
from wire.log import CardRead, CardSaid, DeskStep
from wire.objects import (
    KeyRole,
)


class World:
    """A bench driven by hand, round by round."""

    def __init__(self, *, reached: bool = False) -> None:
        self.w = DeskWorld()
        self.office = Office(self.w)
        self.reader, self.seen, self.visits = Reader(), [], 0
        place = place_of(self.w, self.office if reached else None)
        self.bench = Bench(place, self.reader)
        self.bench.listen(lambda: self.seen.append(self.bench.view))

    @property
    def screen(self):
        return self.bench.view.screen

    def tell(self, command) -> s.View:
        heard: Future[s.View] = self.bench.tell(command)
        self.bench.turn()
        return heard.result(0)

    def go(self) -> None:
        self.tell(s.Go(self.bench.view.turn))

    def sign_in(self) -> None:
        self.visits += 1
        self.tell(s.SignIn(OFFICER, WORDS, f"visit {self.visits}"))

    def insert(self, make) -> s.Screen:
        """A card (or a link's maker) comes in; what is shown when it is done."""
        self.reader.put(make if callable(make) else lambda: InProcessLink(make))
        for _ in range(2):
            self.bench.turn()
        return self.screen

    def take(self) -> s.Screen:
        self.reader.take()
        for _ in range(2):
            self.bench.turn()
        return self.screen


@pytest.fixture
def d():
    """A desk that works by files: its log stays."""
    return World()


@pytest.fixture
def o():
    """A desk whose office answers."""
    return World(reached=True)


def signed_in(d: World, orders: int = 3) -> list[bytes]:
    numbers = [d.w.order() for _ in range(orders)]
    d.sign_in()
    return numbers


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


# --- what goes wrong ---------------------------------------------------------------------------


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


# --- reading -----------------------------------------------------------------------------------


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


# --- evidence ----------------------------------------------------------------------------------


def test_the_family_is_shown_with_its_decree_row_and_visit(o):
    family = (1).to_bytes(16, "little")
    o.office.proofs, decree, visit = proofs(o.w, family)
    o.office.open = [o.w.signed_order(decree=decree)]
    o.sign_in()
    shown = o.screen.family
    assert shown.name == Sign1.parse(o.office.open[0]).hash
    e = shown.evidence
    assert (e.decree.number, e.decree.hash, e.fits) == ("188.44/17/2026", decree, True)
    assert [(r.row.row, r.row.amount, r.programme.title_id) for r in e.rights] == [
        (1, 2, "Paket pangan"),
        (501, 250_000, "Bantuan tunai"),
    ]
    assert (e.visit.hash, e.visit.said.reason) == (visit, "sesuai, foto diambil")
    # Other families' rows are verified and left.
    held = o.w.db.execute("SELECT family FROM decree_row").fetchall()
    assert held == [(family,)] * 2


def test_evidence_that_does_not_verify_is_left_and_a_wrong_row_is_seen(o):
    family = (1).to_bytes(16, "little")
    raws, decree, _ = proofs(o.w, family, row=2)
    o.office.proofs = [raws[0][:-1] + b"?", *raws[1:], b"?", o.w.signed_order()]
    o.w.orders = 0
    o.office.open = [o.w.signed_order(decree=decree)]
    o.sign_in()
    assert isinstance(o.screen, s.WrongRow)
    e = o.screen.family.evidence
    assert (e.visit, e.fits) == (None, False)
    assert o.w.db.execute("SELECT count(*) FROM visit").fetchone() == (0,)


def wrong_row(o: World, orders: int = 1, **more) -> list[bytes]:
    """The first order names the row of another family; the numbers of all."""
    family = (1).to_bytes(16, "little")
    o.office.proofs, decree, _ = proofs(o.w, family, row=2)
    o.w.orders = 0
    o.office.open = [o.w.signed_order(decree=decree, **more)]
    o.office.open += [o.w.signed_order() for _ in range(orders)]
    o.sign_in()
    return [n.to_bytes(16, "big") for n in range(1, orders + 2)]


def test_an_order_of_another_familys_row_is_refused_explained_and_skipped_by_one_key(o):
    first, second = wrong_row(o)
    refused = Refused(Refusal.OTHER_ROW, first)
    assert (o.screen.outcome, o.screen.can_skip) == (refused, True)
    assert o.screen.family.order.number == first
    card = o.w.card()
    writes = card.nvm.writes
    assert isinstance(o.insert(card), s.WrongRow)  # nothing begins by itself
    assert o.w.make(card) == refused  # nor by the engine, whoever asks
    assert o.w.make(card, first) == refused
    assert (card.nvm.writes, o.w.desk.book.job(first).step) == (writes, None)
    o.go()
    assert o.w.desk.book.job(first).state == JobState.SET_ASIDE
    assert (o.bench.view.aside, o.bench.view.waiting, o.bench.view.today) == (1, 1, Counts(0, 0))
    (record,) = [r.body for r in o.w.desk.log.records() if getattr(r.body, "order", b"") == first]
    assert (record.step, record.officer) == (DeskStep.FAILED, OFFICER)
    assert record.detail == "Refused.other-row: set aside"
    assert o.screen == s.Ready(o.bench.view.queue[0], card_in=True, take_out=False)
    o.go()
    assert o.screen.outcome.order == second


def test_the_next_card_swapped_in_at_once_meets_the_same_refusal(o):
    family = (1).to_bytes(16, "little")
    o.office.proofs, decree, _ = proofs(o.w, family, row=7)
    o.w.orders = 0
    o.office.open = [o.w.signed_order(), o.w.signed_order(family=family, decree=decree)]
    o.sign_in()
    assert isinstance(o.insert(o.w.card()), s.Finished)
    assert isinstance(o.insert(o.w.card()), s.WrongRow)
    assert o.bench.view.today == Counts(1, 0)
    o.go()
    assert isinstance(o.screen, s.NoOrders)


def test_only_a_refused_order_without_a_bound_card_is_skipped(o):
    first, second = wrong_row(o)
    with pytest.raises(SkipRefusedError):
        o.w.desk.skip(second, OFFICER)
    o.w.db.execute("UPDATE job SET step = ? WHERE number = ?", (int(DeskStep.KEYS_MADE), first))
    with pytest.raises(SkipRefusedError):
        o.w.desk.skip(first, OFFICER)
    assert o.w.desk.book.job(first).state == JobState.OPEN


def test_a_card_begun_before_the_decree_came_is_refused_and_can_only_be_scrapped(o):
    o.office.error = TransferError("cable")
    family = (1).to_bytes(16, "little")
    o.office.proofs, decree, _ = proofs(o.w, family, row=2)
    o.w.orders = 0
    o.office.open = [o.w.signed_order(decree=decree)]
    o.w.desk.book.add_all(o.office.open)
    o.sign_in()
    card = o.w.card()
    o.insert(lambda: CutLink(card, 40))
    o.take()
    o.office.error = None
    o.tell(s.Contact())
    screen = o.insert(card)
    assert isinstance(screen, s.WrongRow)
    assert (screen.can_skip, screen.family.can_scrap) == (False, True)
    assert screen.outcome.card_id == screen.family.card_id is not None
    o.go()  # no skipping here
    assert o.w.desk.book.aside_count() == 0
    o.tell(s.AskScrap(screen.family.order.number))
    o.tell(s.GiveReason(o.bench.view.turn, "baris salah"))
    o.tell(s.Scrap(o.bench.view.turn))
    o.go()
    assert o.screen.can_skip  # its order is open again, and refused again


def test_rows_that_have_not_come_yet_refuse_nothing(o):
    """The decree is held for another family; a new order's own row was not looked at yet."""
    family = (1).to_bytes(16, "little")
    raws, decree, _ = proofs(o.w, family)
    o.office.proofs = raws
    o.office.open = [o.w.signed_order(decree=decree)]
    o.sign_in()
    o.w.desk.book.add(o.w.signed_order(decree=decree, row=999))
    other = o.w.desk.book.jobs()[-1]
    assert o.bench._place.evidence.of(other.order).fits
    o.tell(s.Contact())
    assert not o.bench._place.evidence.of(other.order).fits


def test_without_evidence_nothing_is_invented(o):
    signed_in(o, 1)
    e = o.screen.family.evidence
    assert (e.decree, e.rights, e.visit, e.fits) == (None, (), None, True)


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
