"""Uploads into chains: each signed by the key its station, or a forger, would hold."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from backend.audit import logs
from backend.audit.facts import Fact
from backend.audit.load import UploadFile
from backend.audit.model import Station
from keys.signer import Ed25519Signer, sign_object
from tests.support.audit_small import ENV, START_S, Small
from wire import cbor, log
from wire.chain import IssuanceKind
from wire.env import Environment
from wire.invariants import Invariant
from wire.log import Record
from wire.objects import Acknowledgement, UploadHead

KEYS = [Ed25519Signer.generate(random.Random(n).randbytes) for n in range(3)]  # noqa: S311
SIGNATURES, SPECIMEN, LOGGED = Invariant(1), Invariant(16), Invariant(19)


class Log:
    """A station whose records stand outside the world until their upload is read."""

    def __init__(self, s: Small, n: int = 1) -> None:
        self.s, self.station, self.key = s, s.station(n), KEYS[n]
        enrolment = replace(self.station.enrolment, log_key=self.key.public_key)
        self.station.enrolment = enrolment
        self.records: list[Record] = []

    def say(self, body=None, *, time_s: int | None = None, **changes) -> Record:
        """The next record; ``changes``: another sequence or link."""
        previous = self.records[-1].hash if self.records else self.station.name
        fields = {"sequence": len(self.records) + 1, "previous": previous,
                  "time_s": self.s.tick() if time_s is None else time_s} | changes  # fmt: skip
        made = Record.make(**fields, body=body or log.Boot("x"))
        self.records.append(made)
        return made

    def upload(self, records=None, *, key=None, env=ENV, name=None, **changes) -> UploadFile:
        """An upload of these records, or of all; ``changes``: of its head."""
        records = self.records if records is None else records
        head = UploadHead(self.station.station, records[0].sequence, records[-1].sequence,
                          records[-1].hash)  # fmt: skip
        head = replace(head, **changes)
        signed = bytes(sign_object(key or self.key, head, env))
        raw = cbor.encode([signed, [r.raw for r in records]])
        return UploadFile(name or name_of(head.station, head.first, head.last), raw)

    def acknowledge(self, record: Record, *, late: int = 0, **changes) -> None:
        """The backend says it holds the chain up to this record."""
        made = Acknowledgement(self.station.station, record.sequence, record.hash,
                               self.s.time_s + late)  # fmt: skip
        self.s.object(replace(made, **changes))


def name_of(station: bytes, first: int, last: int) -> str:
    return f"{station.hex()}-{first:010d}-{last:010d}.cbor"


def one() -> tuple[Small, Log]:
    """One station with three records."""
    s = Small()
    made = Log(s)
    for _ in range(3):
        made.say()
    return s, made


def aside(s: Small) -> list[tuple[int, Fact]]:
    return [(f.invariant, f.what.fact) for f in s.world.aside]


def broken(s: Small) -> list[Fact]:
    return [f.what.fact for f in s.world.chain_faults]


def faults(station: Station) -> list[tuple[int, str, Fact]]:
    """Invariant, record and fact."""
    return [(f.invariant, f.subject.split("/")[1], f.what.fact) for f in station.faults]


CHAIN, TIME = Invariant.TERMINAL_CHAIN, Invariant.TIME


# --- one upload ------------------------------------------------------------


def test_uploads_of_two_stations_are_entered() -> None:
    s, a = one()
    b = Log(s, 2)
    b.say(time_s=START_S + 90_000)
    logs.read(s.world, (a.upload(a.records[:2]), a.upload(a.records[2:]), b.upload()))
    assert list(a.station.records.values()) == a.records
    assert (a.station.ends, b.station.ends) == ({2, 3}, {1})
    assert (aside(s), broken(s), faults(a.station), faults(b.station)) == ([], [], [], [])
    assert s.world.now_s == START_S + 90_000
    assert not a.station.is_tainted


@pytest.mark.parametrize(
    "name",
    [name_of(b"TERM0001", 1, 2), name_of(b"TERM0001", 2, 3), name_of(b"TERM0002", 1, 3), "x.cbor"],
)
def test_an_upload_under_another_name_is_read_and_the_name_listed(name: str) -> None:
    s, a = one()
    logs.read(s.world, (a.upload(name=name),))
    assert list(a.station.records) == [1, 2, 3]
    assert broken(s) == [Fact.UPLOAD_NAME]
    assert s.world.chain_faults[0].subject == f"uploads/{name}"


def test_an_upload_of_no_enrolled_station_is_set_aside_and_the_next_is_read() -> None:
    s, a = one()
    other = a.upload(station=b"TERM0009")
    logs.read(s.world, (other, a.upload()))
    assert aside(s) == [(LOGGED, Fact.UPLOAD_NO_STATION)]
    assert s.world.aside[0].owner == "registry"
    assert list(a.station.records) == [1, 2, 3]


def test_an_upload_of_another_environment_taints_its_station() -> None:
    s, a = one()
    logs.read(s.world, (a.upload(env=Environment.DEMO_SPECIMEN),))
    assert aside(s) == [(SPECIMEN, Fact.FOREIGN)]
    assert (a.station.records, a.station.is_tainted) == ({}, True)
    assert s.world.aside[0].owner == b"TERM0001".hex()


@pytest.mark.parametrize("how", ["key", "head", "empty", "no list", "no bytes", "garbage"])
def test_an_upload_that_does_not_stand_taints_its_station(how: str) -> None:
    s, a = one()
    made = a.upload()
    signed, items = cbor.decode_array(made.raw, 2)
    raw = {
        "key": a.upload(key=KEYS[2]).raw,
        "head": a.upload(head=bytes(32)).raw,
        "empty": cbor.encode([signed, []]),
        "no list": cbor.encode([signed, signed]),
        "no bytes": cbor.encode([signed, [*items, 7]]),
        "garbage": b"\xff" * 9,
    }[how]
    logs.read(s.world, (replace(made, raw=raw),))
    assert [n for n, _ in aside(s)] == [SIGNATURES]
    assert (a.station.records, a.station.is_tainted, a.station.ends) == ({}, True, set())
    assert s.world.aside[0].owner == b"TERM0001".hex()
    assert s.world.aside[0].subject == f"uploads/{made.name}"


def test_a_head_that_is_no_byte_string_does_not_stand() -> None:
    s, a = one()
    made = a.upload()
    _, items = cbor.decode_array(made.raw, 2)
    logs.read(s.world, (replace(made, raw=cbor.encode([7, items])),))
    assert aside(s) == [(SIGNATURES, Fact.BAD_FORM)]


def test_garbage_under_no_station_s_name_is_nobody_s_but_the_backend_s() -> None:
    s, a = one()
    logs.read(s.world, (UploadFile("x.cbor", b"\xff"),
                        UploadFile(name_of(b"TERM0009", 1, 1), b"\xfe")))  # fmt: skip
    assert [f.owner for f in s.world.aside] == ["backend", b"TERM0009".hex()]
    assert not a.station.is_tainted


@pytest.mark.parametrize(("most", "is_read"), [(2, False), (3, True), (4, True)])
def test_an_upload_has_at_most_so_many_records(
    most: int, is_read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MAX_UPLOAD_RECORDS", most)
    s, a = one()
    logs.read(s.world, (a.upload(),))
    assert bool(a.station.records) == is_read
    assert aside(s) == ([] if is_read else [(SIGNATURES, Fact.BAD_FORM)])


# --- chains ------------------------------------------------------------


@pytest.mark.parametrize(("first", "last"), [(1, 4), (2, 3), (1, 2), (0, 3)])
def test_an_upload_has_the_records_its_head_says(first: int, last: int) -> None:
    s, a = one()
    logs.read(s.world, (a.upload(first=first, last=last),))
    assert faults(a.station) == [(CHAIN, str(first), Fact.UPLOAD_RECORDS)]
    assert list(a.station.records) == [1, 2, 3]


def test_two_records_of_one_number_are_a_fork_and_the_first_counts() -> None:
    s, a = one()
    whole = a.upload()
    kept = a.records[1]
    others = [Record.make(n, r.previous, r.time_s, log.Boot(text))
              for n, r, text in ((2, kept, "y"), (3, a.records[2], "a"))]  # fmt: skip
    again = a.upload([kept, a.records[2]])
    logs.read(s.world, (whole, a.upload(), again, *(a.upload([r]) for r in others)))
    assert faults(a.station) == [(CHAIN, n, Fact.RECORD_FORKED) for n in "23"]
    assert list(a.station.records.values()) == a.records


def test_missing_records_are_listed_once_and_the_rest_judged() -> None:
    s, a = one()
    for _ in range(3):
        a.say()
    logs.read(s.world, (a.upload(a.records[:1]), a.upload(a.records[3:])))
    assert faults(a.station) == [(CHAIN, "2", Fact.RECORDS_MISSING)]


def test_the_first_record_missing_is_missing() -> None:
    s, a = one()
    logs.read(s.world, (a.upload(a.records[1:]),))
    assert faults(a.station) == [(CHAIN, "1", Fact.RECORDS_MISSING)]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_each_record_links_to_the_one_before_and_the_first_to_the_enrolment(n: int) -> None:
    s = Small()
    a = Log(s)
    for k in (1, 2, 3):
        a.say(**({"previous": bytes(32)} if k == n else {}))
    logs.read(s.world, (a.upload(),))
    assert faults(a.station) == [(CHAIN, str(n), Fact.RECORD_UNLINKED)]
    assert a.station.faults[0].owner == b"TERM0001".hex()


def test_of_a_tainted_station_links_are_not_judged_but_times_are() -> None:
    s = Small()
    a = Log(s)
    a.say(previous=bytes(32))
    a.say()
    a.say()
    a.say(time_s=START_S)
    bad = a.upload(key=KEYS[2])
    logs.read(s.world, (bad, a.upload(a.records[:1]), a.upload(a.records[2:])))
    assert faults(a.station) == [(TIME, "4", Fact.RECORD_OLDER)]


def test_records_do_not_run_back_behind_the_newest_before_them() -> None:
    s = Small()
    a = Log(s)
    for at in (100, 100, 99, 50, 100, 101):
        a.say(time_s=START_S + at)
    logs.read(s.world, (a.upload(),))
    assert faults(a.station) == [(TIME, n, Fact.RECORD_OLDER) for n in "34"]


@pytest.mark.parametrize(("ahead", "is_right"), [(300, True), (301, False)])
def test_a_record_is_at_most_five_minutes_ahead_of_its_arrival(ahead: int, is_right: bool) -> None:
    s, a = one()
    a.acknowledge(a.records[-1], arrived_s=a.records[-1].time_s - ahead)
    logs.read(s.world, (a.upload(),))
    assert faults(a.station) == ([] if is_right else [(TIME, "3", Fact.RECORD_FUTURE)])


# --- acknowledgements ------------------------------------------------------------


def test_what_was_acknowledged_is_there_as_it_was() -> None:
    s, a = one()
    b = Log(s, 2)
    b.say()
    a.acknowledge(a.records[0])
    a.acknowledge(a.records[2])
    b.acknowledge(b.records[0], station=b"TERM0009")
    b.acknowledge(b.records[0], late=50)
    logs.read(s.world, (a.upload(a.records[:1]), a.upload(a.records[1:]), b.upload()))
    assert (faults(a.station), faults(b.station), broken(s)) == ([], [], [])
    (first, second), (third,) = a.station.arrivals, b.station.arrivals
    assert (first[0], second[0], third[0]) == (1, 3, 1)
    assert third[1] == s.world.of(Acknowledgement)[-1][1].arrived_s
    assert first[2] < second[2] < third[2] == s.world.of(Acknowledgement)[-1][0].entry.sequence


def test_arrivals_are_in_the_order_of_records() -> None:
    s, a = one()
    a.acknowledge(a.records[2])
    a.acknowledge(a.records[0])
    logs.read(s.world, (a.upload(a.records[:1]), a.upload(a.records[1:])))
    assert [n for n, _, _ in a.station.arrivals] == [1, 3]


def test_an_acknowledged_record_that_is_missing_or_another_is_listed() -> None:
    s, a = one()
    a.acknowledge(a.records[1], head=bytes(32))
    a.acknowledge(a.records[2], last=4)
    a.acknowledge(a.records[2])
    logs.read(s.world, (a.upload(a.records[:2]), a.upload(a.records[2:])))
    assert faults(a.station) == [(CHAIN, n, Fact.ACKNOWLEDGED_OTHER) for n in "24"]
    assert broken(s) == []


def test_an_acknowledged_upload_that_is_not_there_is_listed() -> None:
    s, a = one()
    a.acknowledge(a.records[1])
    logs.read(s.world, (a.upload(),))
    assert (faults(a.station), broken(s)) == ([], [Fact.UPLOAD_ABSENT])
    assert s.world.chain_faults[0].subject == b"TERM0001".hex()
    assert dict(s.world.chain_faults[0].what.values) == {"number": 2}


def test_of_a_tainted_station_acknowledgements_are_not_judged_and_the_next_s_are() -> None:
    s, a = one()
    b = Log(s, 2)
    b.say()
    a.acknowledge(a.records[0])
    b.acknowledge(b.records[0], head=bytes(32))
    logs.read(s.world, (a.upload(key=KEYS[2]), b.upload()))
    assert (a.station.arrivals, faults(a.station)) == ([], [])
    assert faults(b.station) == [(CHAIN, "1", Fact.ACKNOWLEDGED_OTHER)]


def test_a_fault_is_listed_once() -> None:
    s, a = one()
    a.acknowledge(a.records[0], head=bytes(32))
    a.acknowledge(a.records[0], head=bytes(32))
    logs.read(s.world, (a.upload(),))
    assert faults(a.station) == [(CHAIN, "1", Fact.ACKNOWLEDGED_OTHER)]
    assert s.entry(IssuanceKind.OBJECT).sequence > 0
