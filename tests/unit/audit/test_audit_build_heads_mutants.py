"""Published heads held to the chains of a hamlet."""

from __future__ import annotations

from hashlib import sha256

import pytest

from backend import ledger
from backend.audit.build import check_head, kind_of, open_head, open_trust
from backend.audit.facts import Fact
from keys.errors import RevokedKeyError
from keys.hierarchy import Heads
from keys.signer import sign_object
from tests.support.audit_files import chain_issuance
from tests.support.audit_small import Small
from tests.support.audit_world import START_S
from tests.unit.audit.test_audit_build_mutants import A, Hamlet, aside, broken, entries, flip
from wire.chain import GENESIS, LedgerEntry, TrustFile
from wire.cose import Sign1
from wire.invariants import Invariant
from wire.objects import (
    IssuanceHead,
    KeyRole,
    LedgerHead,
)

SIGNATURES = Invariant.SIGNATURES


# --- heads ------------------------------------------------------------


def head(x: Hamlet, shape, sequence: int, digest: bytes, time_s: int = START_S) -> bytes:
    signer = x.w.keys.signer(KeyRole.ACK)
    return bytes(sign_object(signer, shape(sequence, digest, time_s), x.w.env))


def test_the_newest_heads_cover_both_chains() -> None:
    x = Hamlet()
    x.w.post(ledger.debit(A, 2, 5))
    export = x.w.finish()
    book, issuance = export.heads
    n, m = len(export.ledger), len(export.issuance)
    missing = Fact.HEAD_MISSING
    assert broken(x.world(heads=(issuance,))) == [("ledger-head", missing)]
    assert broken(x.world(heads=(book,))) == [("issuance-head", missing)]
    hashes = [sha256(r).digest() for r in (export.ledger[n - 2], export.issuance[m - 2])]
    old = head(x, LedgerHead, n - 1, hashes[0]), head(x, IssuanceHead, m - 1, hashes[1])
    assert broken(x.world(heads=old)) == [("issuance-head", missing), ("ledger-head", missing)]
    assert broken(x.world(heads=(book, issuance, *old))) == []
    assert broken(x.world(heads=(*old, book, issuance))) == []


def test_a_head_of_another_chain_is_named_by_its_place() -> None:
    x = Hamlet()
    book, issuance = x.w.finish().heads
    wrong = head(x, LedgerHead, 1, A), head(x, IssuanceHead, 2, A)
    world = x.world(heads=(book, *wrong, issuance))
    assert broken(world) == [("heads/2", Fact.HEAD_OTHER), ("heads/3", Fact.HEAD_OTHER)]
    told = [dict(f.what.values)["number"] for f in world.chain_faults]
    assert told == [1, 2]


def test_a_head_beyond_the_chain_is_another_one_and_hides_nothing() -> None:
    x = Hamlet()
    x.w.post(ledger.debit(A, 2, 5))
    export = x.w.finish()
    n, m = len(export.ledger), len(export.issuance)
    beyond = head(x, LedgerHead, n + 1, A), head(x, IssuanceHead, m + 1, A)
    world = x.world(heads=(*export.heads, *beyond))
    assert broken(world) == [("heads/3", Fact.HEAD_OTHER), ("heads/4", Fact.HEAD_OTHER)]


def test_a_head_that_does_not_verify_is_set_aside_and_covers_nothing() -> None:
    x = Hamlet()
    x.w.post(ledger.debit(A, 2, 5))
    book, issuance = x.w.finish().heads
    world = x.world(heads=(flip(book), issuance, b"\xff"))
    assert [(n, s, owner) for n, _, s, owner in aside(world)] == [
        (SIGNATURES, "heads/1", "ack"), (SIGNATURES, "heads/3", "ack")
    ]  # fmt: skip
    assert broken(world) == [("ledger-head", Fact.HEAD_MISSING)]
    assert sha256(b"\xff").digest() in world.aside_names


