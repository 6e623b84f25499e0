"""Journal and roster: one chain, whole installs, nothing lost and nothing older let in."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from keys.errors import DemoRefusedError
from keys.hierarchy import Heads
from terminal.errors import (
    AcknowledgementRefusedError,
    BaseMissingError,
    BundleRefusedError,
    JournalBusyError,
    JournalDamagedError,
    JournalFullError,
    NotNewerError,
    OtherStationError,
    RosterEmptyError,
    StepError,
)
from terminal.journal import Journal, Station, replay
from terminal.roster import Roster
from terminal.store import connect
from tests.support.terminal_world import (
    BASKET,
    CASH,
    DAY_S,
    FOOD,
    PIN,
    START_S,
    Issuer,
    Terminal,
    at_work,
    entry,
)
from wire import log
from wire.bundle import pack
from wire.entitlement import ScriptAction
from wire.env import Environment
from wire.errors import FormatError
from wire.objects import Acknowledgement, GoodsLine, StockDelivery, Unit

STATION = Station(b"TERM0001", Environment.DEMO_LIVE, bytes(32))


def journal(path=":memory:"):
    return Journal(connect(path), STATION)


def ack(last, head, station=STATION.station_id):
    return Acknowledgement(station, last, head, START_S)


def test_records_chain_from_the_enrolment_and_time_never_runs_back():
    j = journal()
    a, b = j.append(100, log.Boot("x")) + j.append(50, log.Boot("y"))
    assert (a.sequence, a.previous, b.previous) == (1, STATION.genesis, a.hash)
    assert b.time_s == 100
    j.check()


def test_records_cannot_be_changed_or_removed():
    db = connect(":memory:")
    j = Journal(db, STATION)
    j.append(1, log.Boot("x"))
    with pytest.raises(sqlite3.IntegrityError, match="append only"):
        db.execute("UPDATE record SET raw = x'00'")
    with pytest.raises(sqlite3.IntegrityError, match="acknowledged"):
        db.execute("DELETE FROM record")
    with pytest.raises(sqlite3.IntegrityError):
        db.execute("INSERT INTO record VALUES (1, x'00')")


def test_another_station_or_enrolment_is_refused(tmp_path):
    journal(tmp_path / "j.db")
    with pytest.raises(OtherStationError):
        Journal(connect(tmp_path / "j.db"), replace(STATION, genesis=b"\1" * 32))


@pytest.mark.parametrize("damage", [
    "DELETE FROM record WHERE sequence = 2", "UPDATE head SET sequence = 3",
    "UPDATE record SET raw = (SELECT raw FROM record WHERE sequence = 1) WHERE sequence = 2",
])  # fmt: skip
def test_a_damaged_end_is_found_at_opening(tmp_path, damage):
    db = connect(tmp_path / "j.db")
    j = Journal(db, STATION)
    j.append(1, log.Boot("x"), log.Boot("y"))
    db.execute("DROP TRIGGER record_stays")
    db.execute("DROP TRIGGER record_unacknowledged")
    db.execute(damage)
    with pytest.raises(JournalDamagedError):
        Journal(connect(tmp_path / "j.db"), STATION)


def test_a_damaged_middle_is_found_by_check(tmp_path):
    db = connect(tmp_path / "j.db")
    j = Journal(db, STATION)
    j.append(1, log.Boot("x"), log.Boot("y"))
    db.execute("DROP TRIGGER record_stays")
    db.execute("UPDATE record SET raw = (SELECT raw FROM record WHERE sequence = 2)"
               " WHERE sequence = 1")  # fmt: skip
    with pytest.raises(JournalDamagedError):
        j.check()


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "j.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(JournalDamagedError):
        connect(tmp_path / "j.db")


def test_a_step_that_does_not_fit_writes_nothing():
    j = journal()
    j.append(1, log.Boot("x"))
    before = (j.head(), j.derived())
    with pytest.raises(StepError):
        j.append(2, log.Boot("y"), log.Delivered(1))
    assert (j.head(), j.derived()) == before


def test_a_full_disk_writes_nothing_and_says_so(tmp_path):
    db = connect(tmp_path / "j.db")
    j = Journal(db, STATION)
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")
    written = fill(j)
    assert 0 < written < 100
    assert j.head().sequence == written
    j.check()
    db.execute("PRAGMA max_page_count = 1000000")
    j.append(1, log.Boot("again"))
    j.check()


def fill(j):
    """How many records go in before the disk is full."""
    for written in range(100):
        try:
            j.append(1, log.Rejected(log.Reason.FOREIGN_CARD, None, "x" * 400))
        except JournalFullError:
            return written
    return 100


def test_two_programs_at_once_do_not_mix(tmp_path):
    first, second = journal(tmp_path / "j.db"), journal(tmp_path / "j.db")
    second._db.execute("PRAGMA busy_timeout = 1")
    first._db.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalBusyError):
        second.append(1, log.Boot("x"))
    first._db.execute("ROLLBACK")
    first.append(1, log.Boot("x"))
    second.append(1, log.Boot("y"))
    first.check()


# --- acknowledgement and pruning -------------------------------------------------------------


def test_only_acknowledged_records_go_and_memory_stays():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        paid = visit.redeem(FOOD, 1)
        visit.delivered(paid.intent)
    j = terminal.journal
    derived, cut = j.derived(), paid.intent
    records = j.records(0, 1 << 30)
    assert j.acknowledge(ack(cut, records[cut - 1].hash)) == cut
    assert [r.sequence for r in j.records(0, 1 << 30)] == [cut + 1, cut + 2]
    assert j.derived() == derived
    j.check()
    terminal.restart()
    assert terminal.journal.card(card.card_id).sequence == 1
    assert terminal.journal.intent(cut).record.raw == records[cut - 1].raw


def test_everything_may_be_acknowledged_and_the_chain_goes_on():
    j = journal()
    made = j.append(1, log.Boot("x"), log.Boot("y"))
    assert j.acknowledge(ack(2, made[-1].hash)) == 2
    assert j.acknowledge(ack(2, made[-1].hash)) == 0
    assert j.unacknowledged() == []
    (third,) = j.append(1, log.Boot("z"))
    assert third.previous == made[-1].hash
    j.check()


@pytest.mark.parametrize("fault", ["station", "hash", "beyond"])
def test_an_acknowledgement_that_is_not_ours_prunes_nothing(fault):
    j = journal()
    made = j.append(1, log.Boot("x"), log.Boot("y"))
    good = ack(1, made[0].hash)
    wrong = {"station": replace(good, station=b"TERM0002"),
             "hash": replace(good, head=made[1].hash), "beyond": replace(good, last=9)}  # fmt: skip
    with pytest.raises(AcknowledgementRefusedError):
        j.acknowledge(wrong[fault])
    assert len(j.records(0, 9)) == 2


def test_derived_tables_are_what_the_records_say():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        visit.delivered(visit.redeem(FOOD, 1).intent)
        visit.redeem(CASH, 10)
    card.elsewhere(CASH, 5)
    terminal.begin(card).close()
    j = terminal.journal
    again = replay(connect(":memory:"), j.station, j.records(0, 1 << 30))
    assert again.derived() == j.derived()
    assert again.head() == j.head()


# --- shift and stock ---------------------------------------------------------------------------


def test_shift_opens_once_and_closes_with_counts():
    terminal, _ = at_work()
    with pytest.raises(StepError):
        terminal.engine.open_shift(6)
    terminal.engine.close_shift()
    assert terminal.kinds()[-2:] == ["SHIFT", "CHECKPOINT"]
    with pytest.raises(StepError):
        terminal.engine.close_shift()


def test_goods_come_in_by_a_signed_delivery_once():
    terminal, card = at_work()
    delivery = StockDelivery("KIRIM-1", "bulog", terminal.station, BASKET, START_S)
    terminal.engine.install(terminal.bundle(entry(card), deliveries=(delivery,)))
    with pytest.raises(StepError):
        terminal.engine.receive("KIRIM-2")
    assert terminal.engine.receive("KIRIM-1") == delivery
    with pytest.raises(StepError):
        terminal.engine.receive("KIRIM-1")
    assert terminal.journal.stock() == BASKET
    line = GoodsLine("beras", Unit.GRAM, 4000)
    terminal.engine.move_stock(log.StockMove.COUNTED, line)
    terminal.engine.move_stock(log.StockMove.LOST, replace(line, quantity=500))
    assert terminal.journal.stock()[0].quantity == 3500
    with pytest.raises(StepError):
        terminal.engine.move_stock(log.StockMove.RECEIVED, line)
    with pytest.raises(StepError):
        terminal.engine.move_stock(log.StockMove.SENT_BACK, line)


# --- roster ------------------------------------------------------------------------------------


def state_of(terminal):
    return b"".join(db.serialize() for db in terminal.memory)


@pytest.fixture
def world():
    issuer = Issuer()
    terminal = Terminal(issuer)
    return terminal, issuer.card()


def refused(terminal, file, error):
    before = state_of(terminal)
    with pytest.raises(error):
        terminal.engine.install(file)
    assert state_of(terminal) == before


def test_not_newer_is_refused(world):
    terminal, card = world
    first, second = terminal.bundle(entry(card)), terminal.bundle(entry(card))
    terminal.engine.install(second)
    for file in (first, second):
        refused(terminal, file, NotNewerError)


def test_a_lost_roster_takes_no_older_bundle_than_the_journal_saw(world):
    terminal, card = world
    first, second = terminal.bundle(entry(card)), terminal.bundle(entry(card))
    terminal.engine.install(second)
    terminal.memory = (terminal.memory[0], sqlite3.connect(":memory:", isolation_level=None))
    terminal.restart()
    refused(terminal, first, NotNewerError)
    terminal.engine.install(second)
    assert terminal.kinds().count("SYNC") == 1


def test_a_higher_epoch_is_newer(world):
    terminal, card = world
    terminal.engine.install(terminal.bundle(entry(card)))
    terminal.engine.install(terminal.bundle(entry(card), epoch=2, counter=1))
    assert terminal.roster.version.epoch == 2


def test_an_older_hotlist_is_refused_whole(world):
    terminal, card = world
    terminal.engine.install(terminal.bundle(entry(card), hotlist_version=5))
    refused(terminal, terminal.bundle(entry(card), hotlist_version=4), BundleRefusedError)


@pytest.mark.parametrize("fault", [
    "signature", "station", "cut", "not zlib", "other root", "certificate", "entitlement card",
    "entitlement certificate", "script card", "delivery", "entitlement signature",
])  # fmt: skip
def test_bundles_that_are_refused_change_nothing(world, fault):
    terminal, card = world
    issuer = terminal.issuer
    terminal.engine.install(terminal.bundle(entry(card)))
    terminal.counter += 1
    other = issuer.card(2)
    entitlement = issuer.entitlement(card, FOOD)
    mine = entry(card, entitlement)
    match fault:
        case "signature":
            raw = terminal.signed_bundle(mine)
            file = pack(raw[:-1] + bytes([raw[-1] ^ 1]))
        case "station":
            file = pack(terminal.signed_bundle(mine, station=b"TERM0002"))
        case "cut":
            file = pack(terminal.signed_bundle(mine))[:-5]
        case "not zlib":
            file = terminal.signed_bundle(mine)
        case "other root":
            stranger = Terminal(Issuer(seed=99))
            stranger.counter = 5
            file = stranger.bundle()
        case "certificate":
            certificate = Terminal(issuer, station=b"TERM0002").certificates[0]
            file = pack(terminal.signed_bundle(mine, certificates=(certificate.raw,)))
        case "entitlement card":
            file = pack(terminal.signed_bundle(replace(mine, card_id=other.card_id)))
        case "entitlement certificate":
            file = pack(terminal.signed_bundle(replace(mine, certificate=bytes(32))))
        case "script card":
            script = issuer.script(other, ScriptAction.BLOCK)
            file = pack(terminal.signed_bundle(entry(card, scripts=(script,))))
        case "delivery":
            delivery = StockDelivery("1", "bulog", b"TERM0002", BASKET, START_S)
            file = pack(terminal.signed_bundle(mine, deliveries=(delivery,)))
        case _:
            bad = entitlement.raw[:-1] + bytes([entitlement.raw[-1] ^ 1])
            file = pack(terminal.signed_bundle(replace(mine, entitlements=(bad,))))
    refused(terminal, file, BundleRefusedError)


@pytest.mark.parametrize("field", [
    "hotlist", "parameters", "programmes", "links", "acknowledgements", "statements", "revocations",
])  # fmt: skip
def test_everything_in_a_bundle_is_verified_by_itself(world, field):
    """The policy key vouches for the whole, never for what another key must sign."""
    terminal, card = world
    terminal.engine.install(terminal.bundle(entry(card)))
    stranger = Issuer(seed=99)
    other = Terminal(stranger)
    foreign = other.signed_bundle(counter=1)
    from wire.bundle import Bundle
    from wire.cose import Sign1

    held = Bundle.parse(Sign1.parse(foreign).payload)
    trust = stranger.world.trust
    ack = stranger.object(Acknowledgement(terminal.station, 1, bytes(32), START_S))
    value = {
        "hotlist": held.hotlist, "parameters": held.parameters, "programmes": held.programmes,
        "links": held.links, "acknowledgements": (ack,), "statements": trust.statements[:1],
        "revocations": (stranger.world.root.revoke(
            terminal.log_key.public_key, Heads(), now_s=START_S),),
    }[field]  # fmt: skip
    refused(terminal, terminal.bundle(entry(card), **{field: value}), BundleRefusedError)


def test_a_delta_needs_its_base_and_changes_only_what_it_names(world):
    terminal, card = world
    second = terminal.issuer.card(2)
    refused(terminal, terminal.bundle(base=1, counter=2), BaseMissingError)
    terminal.counter = 0
    terminal.engine.install(terminal.bundle(entry(card), entry(second)))
    refused(terminal, pack(terminal.signed_bundle(base=7, counter=9)), BaseMissingError)
    changed = entry(second, terminal.issuer.entitlement(second, FOOD))
    terminal.engine.install(terminal.bundle(changed, base=1))
    assert terminal.roster.card(card.card_id) == entry(card)
    assert terminal.roster.card(second.card_id) == changed
    terminal.engine.install(terminal.bundle(entry(card)))  # full: what it lacks is gone
    assert terminal.roster.card(second.card_id) is None


def test_a_crash_between_roster_and_journal_is_healed_before_anything_else(world):
    terminal, card = world
    terminal.roster.install(terminal.bundle(entry(card)))
    assert "SYNC" not in terminal.kinds()
    terminal.restart()
    assert terminal.kinds() == ["BOOT", "BOOT", "SYNC"]


def test_renewed_certificates_come_in_a_bundle(world):
    terminal, card = world
    terminal.engine.install(terminal.bundle(entry(card)))
    terminal.engine.open_shift(5)
    terminal.clock.now_s += 36 * DAY_S
    from wire.dates import day_of

    terminal.certificates = terminal.make_certificates(day_of(terminal.clock.now_s))
    terminal.engine.install(terminal.bundle(entry(card)))
    terminal.begin(card).close()


def test_a_demo_root_is_refused_without_demo():
    issuer = Issuer()
    with pytest.raises(DemoRefusedError):
        Roster(connect(":memory:"), station=b"TERM0001", trust=issuer.world.trust,
               allow_demo=False)  # fmt: skip


def test_an_empty_roster_says_so(world):
    terminal, _ = world
    with pytest.raises(RosterEmptyError):
        _ = terminal.roster.version


def test_text_too_long_for_a_record_is_refused_before_it_is_written():
    j = journal()
    with pytest.raises(FormatError):
        j.append(1, log.Boot(""))
    assert j.head().sequence == 0


def test_commits_are_durable_when_they_return(tmp_path):
    db = connect(tmp_path / "j.db")
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
