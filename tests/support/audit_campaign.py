"""The auditor's campaign: provinces with one named fraud or none, and one province with many.

A fraud is committed in a village drawn from the seed, at the end of the history of which it is
part. Its *traces* are what it added, changed or took away, so that each finding can be held to
it: the facts of its row in ``audit_authors``, each at one of its traces, and no other finding.
"""

from __future__ import annotations

import random
import re
import resource
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

from backend.audit.build import build
from backend.audit.findings import Finding
from backend.audit.model import World
from backend.audit.registry import Rule
from backend.audit.rules import RULES, judge
from backend.ledger import Transfer
from tests.sim.test_frauds import FRAUDS
from tests.support.audit_authors import EXPECTED
from tests.support.audit_province import Province, renewed, tell_province
from tests.support.audit_story import Story
from tests.support.audit_world import AuditWorld
from tests.support.campaign import FaultError
from wire import log
from wire.chain import IssuanceKind
from wire.cose import Sign1
from wire.errors import WireError
from wire.invariants import Invariant
from wire.log import Upload
from wire.objects import Decision, DecreeAnnex, Enrolment, Hotlist
from wire.receipt import Receipt

SIZE = 500
VILLAGES = 3
CLEAN_EVERY = 4
NAMES = tuple(EXPECTED)
CARD_AT = re.compile(r"^([0-9a-f]{16})/(\d+)$")


@dataclass(frozen=True)
class Snapshot:
    """How a world stood before a fraud."""

    records: dict[bytes, int]
    uploads: dict[bytes, int]
    ledger: list[tuple[int, Transfer]]
    issuance: dict[int, int]
    objects: dict[str, int]
    cards: dict[bytes, int]
    heads: int


def snapshot(w: AuditWorld) -> Snapshot:
    """Of this world, now."""
    return Snapshot(
        {s.name: len(s.records) for s in w.stations},
        {s.name: len(s.uploads) for s in w.stations},
        list(w.ledger),
        {id(e): e["time_s"] for e in w.issuance},
        {kind: len(items) for kind, items in w.objects.items()},
        {c.card_id: c.sequence for c in w.cards},
        len(w.old_heads),
    )


def traces(w: AuditWorld, before: Snapshot) -> set[object]:
    """What is new, changed or gone: names as findings and their evidence have them."""
    found: set[object] = set()
    raws: list[bytes] = []
    for s in w.stations:
        new = s.records[before.records.get(s.name, 0) :]
        heads = (Upload.parse(u) for u in _sound(s.uploads[before.uploads.get(s.name, 0) :]))
        sent = set(chain.from_iterable(range(h.head.first, h.head.last + 1) for h in heads))
        found |= {f"{s.name.hex()}/{n}" for n in {r.sequence for r in new} | sent}
        found |= {s.name.hex()} if new else set()
        found |= {r.hash.hex() for r in new}
        raws += [bytes(r.raw) for r in new]
        found |= set(chain.from_iterable(_receipts(r.body) for r in new))
    then = Counter((t, id(x)) for t, x in before.ledger)
    now = Counter((t, id(x)) for t, x in w.ledger)
    changed = {n for _, n in (now - then) + (then - now)}
    both = chain(w.ledger, before.ledger)
    found |= {f"ledger:{x.evidence.hex()}" for _, x in both if id(x) in changed}
    entries = [e for e in w.issuance if before.issuance.get(id(e)) != e["time_s"]]
    found |= {id(e) for e in entries}
    found |= {e["item"][5:13].hex() for e in entries if e["kind"] == IssuanceKind.ENTITLEMENT}
    raws += [e["item"] for e in entries]
    for kind, items in w.objects.items():
        new_objects = items[before.objects[kind] :]
        found |= set(new_objects)
        raws += new_objects
        found |= set(chain.from_iterable(_named(kind, raw) for raw in new_objects))
    for c in w.cards:
        was = before.cards.get(c.card_id)
        found |= {f"{c.card_id.hex()}/{n}" for n in range((was or 0) + 1, c.sequence + 1)}
        if was != c.sequence or any(c.card_id in raw for raw in raws):
            found.add(c.card_id.hex())
    found |= {f"heads/{n + 1}" for n in range(before.heads, len(w.old_heads))}
    return found


def _sound(uploads: list[bytes]) -> list[bytes]:
    sound = []
    for raw in uploads:
        try:
            Upload.parse(raw)
        except WireError:
            continue
        sound.append(raw)
    return sound


def _receipts(body: object) -> list[str]:
    raw = b""
    match body:
        case log.Receipted(receipt=raw) | log.Collected(item=raw):
            pass
    if raw[2:3] != b"R":
        return []
    r = Receipt.parse(raw)
    return [f"{r.card_id.hex()}/{r.sequence}", r.card_id.hex(), r.hash.hex()]


def _named(kind: str, raw: bytes) -> list[str]:
    payload, name = Sign1.parse(raw).payload, Sign1.parse(raw).hash.hex()
    match kind:
        case Decision.KIND:
            d = Decision.parse(payload)
            return [name, d.number, *(f"{d.card_id.hex()}/{n}" for n in range(d.first, d.last + 1))]
        case DecreeAnnex.KIND:
            annex = DecreeAnnex.parse(payload)
            return [name, *(f"{annex.number}/{r.row}" for r in annex.rows)]
        case Enrolment.KIND:
            return [name, Enrolment.parse(payload).station.hex()]
        case Hotlist.KIND:
            return [name, f"hotlist/{Hotlist.parse(payload).version}"]
    return [name]


