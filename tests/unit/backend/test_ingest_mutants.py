"""One upload at its borders: what overlaps, what links, what waits, and what is answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from sqlmodel import Session, select

from backend import ingest
from backend.errors import ForkError, UnknownError, UploadGapError, UploadRefusedError
from backend.ingest import Answer, Outcome
from backend.models import Issuance, Object, RecordRow, Station, Tally, Upload
from backend.records import Reader
from backend.verify import Bad
from keys.signer import sign_object
from keys.trust import TrustStore
from tests.support import backend_rows as rows
from tests.support.backend_rows import ENV, LOG_KEYS, NOW_S, ONE, THREE, TWO, A, B, C, name
from wire import log
from wire.cose import Sign1
from wire.log import Record
from wire.objects import Acknowledgement, KeyRole, UploadHead, open_signed
from wire.receipt import ReceiptKind, StatementKind
from wire.schema import Shape


@pytest.fixture
def session() -> Iterator[Session]:
    with rows.empty() as made:
        rows.programmes(made)
        rows.cards(made)
        rows.stations(made)
        yield made


@dataclass
class Chain:
    """A station's log, and its uploads."""

    session: Session
    name: bytes = TWO
    records: list[Record] = field(default_factory=list)
    trust: TrustStore = field(
        default_factory=lambda: TrustStore(rows.people().trust, allow_demo=True)
    )

    def add(self, body: Shape, time_s: int = NOW_S) -> Record:
        previous = self.records[-1].hash if self.records else name("station", self.name)
        self.records.append(Record.make(len(self.records) + 1, previous, time_s, body))
        return self.records[-1]

    def raw(self, first: int = 1, last: int | None = None) -> bytes:
        part = self.records[first - 1 : last]
        head = UploadHead(self.name, part[0].sequence, part[-1].sequence, part[-1].hash)
        return bytes(log.Upload(head, sign_object(LOG_KEYS[self.name], head, ENV), tuple(part)))

    def send(self, first: int = 1, last: int | None = None, now_s: int = NOW_S) -> Answer:
        checked = ingest.check(self.session, self.trust, self.raw(first, last))
        return ingest.apply(self.session, self.trust, rows.people().signer(KeyRole.ACK), checked,
                            now_s)  # fmt: skip

    @property
    def station(self) -> Station:
        found = self.session.get(Station, self.name)
        assert found is not None
        return found


@pytest.fixture
def two(session: Session) -> Chain:
    made = Chain(session)
    for n in range(4):
        made.add(log.Boot(f"{n}"))
    return made


def duplicates(session: Session) -> int:
    row = session.get(Tally, ingest.DUPLICATES)
    return 0 if row is None else row.value


def kept(session: Session) -> list[tuple[bytes, int]]:
    every = session.exec(select(RecordRow.station, RecordRow.sequence)).all()
    return sorted((at, n) for at, n in every)


# --- what an upload leaves ---------------------------------------------------------------------


def test_an_upload_is_kept_and_acknowledged(two: Chain, session: Session) -> None:
    answer = two.send(1, 2, NOW_S + 5)
    assert answer.outcome == Outcome.ACCEPTED
    ack = open_signed(Acknowledgement, answer.ack, rows.people().signer(KeyRole.ACK).public_key,
                      ENV)  # fmt: skip
    assert ack == Acknowledgement(TWO, 2, two.records[1].hash, NOW_S + 5)
    station = two.station
    assert (station.last, station.head, station.last_time_s) == (2, two.records[1].hash, NOW_S)
    (upload,) = session.exec(select(Upload))
    assert (upload.station, upload.first, upload.last, upload.raw, upload.ack,
            upload.arrived_s) == (TWO, 1, 2, two.raw(1, 2), answer.ack, NOW_S + 5)  # fmt: skip
    records = session.exec(select(RecordRow).order_by(RecordRow.sequence)).all()  # type: ignore[arg-type]
    assert [(r.hash, r.kind, r.time_s, r.raw) for r in records] == [
        (r.hash, int(r.kind), r.time_s, r.raw) for r in two.records[:2]]  # fmt: skip
    (entry,) = session.exec(select(Issuance))
    assert entry.sequence == 1
    held = session.exec(select(Object).where(Object.kind == Acknowledgement.KIND)).one()
    assert (held.raw, held.hash, held.name) == (
        answer.ack, Sign1.parse(answer.ack).hash, f"{TWO.hex()}/2/{NOW_S + 5}")  # fmt: skip
    assert duplicates(session) == 0


