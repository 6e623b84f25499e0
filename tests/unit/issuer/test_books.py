"""Desk log, orders and mail: what the desk keeps."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from issuer.desklog import DeskLog, Station
from issuer.errors import (
    AcknowledgementRefusedError,
    LogDamagedError,
    LogFullError,
    MailError,
    OrderDiffersError,
    OrderRefusedError,
    OtherStationError,
)
from issuer.mail import CODES, MailRoom, new_code, new_identity, open_mailer
from issuer.store import connect
from keys.errors import DemoRefusedError
from keys.signer import Ed25519Signer, sign_object
from keys.trust import TrustStore
from tests.unit.issuer.desk_world import DAY_S, DESK_ID, ENV, GENESIS, DeskWorld
from wire import log
from wire.env import Environment
from wire.errors import SignatureInvalidError
from wire.log import Upload, check_chain
from wire.objects import Acknowledgement, KeyRole, Order

BOOT = log.Boot("test")


@pytest.fixture
def w():
    return DeskWorld()


def ack(w: DeskWorld, upload: Upload, role: KeyRole = KeyRole.ACK, **changes) -> bytes:
    made = Acknowledgement(upload.head.station, upload.head.last, upload.head.head, w.clock())
    return bytes(sign_object(w.world.signer(role), replace(made, **changes), w.env))


# --- desk log ---------------------------------------------------------------------------------


def test_the_chain_of_a_card_verifies_from_the_enrolment_on(w):
    w.order()
    w.make(w.card())
    records = w.desk.log.records()
    assert check_chain(records, GENESIS, 1) == w.desk.log.head().hash
    upload = w.desk.log.build_upload(w.log_key)
    assert Upload.parse(bytes(upload)) == upload
    w.trust.upload_head(upload.signed_head.raw, w.log_key.public_key)
    other = Ed25519Signer.generate(w.rng.randbytes)
    forged = w.desk.log.build_upload(other).signed_head.raw
    swapped = forged[:-64] + upload.signed_head.raw[-64:]
    with pytest.raises(SignatureInvalidError):
        w.trust.upload_head(swapped, other.public_key)


def test_nothing_to_upload_is_none(w):
    assert w.desk.log.build_upload(w.log_key) is None


def test_records_cannot_be_changed_or_removed_before_the_acknowledgement(w):
    w.desk.record(BOOT)
    for sql in ("UPDATE record SET raw = x'00'", "DELETE FROM record"):
        with pytest.raises(sqlite3.IntegrityError):
            w.db.execute(sql)


def test_an_acknowledgement_prunes_what_it_covers_once(w):
    w.desk.record(BOOT, BOOT)
    first = w.desk.log.build_upload(w.log_key)
    w.desk.record(BOOT)
    assert w.desk.log.acknowledge(ack(w, first), w.trust) == 2
    assert w.desk.log.acknowledge(ack(w, first), w.trust) == 0
    assert [r.sequence for r in w.desk.log.records()] == [3]
    w.start().log.check()


@pytest.mark.parametrize(
    "changes",
    [{"station": b"DESK0002"}, {"last": 3}, {"head": b"x" * 32}, {"role": KeyRole.POLICY}],
)
def test_an_acknowledgement_for_something_else_prunes_nothing(w, changes):
    w.desk.record(BOOT, BOOT)
    upload = w.desk.log.build_upload(w.log_key)
    with pytest.raises(AcknowledgementRefusedError):
        w.desk.log.acknowledge(ack(w, upload, **changes), w.trust)
    assert len(w.desk.log.records()) == 2


def test_time_never_runs_back(w):
    w.desk.log.append(100, BOOT)
    w.desk.log.append(50, BOOT)
    assert [r.time_s for r in w.desk.log.records()] == [100, 100]


def test_what_is_written_beside_a_record_is_kept_with_it_or_not_at_all(w):
    def fail(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE beside (x)")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        w.desk.record(BOOT, also=fail)
    assert w.desk.log.head().sequence == 0
    assert w.db.execute("SELECT 1 FROM sqlite_master WHERE name = 'beside'").fetchone() is None


@pytest.mark.parametrize(
    "damage",
    ["DELETE FROM record WHERE sequence = 1", "DELETE FROM record WHERE sequence = 3",
     "UPDATE record SET raw = (SELECT raw FROM record WHERE sequence = 1) WHERE sequence = 2"],
)  # fmt: skip
def test_a_damaged_log_is_found_when_it_is_opened(w, damage):
    w.desk.record(BOOT, BOOT, BOOT)
    w.db.execute("DROP TRIGGER record_stays")
    w.db.execute("DROP TRIGGER record_unacknowledged")
    w.db.execute(damage)
    with pytest.raises(LogDamagedError):
        w.start()


def test_another_enrolments_log_is_not_opened(w):
    for station in (Station(DESK_ID, ENV, b"x" * 32), Station(b"DESK0002", ENV, GENESIS),
                    Station(DESK_ID, Environment.LIVE, GENESIS)):  # fmt: skip
        with pytest.raises(OtherStationError):
            DeskLog(w.db, station)


def test_a_full_disk_writes_nothing(tmp_path):
    db = connect(tmp_path / "desk.sqlite")
    desk_log = DeskLog(db, Station(DESK_ID, ENV, GENESIS))
    db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(LogFullError):
        desk_log.append(1, *[BOOT] * 1000)
    desk_log.check()
    assert desk_log.head().sequence == 0


# --- orders -----------------------------------------------------------------------------------


def test_an_order_is_taken_once(w):
    raw = w.signed_order()
    assert w.desk.book.add(raw)
    assert not w.desk.book.add(raw)
    taken = w.desk.book.add_all([raw, w.signed_order(), b"?"])
    assert (taken.new, taken.held, len(taken.refused)) == (1, 1, 1)


def test_orders_that_do_not_stand_are_not_taken(w):
    stranger = DeskWorld(seed=2)
    specimen = DeskWorld(Environment.DEMO_SPECIMEN)
    policy = w.world.signer(KeyRole.POLICY)
    for raw in (
        w.signed_order(desk=b"DESK0002"), w.signed_order(valid_until_s=w.clock() - 1),
        w.signed_order(signer=policy), stranger.signed_order(), specimen.signed_order(),
    ):  # fmt: skip
        with pytest.raises(OrderRefusedError):
            w.desk.book.add(raw)
    assert w.desk.book.jobs() == []


def test_the_same_number_with_another_body_is_told_and_the_first_stays(w):
    number = w.order()
    with pytest.raises(OrderDiffersError):
        w.desk.book.add(w.signed_order(number=number, row=99))
    assert w.desk.book.job(number).order.row == 1


def test_orders_come_in_the_order_taken_and_skip_those_that_ended(w):
    w.order(valid_until_s=w.clock() + 10)
    second = w.order()
    w.clock.now_s += 11
    assert w.desk.book.next().number == second
    w.clock.now_s += 2 * DAY_S
    assert w.desk.book.next() is None


def test_a_live_program_does_not_take_a_demo_root(w):
    with pytest.raises(DemoRefusedError):
        TrustStore(w.world.trust, allow_demo=False)


def test_an_order_object_of_the_wrong_kind_is_refused(w):
    wrong = sign_object(w.world.signer(KeyRole.ACK), Acknowledgement(DESK_ID, 1, b"x" * 32, 1), ENV)
    with pytest.raises(OrderRefusedError):
        w.desk.book.add(bytes(wrong))
    assert Order.KIND == "order"


# --- mail -------------------------------------------------------------------------------------


def test_codes_are_eight_random_digits(w):
    codes = {new_code(w.rng.randbytes) for _ in range(200)}
    assert len(codes) > 190
    assert all(len(c) == 8 and c.isdecimal() for c in codes)
    assert new_code(lambda n: CODES.to_bytes(n, "big")) == "00000000"


def test_a_mailer_opens_for_the_mail_path_only(w, tmp_path):
    room = MailRoom(tmp_path, w.recipient, ENV)
    room.seal(b"c" * 8, b"f" * 16, "12345678")
    assert room.holds(b"c" * 8)
    raw = room.release(b"c" * 8).read_bytes()
    made = open_mailer(raw, w.identity)
    assert (made.card_id, made.family, made.code) == (b"c" * 8, b"f" * 16, "12345678")
    assert "12345678" not in repr(made)
    for bad in (raw[:-1], b"", raw[:-1] + bytes([raw[-1] ^ 1])):
        with pytest.raises(MailError):
            open_mailer(bad, w.identity)
    with pytest.raises(MailError):
        open_mailer(raw, new_identity()[0])


def test_a_mailer_released_twice_stays_and_a_scrapped_cards_goes(w, tmp_path):
    room = MailRoom(tmp_path, w.recipient, ENV)
    room.seal(b"c" * 8, b"f" * 16, "12345678")
    first = room.release(b"c" * 8).read_bytes()
    assert room.release(b"c" * 8).read_bytes() == first
    room.discard(b"c" * 8)
    assert not room.holds(b"c" * 8)


def test_a_recipient_must_be_a_key(tmp_path):
    with pytest.raises(MailError):
        MailRoom(tmp_path, "age1nonsense", ENV)


def test_a_mail_folder_that_cannot_be_written_stops_before_the_card(w):
    w.order()
    card = w.card()
    (w.folder / "mail").write_text("not a folder")
    with pytest.raises(MailError):
        w.make(card)
    (w.folder / "mail").unlink()
    assert w.make(card).is_good
