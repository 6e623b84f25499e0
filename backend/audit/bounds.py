"""What a broken chip, a thief or a lost terminal can still take (PROTOCOL.md §9), in figures.

Computed from the export's own amounts and parameters; no findings. docs/threat-model.md has the
same for the demo's programmes.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.audit.model import World
from backend.audit.steps import events
from wire.cvc import Role, TerminalExtension
from wire.dates import end_of_day_s
from wire.log import RecordType
from wire.objects import StationKind

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Bounds:
    """Each bound that is not zero. ``largest_minor``: the most that one live card has left.

    ``terminals``: open ones. ``oldest``: id of the one whose data are oldest, ``oldest_s`` since
    when (0: it never synced). ``stop_days``: with older data a terminal takes nothing.
    ``certificate_end_s``: when the last terminal certificate ends.
    """

    largest_minor: int
    terminals: int
    oldest: str
    oldest_s: int
    stop_days: int
    certificate_end_s: int

    @property
    def clone_minor(self) -> int:
        """The card with the most, taken once at every terminal that has not heard of it."""
        return self.largest_minor * self.terminals


def bounds(world: World) -> Bounds:
    """The bounds of an export."""
    prices = {wallet: p.tariffs[-1].price_minor for wallet, p in world.programmes().items()}
    largest = 0
    for card in world.cards.values():
        if card.scrapped is not None:
            continue
        left = 0
        for wallet in card.wallets() & prices.keys():
            spent = max((e.item.counters.consumed for e in events(card, wallet)), default=0)
            moved = world.moved_away(card.card_id, wallet)
            left += max(0, card.issued(wallet) - spent - moved) * prices[wallet]
        largest = max(largest, left)
    synced = {
        s.station: max(
            (p.record.time_s for p in s.chain() if p.record.kind == RecordType.SYNC), default=0
        )
        for s in world.stations.values()
        if s.lost is None and s.enrolment.kind == StationKind.TERMINAL
    }
    oldest = min(synced, key=lambda name: (synced[name], name), default=b"")
    parameters = world.parameters()
    ends = [
        end_of_day_s(cert.expires)
        for cert, _ in world.certificates.values()
        if isinstance(cert.extension, TerminalExtension)
        and cert.extension.role in {Role.TERMINAL, Role.SUPERVISOR}
    ]
    return Bounds(
        largest_minor=largest,
        terminals=len(synced),
        oldest=oldest.hex(),
        oldest_s=synced.get(oldest, 0),
        stop_days=parameters.data_stale_stop_s // DAY_S if parameters else 0,
        certificate_end_s=max(ends, default=0),
    )