def test_the_same_again_is_answered_again(two: Chain, session: Session) -> None:
    first = two.send(1, 2)
    second = two.send(1, 4, NOW_S + 1)
    for n, (a, b, ack) in enumerate(((1, 2, first.ack), (1, 4, second.ack), (1, 3, second.ack),
                                     (3, 4, second.ack), (4, 4, second.ack)), 1):  # fmt: skip
        assert two.send(a, b, NOW_S + 9) == Answer(ack, Outcome.EXISTS)
        assert duplicates(session) == n
    assert kept(session) == [(TWO, n) for n in (1, 2, 3, 4)]
    assert len(session.exec(select(Upload)).all()) == 2


def test_the_answer_to_what_is_held_is_this_stations(two: Chain, session: Session) -> None:
    two.send(1, 2)
    mine = two.send(1, 3)
    for at in (ONE, THREE):
        other = Chain(session, at)
        other.add(log.Boot("x"))
        other.send()
    assert two.send(2, 3).ack == mine.ack
    assert ingest._last_ack(session, two.station) == mine.ack


def test_nothing_was_ever_acknowledged(two: Chain, session: Session) -> None:
    for at in (ONE, THREE):
        other = Chain(session, at)
        other.add(log.Boot("x"))
        other.send()
    with pytest.raises(UnknownError):
        ingest._last_ack(session, two.station)


def test_a_station_nobody_enrolled(two: Chain, session: Session) -> None:
    checked = ingest.check(session, two.trust, two.raw())
    session.delete(two.station)
    session.flush()
    with pytest.raises(UploadRefusedError):
        ingest.check(session, two.trust, two.raw())
    with pytest.raises(UnknownError):
        ingest.apply(session, two.trust, rows.people().signer(KeyRole.ACK), checked, NOW_S)


def test_only_the_stations_own_key_signs_its_uploads(two: Chain, session: Session) -> None:
    head = UploadHead(TWO, 1, 4, two.records[-1].hash)
    for at in (ONE, THREE):
        raw = bytes(log.Upload(head, sign_object(LOG_KEYS[at], head, ENV), tuple(two.records)))
        with pytest.raises(UploadRefusedError):
            ingest.check(session, two.trust, raw)


# --- overlap -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "taken"), [(1, True), (2, True), (3, True), (4, False)])
def test_an_upload_begins_no_later_than_after_the_last(
    two: Chain, first: int, *, taken: bool
) -> None:
    two.send(1, 2)
    if taken:
        assert two.send(first, 4).outcome == Outcome.ACCEPTED
        assert two.station.last == 4
        return
    with pytest.raises(UploadGapError) as e:
        two.send(first, 4)
    assert e.value.expected == 3


@pytest.mark.parametrize("n", [1, 2, 3])
def test_no_other_bytes_of_what_is_held(two: Chain, session: Session, n: int) -> None:
    """Records 1 to 3 are held; another chain from ``n`` on, whatever part of it is sent."""
    two.send(1, 3)
    for at in (ONE, THREE):
        other = Chain(session, at)
        for m in range(4):
            other.add(log.Boot(f"{at!r}{m}"))
        other.send()
    before = kept(session)
    fork = Chain(session, records=two.records[: n - 1])
    for m in range(n, 5):
        fork.add(log.Boot(f"fork{m}"))
    for first in range(1, 5):
        for last in range(max(first, n), 5):
            with pytest.raises(ForkError):
                fork.send(first, last)
    assert kept(session) == before
    assert two.send(2, 3).outcome == Outcome.EXISTS
    assert two.send(3, 4).outcome == Outcome.ACCEPTED


def test_the_first_that_does_not_link_is_named(two: Chain, session: Session) -> None:
    two.send(1, 2)
    fork = Chain(session, records=two.records[:1])
    for m in range(2, 5):
        fork.add(log.Boot(f"fork{m}"))
    with pytest.raises(ForkError, match="sequence 3 does not link"):
        fork.send(3, 4)


def test_a_fork_is_named_by_its_signed_head(two: Chain, session: Session) -> None:
    checked = ingest.check(session, two.trust, two.raw())
    fault = ingest.fork_fault(checked, "why")
    signed = checked.upload.signed_head.hash
    assert (fault.invariant, fault.key, fault.evidence, fault.owner, fault.detail) == (
        2, f"fork/{TWO.hex()}/{signed.hex()}", signed, TWO.hex(), "why")  # fmt: skip


