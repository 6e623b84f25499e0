"""Borders of raw objects, logs, chains and bundles; each met a mutant that survived."""

from __future__ import annotations

import dataclasses
import zlib
from dataclasses import replace
from datetime import date

import cbor2
import pytest

from tests.support import vectors
from tests.support.purse_world import ENV, ROOT, point, private_key, sign
from wire import bundle, cbor, chain, log, raw, receipt
from wire.entitlement import Entitlement, Lot, Script, ScriptAction
from wire.env import Environment
from wire.errors import FormatError
from wire.receipt import Counters, Receipt, ReceiptKind

DAY = date(2026, 3, 1)


def entitled(**changes: object) -> bytes:
    fields = {
        "env": ENV, "card_id": bytes(8), "certificate_hash": bytes(16), "wallet": 1,
        "programme": 1, "sequence": 1, "loaded": 100, "lots": (Lot(1000, 40), Lot(2000, 100)),
        "forfeited_through": 40, "cap": 5, "issued": DAY, "acknowledged": 3,
        "settled_debited": 90, "settled_reversed": 10, "bypass_total": 2, "key_version": 1,
    }  # fmt: skip
    body = Entitlement.encode_body(**(fields | changes))  # type: ignore[arg-type]
    return body + sign(ROOT, body)


MAX_L = 2**31 - 1


@pytest.mark.parametrize("changes", [
    {}, {"forfeited_through": 100}, {"settled_reversed": 90}, {"settled_debited": 110},
    {"loaded": MAX_L, "lots": (Lot(1, MAX_L),)}, {"loaded": 0, "lots": (Lot(1, 0),),
     "forfeited_through": 0, "settled_debited": 0, "settled_reversed": 0},
    {"lots": (Lot(1000, 40), Lot(1000, 100))},
    {"lots": (Lot(1, 10), Lot(2, 20), Lot(3, 30), Lot(4, 100))},
])  # fmt: skip
def test_an_entitlement_at_its_borders(changes) -> None:
    read = Entitlement.parse(entitled(**changes))
    for name, value in changes.items():
        assert getattr(read, name) == value


@pytest.mark.parametrize("changes", [
    {"wallet": 0}, {"sequence": 0}, {"loaded": MAX_L + 1, "lots": (Lot(1, MAX_L + 1),)},
    {"forfeited_through": 101}, {"settled_reversed": 91}, {"settled_debited": 111},
    {"lots": (Lot(1000, 40), Lot(2000, 99))}, {"lots": (Lot(1000, 40), Lot(2000, 101))},
    {"lots": (Lot(1000, 100), Lot(2000, 100))}, {"lots": (Lot(1001, 40), Lot(1000, 100))},
    {"lots": (Lot(1, 10), Lot(2, 20), Lot(3, 20), Lot(4, 100))},
    {"lots": (Lot(1, 10), Lot(2, 20), Lot(1, 30), Lot(4, 100))},
])  # fmt: skip
def test_an_entitlement_over_its_borders(changes) -> None:
    with pytest.raises(FormatError):
        Entitlement.parse(entitled(**changes))


def test_counts_of_lots_and_unused_ones() -> None:
    good = entitled()
    at = 5 + 8 + 16 + 2 + 2 + 4 + 4  # of the count of lots
    assert good[at] == 2
    for count in (0, 1, 3, 4, 5):
        with pytest.raises(FormatError):
            Entitlement.parse(good[:at] + bytes([count]) + good[at + 1 :])
    for unused in range(at + 1 + 16, at + 1 + 32):
        with pytest.raises(FormatError, match="unused"):
            Entitlement.parse(good[:unused] + b"\1" + good[unused + 1 :])


def test_what_expires_when() -> None:
    e = Entitlement.parse(entitled(forfeited_through=20))
    assert [e.expired_through(t) for t in (999, 1000, 1999, 2000)] == [20, 40, 40, 100]
    assert [e.available(Counters(100, d, 0, 0), 1000) for d in (0, 40, 41)] == [60, 60, 59]


