"""From bytes to a world: a hamlet of one station and one card, signed by whoever would sign."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from pyroaring import BitMap

from backend import ledger
from backend.audit import build as module
from backend.audit.build import build, name_of, open_trust
from backend.audit.errors import DemoRootError, TrustUnreadableError
from backend.audit.facts import Fact
from backend.audit.findings import Finding, say
from backend.audit.load import Export
from backend.audit.model import World
from keys import ca
from keys.signer import P256Signer
from tests.support.audit_files import chain_ledger
from tests.support.audit_people import SoftCard, SoftStation
from tests.support.audit_small import Small
from tests.support.audit_story import CASH, FOOD, charter
from tests.support.audit_world import START_S, AuditWorld
from wire import log
from wire.chain import IssuanceEntry, IssuanceKind, LedgerEntry, TrustFile
from wire.cose import Sign1
from wire.entitlement import ScriptAction
from wire.env import Environment
from wire.invariants import Invariant
from wire.objects import (
    Acknowledgement,
    Enrolment,
    Hotlist,
    KeyRole,
    Revocation,
    StationKind,
    TerminalLost,
)

SIGNATURES, SPECIMEN, CHAINED, LOGGED = (Invariant(n) for n in (1, 16, 17, 19))
A = b"a" * 32


class Hamlet:
    """A charter, one station, one card of 500 in cash."""

    def __init__(self) -> None:
        self.w = w = AuditWorld()
        charter(w)
        self.one: SoftStation = w.station(b"TERM0001", "Desa")
        self.card: SoftCard = w.card(w.random(16), bytes(32), 1)
        w.entitle(self.card, CASH, 500, None)

    def world(self, trust: bytes | None = None, **changes) -> World:
        """What the auditor reads; ``changes``: of the export."""
        export: Export = replace(self.w.finish(), **changes)
        return build(export, trust or self.w.trust, allow_demo=True)


def aside(world: World) -> list[tuple[int, Fact, str, str]]:
    return [(f.invariant, f.what.fact, f.subject, f.owner) for f in world.aside]


def broken(world: World) -> list[tuple[str, Fact]]:
    return [(f.subject, f.what.fact) for f in world.chain_faults]


# --- a world ------------------------------------------------------------


def test_a_hamlet_is_read_whole() -> None:
    x = Hamlet()
    x.w.hand_over(x.one, x.card)
    x.w.script(x.one, x.card, ScriptAction.PIN_UNBLOCK)
    world = x.world()
    assert (aside(world), broken(world)) == ([], [])
    card, station = world.cards[x.card.card_id], world.stations[x.one.name]
    assert (card.certificate, card.scrapped) == (x.card.certificate, None)
    assert card.receipt_key == x.card.key.public_key
    assert card.entry.item == bytes(x.card.certificate)
    assert [(i.entitlement, i.step) for i in card.entitlements[CASH]] == [
        (x.card.issued[CASH], 500)
    ]
    assert (list(card.scripts), card.scripts[1].action) == ([1], ScriptAction.PIN_UNBLOCK)
    assert station.records == {r.sequence: r for r in x.one.records}
    assert station.name == x.one.enrolment
    assert world.names[station.name] is station.entry
    assert {serial for _, serial in world.certificates} == set(x.one.serials.values())
    assert [p.code for p in world.programmes().values()] == [1, 2, 3]
    assert len(world.ledger) == len(x.w.ledger)
    assert world.hotlists == {1: frozenset()}


@pytest.mark.parametrize("newest", ["issuance", "ledger", "ack", "head", "record"])
def test_now_is_the_newest_time_of_the_export(newest: str) -> None:
    x = Hamlet()
    w, later = x.w, START_S + 900_000
    w.upload(x.one)
    if newest == "issuance":
        w.issuance[-1]["time_s"] = later
    elif newest == "ledger":
        w.ledger[-1] = (later, w.ledger[-1][1])
    elif newest == "ack":
        w.sign(Acknowledgement(x.one.name, x.one.uploaded, x.one.records[-1].hash, later))
    elif newest == "record":
        w.record(x.one, log.Boot("x"), time_s=later)
    export = w.finish()
    if newest == "head":
        w.now_s = later
        export = replace(export, heads=tuple(w.chain()[2]))
    assert build(export, w.trust, allow_demo=True).now_s == later


def test_faults_of_files_are_kept_by_their_invariant() -> None:
    x = Hamlet()
    found = tuple(Finding(n, f"of {int(n)}", say(Fact.FILE_DAMAGED)) for n in
                  (Invariant.NO_SPECIMEN, CHAINED, Invariant.DECREE_ROW, SIGNATURES))  # fmt: skip
    world = x.world(faults=found)
    assert broken(world) == [("of 17", Fact.FILE_DAMAGED)]
    assert [s for _, _, s, _ in aside(world)] == ["of 16", "of 18", "of 1"]


# --- trust ------------------------------------------------------------


def test_a_trust_file_is_read_or_refused() -> None:
    raw = Hamlet().w.trust
    assert open_trust(raw, allow_demo=True).env == Environment.DEMO_LIVE
    with pytest.raises(DemoRootError):
        open_trust(raw, allow_demo=False)
    for bad in (b"", raw[:-1], raw + b"\x00"):
        with pytest.raises(TrustUnreadableError):
            open_trust(bad, allow_demo=True)
    t = TrustFile.parse(raw)
    flipped = t.statements[0][:-1] + bytes([t.statements[0][-1] ^ 1])
    with pytest.raises(TrustUnreadableError):
        open_trust(bytes(replace(t, statements=(flipped, *t.statements[1:]))), allow_demo=True)


@pytest.mark.parametrize(
    ("entry", "at", "head", "is_covered"),
    [(2, 2, 2, True), (1, 2, 2, True), (3, 2, 2, False), (2, 3, 3, True), (2, 4, 3, False),
     (2, 2, 1, False), (2, 3, 2, False), (0, 2, 2, False), (1, 1, 1, True), (2, 0, 3, False)],
)  # fmt: skip
def test_a_revoked_key_s_object_counts_as_far_as_the_head_named_covers_it(
    entry: int, at: int, head: int, is_covered: bool
) -> None:
    s = Small()
    for _ in range(3):
        s.entry(item=bytes(32))
    s.world.names[A] = replace(s.world.issuance[entry - 1], sequence=entry)
    revocation = Revocation(bytes(8), START_S, 0, bytes(32), at, s.world.issuance[head - 1].hash)
    assert module._covers(s.world, revocation, A) == is_covered
    assert not module._covers(s.world, revocation, b"b" * 32)


# --- chains ------------------------------------------------------------


def entries(times: tuple[int, ...] = (5, 5, 6, 7)) -> list[bytes]:
    """A ledger of these times."""
    return chain_ledger([(t, ledger.debit(bytes([n]) * 32, 2, 5)) for n, t in enumerate(times)])[0]


def chained(raws: list[bytes], name: str = "ledger") -> tuple[list[int], list[tuple[str, Fact]]]:
    """Sequences read, and what is broken."""
    world = Small().world
    read = module._chain(world, tuple(raws), LedgerEntry.parse, name)
    return [e.sequence for e in read], broken(world)


def test_a_chain_links_from_genesis_and_its_times_rise() -> None:
    assert chained(entries()) == ([1, 2, 3, 4], [])
    assert chained([]) == ([], [])
    old = entries((5, 5, 4, 4, 5))
    assert chained(old, "issuance") == ([1, 2, 3, 4, 5], [("issuance/3", Fact.ENTRY_OLDER)])


def test_an_entry_left_out_or_altered_breaks_the_chain_there() -> None:
    raws = entries()
    no = Fact.ENTRY_NOT_FOLLOWING
    assert chained(raws[1:])[1] == [("ledger/1", no), ("ledger/2", no), ("ledger/3", no)]
    assert chained([raws[0], *raws[2:]])[1] == [("ledger/2", no), ("ledger/3", no)]
    other = bytes(replace(LedgerEntry.parse(raws[1]), evidence=A))
    assert chained([raws[0], other, *raws[2:]])[1] == [("ledger/3", no)]
    first = bytes(replace(LedgerEntry.parse(raws[0]), previous=A))
    assert chained([first])[1] == [("ledger/1", no)]
    again = bytes(replace(LedgerEntry.parse(raws[1]), sequence=3))
    assert chained([raws[0], again])[1] == [("ledger/2", no)]


def test_an_entry_that_cannot_be_read_is_one_break() -> None:
    raws = entries()
    bad = b"\xff" * 40
    third = LedgerEntry.parse(raws[2])
    linked = bytes(replace(third, previous=sha256(bad).digest()))
    fourth = bytes(replace(LedgerEntry.parse(raws[3]), previous=sha256(linked).digest()))
    found = chained([raws[0], bad, linked, fourth])
    assert found == ([1, 3, 4], [("ledger/2", Fact.ENTRY_UNREADABLE)])
    first = bytes(replace(LedgerEntry.parse(raws[0]), sequence=2, previous=sha256(bad).digest()))
    assert chained([bad, first]) == ([2], [("ledger/1", Fact.ENTRY_UNREADABLE)])


def test_what_an_entry_is_named_by() -> None:
    x = Hamlet()
    x.w.script(x.one, x.card, ScriptAction.PIN_UNBLOCK, deliver=False)
    raws = [IssuanceEntry.parse(r) for r in x.w.finish().issuance]
    by_kind = {e.kind: e for e in raws}
    kinds = IssuanceKind
    assert name_of(by_kind[kinds.OBJECT]) == by_kind[kinds.OBJECT].item
    assert name_of(by_kind[kinds.ENTITLEMENT]) == x.card.issued[CASH].hash
    assert name_of(by_kind[kinds.SCRIPT]) == sha256(by_kind[kinds.SCRIPT].item[:-64]).digest()
    assert name_of(by_kind[kinds.ENROLMENT]) == x.one.enrolment
    assert name_of(by_kind[kinds.CARD_CERTIFICATE]) == x.card.certificate.digest
    assert name_of(by_kind[kinds.LINK]) == sha256(by_kind[kinds.LINK].item).digest()
    assert name_of(replace(by_kind[kinds.OBJECT], kind=kinds.SCRAPPED)) is None
    assert name_of(replace(by_kind[kinds.ENROLMENT], item=b"\xff")) is None


# --- issuance log ------------------------------------------------------------


def flip(raw: bytes, at: int = -1) -> bytes:
    changed = bytearray(raw)
    changed[at] ^= 1
    return bytes(changed)


def spoil(x: Hamlet, kind: IssuanceKind) -> int:
    """The last entry of this kind is signed by nobody; its place."""
    at = max(i for i, e in enumerate(x.w.issuance) if e["kind"] == kind)
    x.w.issuance[at]["item"] = flip(x.w.issuance[at]["item"])
    return at + 1


@pytest.mark.parametrize(
    "kind",
    [IssuanceKind.TERMINAL_CERTIFICATE, IssuanceKind.ENTITLEMENT, IssuanceKind.LINK,
     IssuanceKind.SCRIPT],
)  # fmt: skip
def test_an_entry_that_does_not_verify_is_set_aside_and_the_next_is_read(
    kind: IssuanceKind,
) -> None:
    x = Hamlet()
    x.w.script(x.one, x.card, ScriptAction.PIN_UNBLOCK, deliver=False)
    at = spoil(x, kind)
    x.w.note(IssuanceKind.SCRAPPED, x.card.card_id)
    world = x.world()
    assert aside(world) == [(SIGNATURES, Fact.BAD_SIGNATURE, f"issuance/{at}", "key service")]
    name = name_of(world.issuance[at - 1])
    assert name in world.aside_names
    card = world.cards[x.card.card_id]
    entries_of = [e.sequence for e in world.issuance if e.kind == IssuanceKind.SCRAPPED]
    assert [card.scrapped] == entries_of
    assert (CASH in card.entitlements) == (kind != IssuanceKind.ENTITLEMENT)
    assert (card.scripts == {}) == (kind == IssuanceKind.SCRIPT)
    assert world.aside_cards == set()


def test_a_card_whose_certificate_does_not_verify_takes_its_entitlements_with_it() -> None:
    x = Hamlet()
    at = spoil(x, IssuanceKind.CARD_CERTIFICATE)
    world = x.world()
    assert aside(world) == [(SIGNATURES, Fact.BAD_SIGNATURE, f"issuance/{at}", "key service")]
    assert world.aside_cards == {x.card.card_id}
    assert x.card.issued[CASH].hash in world.aside_names
    x.w.issuance.insert(at, x.w.issuance[at - 1])
    assert x.world().aside_cards == {x.card.card_id}  # however often it stands there
    del x.w.issuance[at]
    x.w.issuance[at - 1]["item"] = b"\xff"
    world = x.world()
    assert world.aside_cards == set()
    assert (LOGGED, Fact.ENTITLEMENT_NO_CARD, x.card.card_id.hex(), "key service") in aside(world)


def test_a_second_certificate_of_a_card_is_set_aside() -> None:
    x = Hamlet()
    w, old = x.w, x.card
    cert = ca.issue_card_certificate(
        w.keys.issuer(KeyRole.CARD_CA), serial=99, card_id=old.card_id, now_s=w.tick(),
        channel_key=P256Signer.generate(w.random).public_key, receipt_key=old.key.public_key,
    )  # fmt: skip
    entry = next(e for e in w.issuance if e["kind"] == IssuanceKind.CARD_CERTIFICATE)
    w.note(IssuanceKind.CARD_CERTIFICATE, bytes(cert), family=entry["family"], order=A)
    world = x.world()
    assert aside(world) == [(LOGGED, Fact.CERTIFICATE_TWICE, old.card_id.hex(), "key service")]
    assert cert.digest in world.aside_names
    assert world.cards[old.card_id].certificate == old.certificate


def test_steps_are_from_the_highest_l_before_in_that_wallet() -> None:
    x = Hamlet()
    for wallet, step in ((FOOD, 4), (CASH, 100), (CASH, -50), (CASH, 0), (CASH, 60)):
        x.w.entitle(x.card, wallet, step, None)
    world = x.world()
    every = world.cards[x.card.card_id].entitlements
    assert [i.step for i in every[CASH]] == [500, 100, -50, -50, 10]
    assert [i.step for i in every[FOOD]] == [4]
    assert every[CASH][1].entry.item == bytes(every[CASH][1].entitlement)


def test_entries_of_a_card_nobody_certified_are_set_aside_or_tell_nothing() -> None:
    x = Hamlet()
    ghost = replace(x.card.clone(), card_id=b"DEMO\x00\x00\x00\x63", issued={})
    made = x.w.entitle(ghost, CASH, 5, None)
    x.w.script(x.one, ghost, ScriptAction.PIN_UNBLOCK, deliver=False)
    x.w.note(IssuanceKind.SCRAPPED, ghost.card_id)
    world = x.world()
    ghosts = (LOGGED, Fact.ENTITLEMENT_NO_CARD, ghost.card_id.hex(), "key service")
    assert aside(world) == [ghosts]
    assert made.hash in world.aside_names
    assert list(world.cards) == [x.card.card_id]


def test_of_two_entries_of_one_certificate_or_name_the_first_counts() -> None:
    x = Hamlet()
    kinds = (IssuanceKind.TERMINAL_CERTIFICATE, IssuanceKind.OBJECT)
    doubled = [next(e for e in x.w.issuance if e["kind"] == k) for k in kinds]
    first = [x.w.issuance.index(e) + 1 for e in doubled]
    x.w.issuance += [dict(e, time_s=x.w.now_s) for e in doubled]
    world = x.world()
    serial = min(x.one.serials.values())
    assert world.certificates[x.one.name, serial][1].sequence == first[0]
    assert world.names[doubled[1]["item"]].sequence == first[1]
    assert aside(world) == []


def test_a_station_enrolled_twice_is_set_aside_and_enrolled_once() -> None:
    x = Hamlet()
    again = x.w.sign(Enrolment(x.one.name, StationKind.TERMINAL, bytes(x.one.log_key.public_key),
                               "*", "Lain", x.w.tick()))  # fmt: skip
    world = x.world()
    assert aside(world) == [(LOGGED, Fact.STATION_TWICE, x.one.name.hex(), "registry")]
    assert again in world.aside_names
    assert world.stations[x.one.name].enrolment.place == "Desa"


def test_an_enrolment_or_object_signed_outside_its_key_s_time_is_set_aside() -> None:
    x = Hamlet()
    x.w.sign(Hotlist(2, START_S, BitMap().serialize()))
    for entry in (x.w.issuance[-1], *(e for e in x.w.issuance
                                      if e["kind"] == IssuanceKind.ENROLMENT)):  # fmt: skip
        entry["time_s"] = START_S + 5 * 366 * 86_400
    world = x.world()
    late = [(n, fact, owner) for n, fact, _, owner in aside(world) if fact == Fact.KEY_TIME]
    assert late == [(SIGNATURES, Fact.KEY_TIME, "key service"),
                    (SIGNATURES, Fact.KEY_TIME, "registry"),
                    (SIGNATURES, Fact.KEY_TIME, "policy")]  # fmt: skip
    assert x.one.name not in world.stations


# --- objects ------------------------------------------------------------


def test_objects_are_counted_from_one_and_held_to_the_log() -> None:
    x = Hamlet()
    made = x.w.sign(Hotlist(2, START_S, BitMap().serialize()), logged=False)
    world = x.world()
    assert aside(world) == [(LOGGED, Fact.OBJECT_NOT_LOGGED, "objects/hotlist/2", "policy")]
    assert (made in world.aside_names, made in world.objects) == (True, False)
    x.w.note(IssuanceKind.OBJECT, made, note="order")
    assert aside(x.world()) == aside(world)
    assert broken(x.world()) == []  # it is there, under another name
    x.w.issuance[-1]["note"] = "hotlist"
    assert aside(x.world()) == []


def test_an_object_that_does_not_verify_is_set_aside_under_its_name() -> None:
    x = Hamlet()
    objects = dict(x.w.finish().objects)
    (raw,) = objects["parameters"]
    world = x.world(objects=objects | {"parameters": (flip(raw), b"\xff")})
    said = [(n, fact, subject, owner) for n, fact, subject, owner in aside(world)]
    assert said == [(SIGNATURES, Fact.BAD_SIGNATURE, "objects/parameters/1", "policy"),
                    (SIGNATURES, Fact.BAD_FORM, "objects/parameters/2", "policy")]  # fmt: skip
    assert {Sign1.parse(raw).hash, sha256(b"\xff").digest()} <= world.aside_names
    assert broken(world) == []


def test_an_object_twice_in_the_export_is_one() -> None:
    x = Hamlet()
    objects = dict(x.w.finish().objects)
    world = x.world(objects=objects | {"parameters": objects["parameters"] * 2})
    assert len(world.by_shape[type(world.parameters())]) == 1
    assert aside(world) == []


@pytest.mark.parametrize("kind", ["parameters", "hotlist", "enrolment"])
def test_what_the_log_names_is_in_the_export_but_for_bundles(kind: str) -> None:
    x = Hamlet()
    objects = dict(x.w.finish().objects)
    world = x.world(objects=objects | {kind: ()})
    ((subject, fact),) = broken(world)
    assert fact == Fact.OBJECT_ABSENT
    entry = world.issuance[int(subject.split("/")[1]) - 1]
    assert (entry.note or "enrolment") == kind
    assert dict(world.chain_faults[0].what.values) == {"object_kind": kind}


def test_the_lowest_terminal_lost_of_a_station_closes_it() -> None:
    for lasts in ((5, 3, 4), (3, 5, 4), (4, 3), (3, 3)):
        x = Hamlet()
        names = [x.w.sign(TerminalLost(x.one.name, n, "hanyut", x.w.tick())) for n in lasts]
        x.w.sign(TerminalLost(b"TERM0009", 1, "hanyut", x.w.tick()))
        station = x.world().stations[x.one.name]
        at = lasts.index(3)
        assert (station.lost.last, station.lost_hash) == (3, names[at]), lasts


def test_hotlists_by_version_of_which_there_is_one() -> None:
    x = Hamlet()
    for version, serials in ((2, [1, 7]), (3, [7]), (2, [1, 7])):
        x.w.sign(Hotlist(version, x.w.tick(), BitMap(serials).serialize()))
    world = x.world()
    assert world.hotlists == {1: frozenset(), 2: frozenset({1, 7}), 3: frozenset({7})}
    assert broken(world) == []
    x.w.sign(Hotlist(3, x.w.tick(), BitMap([8]).serialize()))
    world = x.world()
    assert broken(world) == [("hotlist/3", Fact.TWO_HOTLISTS)]
    assert world.hotlists[3] == {7}


def test_a_hotlist_that_is_no_bitmap_is_set_aside_and_the_next_is_read() -> None:
    x = Hamlet()
    x.w.sign(Hotlist(2, x.w.tick(), b"\xff" * 9))
    x.w.sign(Hotlist(3, x.w.tick(), BitMap([8]).serialize()))
    world = x.world()
    assert [(n, s, owner) for n, _, s, owner in aside(world)] == [
        (SIGNATURES, "hotlist/2", "policy")
    ]
    assert world.hotlists == {1: frozenset(), 3: frozenset({8})}