# --- time --------------------------------------------------------------------------------------


def times(session: Session, known_s: int, *at_s: int) -> list[tuple[int, str]]:
    """What is found in records of these times when the station's last was of ``known_s``."""
    station = session.get(Station, TWO)
    assert station is not None
    station.last_time_s = known_s
    new = [rows.record(n, log.Boot("x"), t) for n, t in enumerate(at_s, 3)]
    ingest._check_times(Reader(rows.book(session), station, {}), new)
    return [(i, key.removeprefix(f"{TWO.hex()}/")) for i, key in rows.findings(session)]


@pytest.mark.parametrize(("known_s", "at_s", "found"), [
    (100, (100, 101), []), (100, (99, 100), ["3"]), (100, (101, 102), []), (0, (5, 6), []),
    (5, (NOW_S, NOW_S + 300), []), (5, (NOW_S, NOW_S + 301), ["4"]),
    (5, (NOW_S, NOW_S + 299), []), (5, (NOW_S + 301, NOW_S + 302), ["4"]),
    (NOW_S, (NOW_S - 1, NOW_S + 301), ["3", "4"]), (5, (5, 6, NOW_S + 301), ["5"]),
    (5, (NOW_S + 301,), ["3"]),
])  # fmt: skip
def test_the_log_runs_forward_and_not_ahead(
    session: Session, known_s: int, at_s: tuple[int, ...], found: list[str]
) -> None:
    assert times(session, known_s, *at_s) == [(11, n) for n in found]


def test_the_newest_time_of_a_log_is_kept(two: Chain) -> None:
    two.station.last_time_s = NOW_S - 10
    two.send(1, 2)
    assert two.station.last_time_s == NOW_S
    two.station.last_time_s = NOW_S + 10
    two.send(3, 4)
    assert two.station.last_time_s == NOW_S + 10
    two.add(log.Boot("x"), NOW_S + 11)
    two.add(log.Boot("y"), NOW_S + 12)
    two.send(5)
    assert two.station.last_time_s == NOW_S + 12
    assert [i for i, _ in rows.findings(two.session)] == [11]  # the third was before + 10


# --- what waited -------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "n", "held", "judged"), [
    (TWO, 4, "", False), (TWO, 5, "", False), (TWO, 6, "", True), (TWO, 9, "", True),
    (TWO, 10, "", False),
    (TWO, 5, "awaiting-log", True), (TWO, 1, "awaiting-log,disputed", True),
    (TWO, 10, "awaiting-log", False), (ONE, 7, "awaiting-log", False),
    (THREE, 7, "awaiting-log", False), (TWO, 5, "disputed", False),
])  # fmt: skip
def test_which_receipts_others_brought_are_judged_now(
    session: Session, at: bytes, n: int, held: str, *, judged: bool
) -> None:
    """Records 6 to 9 of this station came."""
    rows.held(session, rows.receipt(3, terminal=at, terminal_sequence=n), held=held)
    book = rows.book(session)
    book.debits.add((A, 1))
    ingest._judge_waiting(book, TWO, 5, 9)
    assert book.debits == {(A, 1)} | ({(B, 3)} if judged else set())


def tap(chain: Chain, n: int, card_id: bytes = B) -> tuple[Record, bytes]:
    intent = chain.add(rows.asked(card_id, expected=n - 1))
    receipt = rows.receipt(n, card_id=card_id, terminal=chain.name, intent_hash=intent.hash,
                           terminal_sequence=intent.sequence, counters=(1000, 10 * n, 0, 0),
                           link=rows.digest(card_id))  # fmt: skip
    return intent, receipt.raw


def test_a_receipt_brought_by_another_is_owed_when_its_own_log_comes(session: Session) -> None:
    rows.entitlement(session, 1000)
    mine, other = Chain(session), Chain(session, ONE)
    intent, receipt = tap(mine, 1)
    other.add(log.Collected(receipt))
    other.send()
    (row,) = session.exec(select(rows.ReceiptRow))
    assert row.held == "awaiting-log"
    mine.add(log.Receipted(intent.sequence, receipt))
    mine.add(log.Delivered(intent.sequence))
    mine.send(1, 1)
    assert row.held == "not-delivered"
    mine.send(2, 3)
    assert row.held == ""
    assert rows.findings(session) == []
    card = session.get(rows.Card, B)
    assert card is not None
    assert card.acknowledged == 1
    kinds = [e.kind for e in session.exec(select(rows.ledger.Ledger))]
    assert kinds == ["debit", "payable"]


