"""Reserved losses, replayed in the order of the issuance log (PROTOCOL.md §6, docs/ledger.md).

Uploads stand there by their acknowledgements, decisions, TERMINAL_LOST and certificates by
themselves; from these alone follows which stations could still debit a lost card when its
residual moved, and when each could no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from backend.audit.model import NEVER, Card, Held, Object, Place, World
from wire import dates
from wire.cvc import Role, TerminalExtension
from wire.log import RecordType
from wire.objects import Decision, DecisionKind, Hotlist, Programme, TerminalLost
from wire.receipt import ReceiptKind

Order = tuple[int, int]
"""Place in the issuance log (an upload's: of its acknowledgement), record within the upload."""


@dataclass(slots=True)
class Reserve:
    """One wallet of one lost card. ``holders``: the stations it still waits for."""

    code: int
    amount: int = 0
    lost: int = 0
    holders: set[bytes] = field(default_factory=set)

    @property
    def left(self) -> int:
        """What is reserved now."""
        return max(0, self.amount - max(0, self.lost)) if self.holders else 0


@dataclass(frozen=True, slots=True)
class Change:
    """A ledger entry that must be there: ``amount`` onto the reserve, or (negative) off it."""

    evidence: bytes
    code: int
    amount: int


@dataclass(slots=True)
class Reserves:
    """``changes`` in order; what is ``left`` per programme; moves ``above`` the provisional.

    ``unjudged``: of a programme, the stations with an upload set aside that a reserve waits for:
    what of their chains had come, and when, is not known.
    """

    changes: list[Change] = field(default_factory=list)
    left: Counter[int] = field(default_factory=Counter)
    above: list[tuple[Object, Decision]] = field(default_factory=list)
    unjudged: dict[int, set[bytes]] = field(default_factory=dict)


@dataclass(slots=True)
class _Station:
    hotlist: int = 0
    pending: tuple[int, ...] = ()


def replay(world: World) -> Reserves:
    """Every reserve from its booking to its end."""
    return _Replay(world).run()


class _Replay:
    def __init__(self, world: World) -> None:
        self.world = world
        self.result = Reserves()
        self.open: dict[tuple[bytes, int], Reserve] = {}
        self.stations = {name: _Station() for name in world.stations}
        self.moved: Counter[tuple[bytes, int]] = Counter()
        self.codes = {p.wallet: p.code for p in world.programmes().values()}

    def run(self) -> Reserves:
        if self.world.decisions(DecisionKind.MOVE):
            for order, thing in sorted(self._events(), key=lambda e: e[0]):
                self._apply(order, thing)
        for reserve in self.open.values():
            self.result.left[reserve.code] += reserve.left
        return self.result

    def _events(self) -> Iterator[tuple[Order, Any]]:
        world = self.world
        moved = {d.card_id for _, d in world.decisions(DecisionKind.MOVE)}
        for o in world.objects.values():
            if o.entry is not None and isinstance(o.payload, Decision | TerminalLost):
                yield (o.entry.sequence, 0), o
        for station in world.stations.values():
            for place in station.chain():
                at = station.arrival_order(place.record.sequence)
                if place.record.kind == RecordType.SYNC and at < NEVER:
                    yield (at, place.record.sequence), place
        for held in world.receipts.values():
            is_counted = held.receipt.hash not in world.aside_names
            if held.receipt.card_id in moved and is_counted and world.lost(held):
                yield world.arrival(held), held

    def _apply(self, order: Order, thing: Any) -> None:
        match thing:
            case Object(payload=Decision(kind=DecisionKind.MOVE) as d):
                self._move(thing, d, order[0])
            case Object(payload=Decision(kind=DecisionKind.WRITE_OFF, first=0, last=0) as d):
                self._close([self.open.get((d.card_id, d.wallet))], thing.hash)
            case Object(payload=TerminalLost() as lost):
                self._release(lost.terminal, thing.hash, order[0], is_lost=True)
            case Place():
                body, state = thing.record.body, self.stations[thing.station]
                if body.bundle in self.world.names:
                    state.hotlist = max(state.hotlist, body.hotlist_version)
                state.pending = tuple(body.pending)
                self._release(thing.station, thing.record.hash, order[0], is_lost=False)
            case Held():
                self._settled(thing)

    # --- who can debit ------------------------------------------------------------

    def _blocked(self, card_id: bytes, before: int) -> int:
        """The lowest hotlist version, entered before this place, that names the card; 0: none."""
        versions = [
            h.version
            for o, h in self.world.of(Hotlist)
            if o.entry is not None
            and o.entry.sequence < before
            and self.world.names_card(h.version, card_id)
        ]
        return min(versions, default=0)

    def _is_free(self, name: bytes, card_id: bytes, before: int) -> bool:
        """Whether this station knows of the block and lists nothing of the card as pending."""
        blocked = self._blocked(card_id, before)
        knows = 0 < blocked <= self.stations[name].hotlist
        return knows and not self._is_pending(name, card_id)

    def _is_pending(self, name: bytes, card_id: bytes) -> bool:
        asks = self.world.stations[name].asks
        found = (asks.get(n) for n in self.stations[name].pending)
        return any(a is not None and a.card_id == card_id for a in found)

    def _card_day_s(self, card: Card, before: int) -> int:
        """The start of the card's own day, as far as anything that had arrived shows it."""
        days = [card.certificate.effective]
        days += [
            h.receipt.card_date
            for h in card.receipts.values()
            if self.world.arrival_order(h) < before
        ]
        days += [
            s.statement.card_date
            for s in card.statements
            if self.world.stations[s.place.station].arrival_order(s.place.record.sequence) < before
        ]
        return dates.start_of_day_s(max(days))

    def _holders(self, card: Card, before: int, seen_s: int = NEVER) -> set[bytes]:
        """Stations open at this place of the log; ``seen_s``: certified before this time only."""
        from_s = self._card_day_s(card, before)
        acceptable = {
            name
            for (name, _), (cert, entry) in self.world.certificates.items()
            if entry.sequence < before
            and entry.time_s < seen_s
            and isinstance(cert.extension, TerminalExtension)
            and cert.extension.role in {Role.TERMINAL, Role.SUPERVISOR}
            and dates.end_of_day_s(cert.expires) >= from_s
        }
        blocked = self._blocked(card.card_id, before)
        return {
            name
            for name, station in self.world.stations.items()
            if not self._is_lost(name, before)
            and station.entry is not None
            and station.entry.sequence < before
            and (
                (name in acceptable and not 0 < blocked <= self.stations[name].hotlist)
                or self._is_pending(name, card.card_id)
            )
        }

    def _is_lost(self, name: bytes, before: int) -> bool:
        return any(
            o.entry is not None and o.entry.sequence < before and lost.terminal == name
            for o, lost in self.world.of(TerminalLost)
        )

    # --- what happens to a reserve ------------------------------------------------------------

    def _move(self, o: Object, d: Decision, at: int) -> None:
        key, code = (d.card_id, d.wallet), self.codes.get(d.wallet)
        card = self.world.cards.get(d.card_id)
        self.moved[key] += d.amount
        if card is None or code is None:
            return
        holders = self._holders(card, at)
        if not holders:
            return
        if tainted := {name for name in holders if self.world.stations[name].is_tainted}:
            self.result.unjudged.setdefault(code, set()).update(tainted)
            return
        # A station certified while the decision was being signed could not be waited for.
        if self._holders(card, at, d.time_s) and self.moved[key] > self._provisional(d, at):
            self.result.above.append((o, d))
        reserve = self.open.get(key)
        if reserve is None or not reserve.holders:
            reserve = self.open[key] = Reserve(code)
        reserve.lost = min(reserve.lost, reserve.amount)
        reserve.amount += d.amount
        reserve.holders |= holders
        self.result.changes.append(Change(o.hash, code, d.amount))

    def _provisional(self, d: Decision, at: int) -> int:
        """The programme's as of the draft, or of a version signed while the decision was."""
        before: list[tuple[int, Programme]] = []
        meanwhile = [0]
        for o, p in self.world.of(Programme):
            if p.wallet != d.wallet or o.entry is None or o.entry.sequence >= at:
                continue
            if o.entry.time_s < d.time_s:
                before.append((p.version, p))
            else:
                meanwhile.append(p.provisional)
        newest = max(before, key=lambda v: v[0])[1].provisional if before else 0
        return max(newest, *meanwhile)

    def _settled(self, held: Held) -> None:
        reserve = self.open.get((held.receipt.card_id, held.receipt.wallet))
        if reserve is None:
            return
        before, lost = reserve.left, self.world.lost(held)
        reserve.lost += lost if held.receipt.kind == ReceiptKind.DEBIT else -lost
        self._changed(held.receipt.hash, reserve.code, reserve.left - before)

    def _release(self, name: bytes, evidence: bytes, at: int, *, is_lost: bool) -> None:
        over = []
        for (card_id, _), reserve in self.open.items():
            if name not in reserve.holders or not (is_lost or self._is_free(name, card_id, at)):
                continue
            if reserve.holders == {name}:
                over.append(reserve)
            else:
                reserve.holders.discard(name)
        self._close(over, evidence)

    def _close(self, reserves: Iterable[Reserve | None], evidence: bytes) -> None:
        cleared: Counter[int] = Counter()
        for reserve in reserves:
            if reserve is not None:
                cleared[reserve.code] += reserve.left
                reserve.holders.clear()
        for code, amount in sorted(cleared.items()):
            self._changed(evidence, code, -amount)

    def _changed(self, evidence: bytes, code: int, amount: int) -> None:
        if amount:
            self.result.changes.append(Change(evidence, code, amount))