def test_a_chain_of_one_entry_needs_its_head() -> None:
    x = Hamlet()
    x.w.post(ledger.debit(A, 2, 5))
    export = x.w.finish()
    one = {"issuance": export.issuance[:1], "ledger": export.ledger[:1]}
    world = x.world(**one, heads=(), objects={}, uploads=())
    missing = [("issuance-head", Fact.HEAD_MISSING), ("ledger-head", Fact.HEAD_MISSING)]
    assert broken(world) == missing
    bad = tuple(flip(raw) for raw in export.heads)  # signed by nobody: they cover nothing
    assert broken(x.world(**one, heads=bad, objects={}, uploads=())) == missing
    assert [kind_of(raw) for raw in (*export.heads, b"\xff")] == [
        "ledger-head",
        "issuance-head",
        "",
    ]


def test_empty_chains_need_no_heads() -> None:
    x = Hamlet()
    world = x.world(issuance=(), ledger=(), heads=(), objects={}, uploads=())
    assert broken(world) == []


@pytest.mark.parametrize(("at", "named", "is_right"), [
    (1, 1, True), (3, 3, True), (3, 2, False), (2, 1, False), (0, 3, False), (4, 3, False),
    (4, 1, False),
])  # fmt: skip
def test_a_head_names_an_entry_of_the_chain(at: int, named: int, is_right: bool) -> None:
    world = Small().world
    every = [LedgerEntry.parse(r) for r in entries((1, 2, 3))]
    check_head(world, LedgerHead(at, every[named - 1].hash, 1), every, "x")
    assert broken(world) == ([] if is_right else [("x", Fact.HEAD_OTHER)])


@pytest.mark.parametrize("shape", [LedgerHead, IssuanceHead])
@pytest.mark.parametrize(
    ("sequence", "digest", "is_honoured"),
    [(6, GENESIS, True), (7, A, True), (7, GENESIS, False), (8, A, False), (9, GENESIS, False)],
)
def test_a_head_of_a_revoked_key_counts_up_to_the_one_its_revocation_names(
    shape: type, sequence: int, digest: bytes, is_honoured: bool
) -> None:
    x = Hamlet()
    key, t = x.w.keys.signer(KeyRole.ACK).public_key, x.w.keys.trust
    heads = Heads(7, A, 3, bytes(32)) if shape is LedgerHead else Heads(3, bytes(32), 7, A)
    revoked = x.w.keys.root.revoke(key, heads, now_s=x.w.now_s)
    trust = bytes(TrustFile(t.environment, t.root_key, t.statements, (revoked,)))
    store = open_trust(trust, allow_demo=True, log=lambda: Small().world)
    raw = head(x, shape, sequence, digest)
    if is_honoured:
        assert open_head(store, shape, raw).sequence == sequence
    else:
        with pytest.raises(RevokedKeyError):
            open_head(store, shape, raw)
    assert chain_issuance([]) == ([], GENESIS)


def test_what_a_revoked_key_signed_counts_as_far_as_a_published_head_covers_it() -> None:
    x = Hamlet()
    w, t = x.w, x.w.keys.trust
    covered = IssuanceHead.parse(Sign1.parse(w.chain()[2][1]).payload)
    w.station(b"TERM0002", "Dua")
    registry = w.keys.signer(KeyRole.REGISTRY).public_key
    heads = Heads(0, bytes(32), covered.sequence, covered.head)
    raw = w.keys.root.revoke(registry, heads, now_s=w.now_s)
    world = x.world(trust=bytes(TrustFile(t.environment, t.root_key, t.statements, (raw,))))
    revoked = [fact for _, fact, _, _ in aside(world) if fact == Fact.KEY_REVOKED]
    assert len(revoked) == 2  # the enrolment, in the log and among the objects
    assert set(world.stations) == {x.one.name}
    assert [p.code for p in world.programmes().values()] == [1, 2, 3]
