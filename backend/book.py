"""What one upload or decision changes: transfers gathered, posted as one batch at its end.

A sync is one atomic batch (PROTOCOL.md §4.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlmodel import Session

from backend import findings, ledger, objects
from backend.findings import Fault
from backend.held import Held
from backend.models import Card
from wire.env import Environment
from wire.objects import Programme


@dataclass(slots=True)
class Book:
    """The open work of one transaction. ``debits``: (card, sequence) to judge again at the end."""

    session: Session
    env: Environment
    now_s: int
    transfers: list[ledger.Transfer] = field(default_factory=list)
    cards: set[bytes] = field(default_factory=set)
    debits: set[tuple[bytes, int]] = field(default_factory=set)
    held: Held = field(init=False)
    _wallets: dict[int, Programme] | None = None
    _last: int | None = None

    def __post_init__(self) -> None:
        self.held = Held(self.session)

    def fault(self, fault: Fault) -> None:
        """Record a finding; the work goes on."""
        findings.record(self.session, fault, self.now_s)

    def add(self, transfer: ledger.Transfer) -> None:
        """Post this at the end."""
        self.transfers.append(transfer)

    def programme(self, wallet: int) -> Programme | None:
        """The programme of a wallet."""
        if self._wallets is None:
            self._wallets = objects.by_wallet(self.session)
        return self._wallets.get(wallet)

    def card(self, card_id: bytes) -> Card | None:
        """The card row."""
        return self.held.card(card_id).card

    def shelf(self, terminal: bytes, good: str) -> int:
        """What a terminal has of a good, this batch included."""
        account = f"stock/{terminal.hex()}"
        waiting = sum(
            p.amount for t in self.transfers for p in t.postings
            if p.account == account and p.good == good
        )  # fmt: skip
        return ledger.balance(self.session, account, good) + waiting

    def next_entry(self) -> int:
        """The ledger sequence that the transfer added last will have."""
        if self._last is None:
            self._last = ledger.head(self.session)[0]
        return self._last + len(self.transfers)

    def close(self) -> None:
        """Post everything gathered."""
        self.session.flush()
        self._last = None
        ledger.post(self.session, self.transfers, self.now_s)
        self.transfers = []