def test_what_waited_for_a_log_that_has_no_such_intent(two: Chain, session: Session) -> None:
    rows.entitlement(session, 1000)
    other = Chain(session, ONE)
    other.add(log.Collected(rows.receipt(1, terminal_sequence=2, link=rows.digest(B)).raw))
    other.send()
    (row,) = session.exec(select(rows.ReceiptRow))
    for last, why in ((1, "awaiting-log"), (2, "no-intent")):
        two.send(1, last)
        assert row.held == why
    assert rows.findings(session) == [(2, f"intent/{row.hash.hex()}")]


def test_conclude_checks_and_judges_what_was_touched(session: Session) -> None:
    """Of the cards touched the row of receipts, of the debits touched what is owed."""
    for card_id in (A, B, C):
        rows.entitlement(session, 1000, card_id=card_id)
        rows.held(session, rows.receipt(1, card_id=card_id, terminal=b"TERM0009"))
    book = rows.book(session)
    book.cards |= {A, B}
    book.debits |= {(B, 1), (C, 1)}
    ingest.conclude(book)
    acknowledged = {c.card_id: c.acknowledged for c in session.exec(select(rows.Card))}
    assert acknowledged == {A: 1, B: 1, C: 0}
    why = {r.card_id: r.held for r in session.exec(select(rows.ReceiptRow))}
    assert why == {A: "", B: "unknown-terminal", C: "unknown-terminal"}
    assert [i for i, _ in rows.findings(session)] == [5, 5, 19]


# --- items -------------------------------------------------------------------------------------


def test_every_item_is_verified_under_its_own_cards_key(two: Chain, session: Session) -> None:
    good = [rows.receipt(n, card_id=card_id) for n, card_id in ((1, A), (2, B), (3, C))]
    stated = rows.statement(StatementKind.PIN_SET, card_id=C)
    body = rows.receipt(4, card_id=B).raw[:-64]
    forged = body + rows.KEYS[A].sign(body)
    for item in (*good, stated):
        two.add(log.Collected(item.raw))
    two.add(log.Collected(forged))
    two.add(log.Aborted(99, 1, rows.receipt(5, kind=ReceiptKind.DEBIT).raw))
    two.add(log.Aborted(98, 1, None))
    items = ingest.check(session, two.trust, two.raw()).items
    assert [items[g.raw] for g in good] == good
    assert items[stated.raw] == stated
    found = items[forged]
    assert isinstance(found, Bad)
    assert found.invariant == 1
    assert len(items) == 6
    assert not any(isinstance(x, Bad) for raw, x in items.items() if raw != forged)


def test_keys_are_asked_in_parts(session: Session) -> None:
    """Cards by their hundreds: nobody falls between two queries."""
    others = [ENV.mark + n.to_bytes(4, "big") for n in range(100, 1100)]
    assert ingest._keys(session, []) == {}
    raws = []
    for card_id in others:
        rows.KEYS[card_id] = rows.KEYS[A]
        raws.append(rows.receipt(1, card_id=card_id).raw)
        del rows.KEYS[card_id]
    for card_id in (others[0], others[499], others[500], others[999]):
        rows.card(session, card_id, receipt_key=card_id * 8)
    assert ingest._keys(session, [*raws, rows.receipt(1).raw, b"junk"]) == {
        B: rows.KEYS[B].public_key,
        **{c: c * 8 for c in (others[0], others[499], others[500], others[999])},
    }  # fmt: skip


def test_what_records_ask_for_is_read_before(two: Chain, session: Session) -> None:
    """The cards of verified items, and who names the intents of outcomes."""
    rows.held(session, rows.receipt(7, terminal_sequence=99))
    for item in (rows.receipt(1, card_id=A), rows.receipt(1, card_id=B)):
        two.add(log.Receipted(98, item.raw))
    two.add(log.Aborted(99, 1, None))
    checked = ingest.check(session, two.trust, two.raw())
    spoilt = {raw: Bad(1, "x") if item.card_id == A else item
              for raw, item in checked.items.items() if not isinstance(item, Bad)}  # fmt: skip
    book = rows.book(session)
    ingest._prepare(book, TWO, ingest.Checked(checked.raw, checked.upload, spoilt), two.records)
    assert set(book.held._cards) == {B}
    assert book.held._named == {(TWO, 98): set(), (TWO, 99): {(B, 7)}}
