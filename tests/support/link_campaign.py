"""The link cut after every byte, on T=0, T=1 and vpcd, with three restarts (PROTOCOL.md §8).

One piece is one cut: (stage, protocol, byte). The visit of the stage runs over a link that dies
there; what is left goes on in three ways, each from the same moment: the same terminal after a
card reset, the same terminal as a new process on its reopened stores, and another terminal, after
which the first hears of the receipt by a bundle and meets the card again.

A clerk stands between: goods move only when the screen says so, and after a crash the clerk is
asked. At the end the books must be one: see `check`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from random import Random

from card_os.host.links import LinkError
from card_os.reference.purse_store import PurseStore
from tests.support.campaign import FaultError
from tests.support.link_lines import PROTOCOLS, Connect, carried
from tests.support.link_stages import STAGES, Stage, pay
from tests.support.link_world import Image, World, fork_card, must_visit, purse_of
from tests.support.terminal_world import (
    CASH,
    Terminal,
    entry,
)
from wire.log import Reason, Record, RecordType, check_chain
from wire.receipt import Receipt, ReceiptKind

GIB = 1 << 30
AFTERWARDS = 5
# What may be noted of a card whose line was cut: nothing that keeps it from its holder
NO_BLAME = {Reason.DEAD_CARD, Reason.FOREIGN_CARD, Reason.NOT_ACTIVE}


# --- what must hold -------------------------------------------------------------------------------


def _records(terminal: Terminal) -> list[Record]:
    records = terminal.journal.records(0, GIB)
    check_chain(records, terminal.genesis, 1)
    terminal.journal.check()
    return records


def _of(records: Sequence[Record], *kinds: RecordType) -> list[Record]:
    return [r for r in records if r.kind in kinds]


def check(world: World) -> None:
    """Chains verify; nothing is pending; each receipt of the card stands once in its own chain.

    Balance + receipts = issued, per wallet; every intent has one outcome; what families hold is
    what the card was debited, and what the records say. Raises FaultError.
    """
    store = purse_of(world.card)
    on_card = [
        Receipt.parse(store.receipt(store.card, s) or b"")
        for s in range(1, store.card.sequence + 1)
    ]
    chains = {t.station: _records(t) for t in world.terminals}
    for terminal in world.terminals:
        _check_closed(terminal)
        _check_outcomes(chains[terminal.station])
        own = [r.raw for r in on_card if r.terminal_id == terminal.station]
        kept = [r.body.receipt for r in _of(chains[terminal.station], RecordType.RECEIPT)]
        if sorted(own) != sorted(kept):
            raise FaultError(f"{len(own)} receipts of the card, {len(kept)} in its chain")
    _check_money(world, store, on_card, chains)
    _check_counts(world, store)


def _check_closed(terminal: Terminal) -> None:
    journal = terminal.journal
    for name, left in (("pending", journal.open_intents()), ("undelivered", journal.undelivered()),
                       ("in suspense", journal.suspended())):  # fmt: skip
        if left:
            raise FaultError(f"still {name}: {[x.sequence for x in left]}")


def _check_outcomes(records: list[Record]) -> None:
    outcomes = Counter(r.body.intent for r in _of(records, RecordType.RECEIPT, RecordType.ABORTED))
    intents = {r.sequence for r in _of(records, RecordType.INTENT, RecordType.VOID)}
    if outcomes != Counter(intents):
        raise FaultError(f"outcomes {outcomes} of intents {intents}")
    delivered = Counter(r.body.intent for r in _of(records, RecordType.DELIVERED))
    if any(n > 1 for n in delivered.values()):
        raise FaultError("goods handed over twice")


def _check_money(
    world: World, store: PurseStore, receipts: list[Receipt], chains: dict[bytes, list[Record]]
) -> None:
    issued = {e.wallet: e.loaded for e in world.entitlements}
    for wallet in store.wallets(store.card):
        mine = [r for r in receipts if r.wallet == wallet.code]
        taken = sum(r.amount if r.kind == ReceiptKind.DEBIT else -r.amount for r in mine)
        if wallet.counters.balance + taken != issued[wallet.code]:
            raise FaultError(f"balance and receipts are not what was issued: {wallet}")
        if world.clerk.given[wallet.code] != taken:
            raise FaultError(f"families hold {world.clerk.given}, the card paid {taken}")
    noted = Counter[int]()
    for records in chains.values():
        intents = {r.sequence: r.body for r in _of(records, RecordType.INTENT)}
        voids = {r.sequence: r.body.intent for r in _of(records, RecordType.VOID)}
        for r in _of(records, RecordType.DELIVERED):
            noted[intents[r.body.intent].wallet] += intents[r.body.intent].amount
        for r in _of(records, RecordType.RETURNED):
            debit = intents[voids[r.body.void]]
            noted[debit.wallet] -= debit.amount
    if +noted != +world.clerk.given:
        raise FaultError(f"families hold {world.clerk.given}, the records say {noted}")


def _check_counts(world: World, store: PurseStore) -> None:
    """The counts of PIN sets and scripts are proven at the terminal that saw the card last."""
    memory = [t.journal.card(world.card.card_id) for t in world.terminals]
    card = store.card
    proven = max(m.pin_set_count for m in memory), max(m.script_count for m in memory)
    if proven != (card.pin_set_count, card.script_count):
        raise FaultError(f"PIN sets and scripts proven {proven}, of the card {card}")
    if max(m.sequence for m in memory) != card.sequence:
        raise FaultError("the newest receipt is known to neither terminal")


# --- restarts -------------------------------------------------------------------------------------


def _work(world: World, terminal: Terminal) -> None:
    """The terminal serves the card: what is open is settled, and a debit more is made."""
    with must_visit(terminal, world.card) as visit:
        world.clerk.settle(terminal, visit)


def _one_more(world: World, terminal: Terminal) -> None:
    with must_visit(terminal, world.card) as visit:
        world.clerk.settle(terminal, visit)
        before = world.clerk.given[CASH]
        pay(world, visit, AFTERWARDS)
        if world.clerk.given[CASH] != before + AFTERWARDS:
            raise FaultError(f"the card pays no more at {terminal.station.decode()}")


def same_terminal(world: World, stage: Stage) -> None:
    """The card comes back to the terminal where it was cut."""
    _work(world, world.here)
    stage.again(world, world.here)
    _one_more(world, world.here)


def another_terminal(world: World, stage: Stage) -> None:
    """The card goes on elsewhere; a bundle tells the first, which then sees it again."""
    _work(world, world.there)
    stage.again(world, world.there)
    _one_more(world, world.there)
    known = [
        *(r.body.receipt for r in _of(_records(world.there), RecordType.RECEIPT)),
        *(r.body.item for r in _of(_records(world.there), RecordType.COLLECTED)
          if r.body.item[2:3] == b"R"),
    ]  # fmt: skip
    store = purse_of(world.card)
    home = {Receipt.parse(raw).sequence for raw in known}
    if home != set(range(1, store.card.sequence + 1)):
        raise FaultError(f"the other terminal carries home {home} of {store.card.sequence}")
    wanted = {row.expected + 1 for row in world.here.journal.open_intents()}
    resolved = tuple(raw for raw in known if Receipt.parse(raw).sequence in wanted)
    world.here.clock.now_s = max(t.clock.now_s for t in world.terminals)
    world.here.engine.install(world.here.bundle(
        entry(world.card, *world.entitlements, resolved=resolved)))  # fmt: skip
    if world.here.journal.open_intents():
        raise FaultError("still pending, though the bundle brought the receipt")
    world.clerk.settle_counter(world.here)
    _work(world, world.here)
    stage.again(world, world.here)
    _one_more(world, world.here)


# --- pieces ---------------------------------------------------------------------------------------


Walked = dict[tuple[object, ...], Counter[str]]


def cut(
    stage: Stage, protocol: str, connect: Connect, byte: int, walked: Walked | None = None
) -> Counter[str]:
    """One cut and its three restarts; raises FaultError.

    ``walked`` holds what came of the restarts from moments met before: where the cut left the very
    same journal, card memory, goods and engine, they are the same again and are not walked anew.
    """
    world = stage.world()
    with suppress(LinkError), closing(connect(world.card, byte)) as link:
        stage.act(world, link)
    world.card.power_off()
    seen = Counter({f"cuts, {stage.name}": 1, f"cuts, {protocol}": 1})
    seen += _left(world)
    moment = _moment(stage, world)
    if walked is None or moment not in walked:
        try:
            came = _restarts(stage, world)
        except FaultError as fault:
            raise FaultError(f"{stage.name}, {protocol}, byte {byte}, {fault}") from fault
        seen["restarts walked"] += len(RESTARTS)
        seen["different moments"] += 1
        if walked is None:
            return seen + came
        walked[moment] = came
    return seen + walked[moment]


def _moment(stage: Stage, world: World) -> tuple[object, ...]:
    """Everything that the restarts begin with."""
    engine, card = world.here.engine, world.card
    return (
        stage.name, repr(world.clerk), world.here.journal.head(), engine._seen_s,
        engine._clock_noted, world.here.clock.now_s, card.nvm.digest(), card.drop_answer_of,
    )  # fmt: skip


def _restarts(stage: Stage, world: World) -> Counter[str]:
    """All of `RESTARTS` from this moment; raises FaultError."""
    here, there = Image.of(world.here), stage.base[2]
    seen: Counter[str] = Counter()
    for name, restart in RESTARTS.items():
        own = world
        if name != "same terminal, card reset":
            again = here.open(world.here)
            other = there.open(world.there) if name == "another terminal" else world.there
            own = World(again, other, fork_card(world.card), world.clerk.copy(),
                        world.entitlements)  # fmt: skip
        try:
            restart(own, stage)
            check(own)
        except FaultError as fault:
            raise FaultError(f"{name}: {fault}") from fault
        seen[f"restarts, {name}"] += 1
        seen += Counter(f"noted {r.kind.name}" for r in _records(own.here))
    return seen


def _left(world: World) -> Counter[str]:
    """What the cut left in the journal; that the card was not accused of it."""
    records = _records(world.here)
    blamed = {r.body.reason for r in _of(records, RecordType.REJECTED)} - NO_BLAME
    if blamed:
        raise FaultError(f"the card is turned away for the cut: {blamed}")
    return Counter({f"left {records[-1].kind.name}": 1})


RESTARTS: dict[str, Callable[[World, Stage], None]] = {
    "same terminal, new process": same_terminal,
    "another terminal": another_terminal,
    "same terminal, card reset": same_terminal,  # last: it goes on with the very engine
}


def length(stage: Stage, connect: Connect) -> int:
    """Bytes of the whole visit."""
    world = stage.world()
    with closing(connect(world.card, None)) as link:
        stage.act(world, link)
        return carried(link)


class Cuts:
    """All pieces; the seed chooses their order.

    A protocol that is not ours to measure (pcscd polls when it likes) is as long as vpcd's stream.
    """

    def __init__(
        self,
        stages: Sequence[Stage] = tuple(STAGES),
        protocols: Mapping[str, Connect] = PROTOCOLS,
    ) -> None:
        self.pieces = [
            (stage, name, connect, byte)
            for stage in stages for name, connect in protocols.items()
            for byte in range(length(stage, PROTOCOLS.get(name, PROTOCOLS["vpcd"])))
        ]  # fmt: skip
        self._orders: dict[int, list[int]] = {}
        self._walked: Walked = {}

    def __len__(self) -> int:
        return len(self.pieces)

    def piece(self, seed: int, number: int) -> Counter[str]:
        """One cut."""
        if seed not in self._orders:
            order = list(range(len(self)))
            Random(seed).shuffle(order)  # noqa: S311 - must repeat
            self._orders = {seed: order}
        return cut(*self.pieces[self._orders[seed][number]], self._walked)