@pytest.mark.parametrize(("before", "after"), [
    ((0, 0, 0, 0), (100, 0, 40, 0)),
    ((100, 30, 0, 0), (100, 30, 10, 0)),
    ((100, 40, 0, 0), (100, 40, 0, 0)),
    ((100, 50, 0, 20), (100, 50, 10, 20)),
    ((100, 10, 20, 0), (100, 10, 30, 0)),
    ((101, 60, 0, 0), (101, 60, 0, 0)),
])  # fmt: skip
def test_what_a_load_does_to_the_counters(before, after) -> None:
    assert Entitlement.parse(entitled()).apply(Counters(*before)) == Counters(*after)


@pytest.mark.parametrize(("action", "officer", "number", "good"), [
    (ScriptAction.BLOCK, 0, 1, True), (ScriptAction.PIN_RESET, 1, 1, True),
    (ScriptAction.BLOCK, 1, 1, False), (ScriptAction.UNBLOCK, 1, 1, False),
    (ScriptAction.PIN_UNBLOCK, 1, 1, False), (ScriptAction.PIN_RESET, 0, 1, False),
    (ScriptAction.BLOCK, 0, 0, False), (ScriptAction.BLOCK, 0, 0xFFFF, True),
])  # fmt: skip
def test_a_script_at_its_borders(action, officer, number, good) -> None:
    body = Script.encode_body(env=ENV, card_id=bytes(8), number=number, action=action,
                              officer=officer, issued=DAY, key_version=7)  # fmt: skip
    if good:
        read = Script.parse(body + bytes(64))
        assert (read.action, read.officer, read.number) == (action, officer, number)
        assert (read.issued, read.key_version) == (DAY, 7)
    else:
        with pytest.raises(FormatError):
            Script.parse(body + bytes(64))


def received(**changes: object) -> bytes:
    fields = {
        "env": ENV, "kind": ReceiptKind.DEBIT, "card_id": bytes(8), "sequence": 1, "wallet": 1,
        "basket_version": 1, "amount": 1, "counters": Counters(10, 4, 6, 0),
        "terminal_id": b"T1234567", "terminal_serial": 2, "officer": 3, "terminal_sequence": 4,
        "terminal_time_s": 5, "intent_hash": bytes(32), "verification": receipt.Verification.PIN,
        "interface": receipt.Interface.CONTACT, "entitlement_sequence": 6, "script_count": 7,
        "pin_set_count": 8, "bypass_count": 9, "card_date": DAY, "link": bytes(32),
    }  # fmt: skip
    return Receipt.encode_body(**(fields | changes)) + bytes(64)  # type: ignore[arg-type]


@pytest.mark.parametrize(("changes", "good"), [
    ({}, True), ({"sequence": 0}, False), ({"amount": 0}, False),
    ({"counters": Counters(10, 4, 0, 4)}, True), ({"counters": Counters(10, 4, 0, 5)}, False),
    ({"counters": Counters(10, 4, 7, 0)}, False), ({"counters": Counters(10, 4, 8, 2)}, True),
    ({"counters": Counters(10, 4, 9, 2)}, False), ({"counters": Counters(10, 11, 0, 0)}, False),
])  # fmt: skip
def test_a_receipt_at_its_borders(changes, good) -> None:
    if good:
        read = Receipt.parse(received(**changes))
        assert [read.amount, read.sequence, read.officer, read.bypass_count] == [1, 1, 3, 9]
        assert read.counters == changes.get("counters", Counters(10, 4, 6, 0))
    else:
        with pytest.raises(FormatError):
            Receipt.parse(received(**changes))


def test_raw_objects_of_another_size_domain_or_version() -> None:
    good = received()
    for bad in (good[:-1], good + b"\0", b"XT" + good[2:], b"BX" + good[2:], b"BTS" + good[3:],
                good[:3] + b"\0" + good[4:], good[:3] + b"\2" + good[4:],
                good[:4] + b"\0" + good[5:]):  # fmt: skip
        with pytest.raises(FormatError):
            Receipt.parse(bad)
    assert raw.layout("154s").size == 154
    with pytest.raises(FormatError):
        raw.layout("155s")