def is_at(w: AuditWorld, finding: Finding, of: set[object]) -> bool:
    """Whether a finding is about one of these traces."""
    subject, evidence = finding.subject, finding.evidence
    head, _, rest = subject.partition("/")
    if head == "ledger":
        return f"ledger:{evidence[0]}" in of or (rest == "missing" and evidence[0] in of)
    if head == "issuance":
        return id(w.issuance[int(rest) - 1]) in of
    if head == "objects":
        kind, number = rest.split("/")
        return w.objects[kind][int(number) - 1] in of
    if head == "uploads":
        station, first, last = rest.removesuffix(".cbor").split("-")
        return any(f"{station}/{n}" in of for n in range(int(first), int(last) + 1))
    if subject in of:
        return True
    is_of_wallet = any(subject.endswith(f"/{wallet}") for wallet in w.programmes)
    return head in of and (is_of_wallet or not CARD_AT.match(subject))


def commit(p: Province, name: str, s: Story) -> set[object]:
    """Commit a fraud in a village; its traces."""
    for station in (s.one, s.two):
        renewed(p, station, 3 * 86_400)
    before = snapshot(p.w)
    FRAUDS[name][1](s)
    if name in LATE:
        p.w.deaf.add(s.two.name)
    found = traces(p.w, before)
    if name == "forfeited_only_on_paper":  # an entry over a receipt of the honest story
        found.add(s.cards[0].card_id.hex())
    return found


def check(  # the oracle
    w: AuditWorld, world: World, committed: dict[str, set[object]],
    rules: dict[Invariant, Rule] = RULES,
) -> int:  # fmt: skip
    """Hold the auditor to what was committed; how many findings. Raises :class:`FaultError`."""
    wanted = Counter(
        (name, FRAUDS[name][0], fact) for name in committed for fact in EXPECTED[name][1]
    )
    seen: Counter[tuple[str, Invariant, object]] = Counter()
    false: list[str] = []
    for f in judge(world, rules):
        names = [name for name, of in committed.items() if is_at(w, f, of)]
        fitting = [n for n in names if (n, f.invariant, f.what.fact) in wanted]
        if fitting:
            seen[fitting[0], f.invariant, f.what.fact] += 1
        else:
            false.append(f"{f.invariant.name} {f.what.fact} at {f.subject}, traces of {names}")
    if false or seen != wanted:
        missed, more = dict(wanted - seen), dict(seen - wanted)
        raise FaultError(f"false alarms: {false}; not found: {missed}; too often: {more}")
    return sum(seen.values())


def piece(seed: int, number: int, size: int = SIZE) -> Counter[str]:
    """One export with the fraud whose turn it is, or none."""
    turn, rest = divmod(number, CLEAN_EVERY)
    name = None if rest == 0 else NAMES[(turn * (CLEAN_EVERY - 1) + rest - 1) % len(NAMES)]
    p = tell_province(seed * 1_000_003 + number, size, VILLAGES)
    committed = {} if name is None else {name: commit(p, name, p.any_village())}
    export = p.w.finish()
    world = build(export, p.w.trust, allow_demo=True)
    found = check(p.w, world, committed)
    return Counter({"receipts": len(world.receipts), "exports": 1, "clean": int(name is None),
                    "frauds": len(committed), "findings": found})  # fmt: skip


def together(seed: int, size: int, names: Sequence[str]) -> tuple[Province, dict[str, set[object]]]:
    """A province with all these frauds at once, each in a village of its own."""
    p = tell_province(seed, size, max(len(names), size // 1_000))
    places = random.Random(seed).sample(p.villages, len(names))  # noqa: S311 - repeatable
    return p, {name: commit(p, name, s) for name, s in zip(names, places, strict=True)}


def big(seed: int, number: int, size: int) -> Counter[str]:
    """One export of this size with every fraud that can stand beside the others.

    Prints how long its parts took (CPU) and the memory used.
    """
    times = [time.process_time()]
    p, committed = together(seed + number, size, TOGETHER)
    export, trust, w = p.w.finish(), p.w.trust, p.w
    times.append(time.process_time())
    world = build(export, trust, allow_demo=True)
    times.append(time.process_time())
    found = check(w, world, committed)
    times.append(time.process_time())
    made, built, judged = (round(b - a, 1) for a, b in pairwise(times))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"CPU s: made {made}, verified {built}, judged {judged}; {memory} MB")  # noqa: T201
    return Counter({"receipts": len(world.receipts), "exports": 1, "frauds": len(committed),
                    "findings": found})  # fmt: skip


ALONE = {
    "an_upload_under_another_key": "a reserve that waits for its station is not judged",
    "a_training_log": "the same",
}
AGED = (
    "a_pin_set_that_nobody_can_explain", "a_receipt_that_never_came",
    "under_an_expired_certificate", "goods_kept_after_a_void", "two_terminals_two_days_apart",
    "before_the_entitlement_was_dated", "an_entitlement_issued_after_its_use",
    "outside_the_window", "what_had_expired", "a_receipt_of_another_day",
    "paid_without_a_hand_over", "settled_twice",
    "a_reserve_never_cleared", "more_moved_than_was_left",
)  # fmt: skip
"""First: those that take days, so that nothing of the others ages meanwhile; those that stand on
every terminal's knowing of a block."""
LATE = (
    "a_reserve_never_booked", "a_reserve_booked_too_high", "more_than_the_provisional_amount",
    "a_reserve_cleared_by_the_wrong_terminal", "a_reserve_cleared_by_an_older_sync",
    "a_reserve_cleared_while_an_intent_is_pending", "records_taken_out_of_an_upload",
)  # fmt: skip
"""Last: the stations of these never hear of anything again."""
TOGETHER = (*AGED, *(n for n in NAMES if n not in {*ALONE, *AGED, *LATE}), *LATE)