# Logs, chains, bundles


def record(sequence: int = 1, previous: bytes = bytes(32), time_s: int = 5) -> log.Record:
    return log.Record.make(sequence, previous, time_s, log.Boot("1"))


def test_records_at_their_borders() -> None:
    for sequence, time_s in ((1, 0), (2**32 - 1, 2**32 - 1)):
        made = record(sequence, time_s=time_s)
        assert log.Record.parse(made.raw) == made
    for sequence, previous, time_s in ((0, bytes(32), 0), (2**32, bytes(32), 0), (-1, bytes(32), 0),
                                       (1, bytes(32), -1), (1, bytes(32), 2**32),
                                       (1, bytes(31), 0), (1, bytes(33), 0)):  # fmt: skip
        with pytest.raises(FormatError):
            record(sequence, previous, time_s)
        with pytest.raises(FormatError):
            log.Record.parse(cbor.encode([sequence, previous, time_s, 1, ["1"]]))


@pytest.mark.parametrize("item", [
    [True, bytes(32), 0, 1, ["1"]], [1, bytes(32), True, 1, ["1"]], [1, "x" * 32, 0, 1, ["1"]],
    [1, bytes(32), 0, True, ["1"]], [1, bytes(32), 0, 0, ["1"]], [1, bytes(32), 0, 24, ["1"]],
    [1, bytes(32), 0, None, ["1"]], [1, bytes(32), 0, 1, ["1", 1]], [None, bytes(32), 0, 1, ["1"]],
])  # fmt: skip
def test_a_record_of_another_form(item) -> None:
    with pytest.raises(FormatError):
        log.Record.parse(cbor.encode(item))


def test_a_chain_of_records() -> None:
    one = record(4)
    two = log.Record.make(5, one.hash, 5, log.Boot("2"))
    assert log.check_chain([one, two], bytes(32), 4) == two.hash
    assert log.check_chain([], b"x", 1) == b"x"
    early = log.Record.make(5, one.hash, 4, log.Boot("2"))
    gap = log.Record.make(6, one.hash, 5, log.Boot("2"))
    again = log.Record.make(4, one.hash, 5, log.Boot("2"))
    loose = log.Record.make(5, bytes(32), 5, log.Boot("2"))
    above = log.Record.make(5, b"\xff" * 32, 5, log.Boot("2"))
    for bad in (early, gap, again, loose, above):
        with pytest.raises(FormatError):
            log.check_chain([one, bad], bytes(32), 4)
    for first in (3, 5):
        with pytest.raises(FormatError):
            log.check_chain([one], bytes(32), first)


GOOD_UPLOAD = bytes.fromhex(vectors.upload()["accept"][0]["bytes"])


def test_an_upload_of_another_form(monkeypatch) -> None:
    good = GOOD_UPLOAD
    signed, items = cbor2.loads(good)
    read = log.Upload.parse(good)
    assert bytes(read) == good
    for bad in ([signed, []], [signed, items[:-1]], [signed, [*items, items[-1]]],
                [signed, items, 1], [items, signed], [signed, [1, *items[1:]]],
                [signed, items[1:]]):  # fmt: skip
        with pytest.raises(FormatError):
            log.Upload.parse(cbor.encode(bad))
    head = read.head
    for by in (-1, 1):
        other = replace(head, last=head.last + by)
        signed_anew = vectors.sign_object(other)
        with pytest.raises(FormatError, match="counts other records"):
            log.Upload.parse(cbor.encode([signed_anew, items]))
    monkeypatch.setattr(log, "MAX_UPLOAD_RECORDS", len(items))
    assert log.Upload.parse(good) == read
    monkeypatch.setattr(log, "MAX_UPLOAD_RECORDS", len(items) - 1)
    with pytest.raises(FormatError, match="too many"):
        log.Upload.parse(good)


@pytest.mark.parametrize("kind", list(chain.IssuanceKind))
def test_optional_fields_stand_where_their_kind_needs_them(kind) -> None:
    is_card = kind == chain.IssuanceKind.CARD_CERTIFICATE
    plain = dict.fromkeys(("family", "order", "predecessor", "cause"))
    card = plain | {"family": b"f" * 32, "order": b"o" * 32}
    every = {f.name: f for f in dataclasses.fields(chain.IssuanceEntry)}
    assert set(card) <= set(every)
    base = card if is_card else plain
    entry = object.__new__(chain.IssuanceEntry)
    for name, value in (base | {"kind": kind}).items():
        object.__setattr__(entry, name, value)
    entry.check()
    wrongs = [("family", b"f" * 32), ("order", b"o" * 32), ("predecessor", bytes(8))]
    wrongs = [(n, None if is_card and n != "predecessor" else v) for n, v in wrongs
              if not (is_card and n == "predecessor")]  # fmt: skip
    if kind != chain.IssuanceKind.ENTITLEMENT:
        wrongs.append(("cause", object()))
    for name, value in wrongs:
        object.__setattr__(entry, name, value)
        with pytest.raises(FormatError):
            entry.check()
        object.__setattr__(entry, name, base[name])


def posted(*amounts: tuple[str, int], sequence: int = 1, previous: bytes = chain.GENESIS):
    postings = tuple(chain.Posting("a", good, n) for good, n in amounts)
    return chain.LedgerEntry(sequence, previous, 5, "funds", bytes(32), postings)


def test_a_ledger_entry_balances_good_by_good() -> None:
    posted(("r", 5), ("r", -5), ("b", 2), ("b", -2)).check()
    for bad in ((), (("r", 5),), (("r", 5), ("b", -5)), (("r", 5), ("r", -4)), (("r", -5),),
                (("r", 1), ("r", -2), ("b", 1))):  # fmt: skip
        with pytest.raises(FormatError):
            posted(*bad).check()


def test_a_chain_of_entries() -> None:
    one = posted(("r", 5), ("r", -5))
    two = posted(("r", 5), ("r", -5), sequence=2, previous=one.hash)
    assert chain.check_entries([one, two]) == two.hash
    assert chain.check_entries([]) == chain.GENESIS
    for bad in ([two], [one, one], [one, replace(two, sequence=3)], [replace(one, sequence=0)],
                [one, replace(two, previous=bytes(32))], [replace(one, previous=b"\xff" * 32)],
                [one, replace(two, previous=b"\xff" * 32)]):  # fmt: skip
        with pytest.raises(FormatError):
            chain.check_entries(bad)


def test_a_bundle_file_at_its_largest(monkeypatch) -> None:
    packed = bundle.pack(b"x" * 100)
    assert packed == zlib.compress(b"x" * 100, 9)
    monkeypatch.setattr(bundle, "MAX_BUNDLE_BYTES", 100)
    assert bundle.unpack(packed) == b"x" * 100
    monkeypatch.setattr(bundle, "MAX_BUNDLE_BYTES", 99)
    with pytest.raises(FormatError, match="too long"):
        bundle.unpack(packed)


@pytest.mark.parametrize(("base", "good"), [(0, True), (8, True), (9, False), (10, False)])
def test_a_delta_builds_on_something_older(base: int, good: bool) -> None:
    made = replace(vectors.sample_bundle(), counter=9, base=base)
    if good:
        made.check()
    else:
        with pytest.raises(FormatError):
            made.check()


def test_the_environment_is_the_one_byte_that_stands_there() -> None:
    assert raw.domain(b"R", Environment.LIVE) == b"BTR\x01\x01"
    assert private_key(ROOT).private_numbers().private_value == ROOT


def test_what_verifies_is_given_back() -> None:
    body = Script.encode_body(env=ENV, card_id=bytes(8), number=1, action=ScriptAction.BLOCK,
                              officer=0, issued=DAY, key_version=1)  # fmt: skip
    script = Script.parse(body + sign(ROOT, body))
    assert script.verify(point(ROOT)) is script
    e = Entitlement.parse(entitled())
    assert e.verify(point(ROOT)) is e
