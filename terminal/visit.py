"""One card's visit: an open session, what is known of the card, and the verbs on it.

PROTOCOL.md §4 (terminal order) and §6; begun by :meth:`terminal.engine.Engine.begin`.
"""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import TYPE_CHECKING, Self

from card_os.host.errors import CardError
from card_os.host.links import Link, LinkError
from card_os.host.purse import PurseSession
from terminal import holder, spend, voiding
from terminal.errors import JournalError
from terminal.guard import guarded
from terminal.outcomes import Nothing, Outcome, Progress, Step, Warn
from terminal.views import Seen, WalletView
from wire import log
from wire.cvc import Role
from wire.log import CardSaid
from wire.purse import CardState, Flag
from wire.receipt import Receipt

if TYPE_CHECKING:
    from terminal.engine import Credentials, Engine
    from terminal.journal import IntentRow


class Visit:
    """An open visit; use in ``with``. Every verb returns an :class:`Outcome`, none raises."""

    def __init__(
        self, engine: Engine, link: Link, role: Role, credentials: Credentials, *,
        session: PurseSession, card_certificate: bytes, seen: Seen,
    ) -> None:  # fmt: skip
        self.engine, self.link, self.role, self.credentials = engine, link, role, credentials
        self.session, self.card_certificate, self.seen = session, card_certificate, seen
        self.is_pin_verified = False
        self.debited: set[int] = set()
        self._before = engine.journal.head().sequence

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None, /,
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """Forget the session keys; the link stays with its owner."""
        self.session.close()

    def leave(self) -> None:
        """Close; a card that was only looked at, so that no record names it, is noted as read.

        A journal that cannot be written refuses the next debit aloud; looking is not stopped by it.
        """
        self.close()
        if self.engine.journal.head().sequence == self._before:
            read = log.CardRead(CardSaid.PURSE, self.engine.journal.shift_officer() or 0,
                                self.card_id)  # fmt: skip
            with contextlib.suppress(JournalError):
                self.engine.write(read)

    # --- what is known -------------------------------------------------------------------------

    @property
    def card_id(self) -> bytes:
        """The card's pseudonymous id."""
        return self.session.identity.card_id

    @property
    def state(self) -> CardState:
        """The card's state as this session knows it."""
        return self.session.state

    @property
    def nothing(self) -> Nothing | None:
        """Why nothing at all can be taken with this card now."""
        return self.seen.nothing

    @property
    def warnings(self) -> tuple[Warn, ...]:
        """What a screen should say beside everything else."""
        return tuple(self.seen.warnings)

    @property
    def recovered(self) -> tuple[Outcome, ...]:
        """Outcomes of earlier intents that this visit's READ proved."""
        return tuple(self.seen.recovered)

    def last_receipts(self, count: int = 3) -> list[Receipt]:
        """The newest receipts read, newest first, shown before the PIN is asked."""
        return [self.seen.receipts[s] for s in sorted(self.seen.receipts, reverse=True)][:count]

    def wallets(self) -> list[WalletView]:
        """Every wallet of the card, and every programme that explains why it has none."""
        return spend.views(self)

    def undelivered(self) -> list[IntentRow]:
        """Debits of this card here with a receipt and no DELIVERED: somebody has to say."""
        return self.engine.journal.undelivered(self.card_id)

    # --- verbs ---------------------------------------------------------------------------------

    def verify_pin(self, pin: str) -> Outcome:
        """VERIFY."""
        return guarded(self.engine, Step.CHECKING_PIN, lambda: holder.verify_pin(self, pin))

    def change_pin(self, old: str, new: str) -> Outcome:
        """CHANGE PIN; the statement is logged."""
        return guarded(self.engine, Step.CHECKING_PIN, lambda: holder.change_pin(self, old, new))

    def activate(self, code: str, pin: str, *, bast: str, place: str, proxy: str = "") -> Outcome:
        """Hand over an inert card (role `handover`): transport code, PIN, the BAST's number."""
        note = holder.Bast(bast, place, proxy)
        return guarded(self.engine, Step.WRITING, lambda: holder.activate(self, code, pin, note))

    def set_pin_after_reset(self, pin: str) -> Outcome:
        """A new PIN while a PIN_RESET names this officer (role `handover`)."""
        return guarded(self.engine, Step.WRITING, lambda: holder.set_pin_after_reset(self, pin))

    def dispute(self, sequence: int) -> Outcome:
        """The holder, PIN verified, says that this receipt is wrong."""
        return guarded(self.engine, Step.WRITING, lambda: holder.dispute(self, sequence))

    def redeem(self, wallet: int, amount: int, *, bypass_reason: str = "") -> Outcome:
        """Take ``amount`` (wallet units): :class:`Redeemed`, or why not, or unknown.

        ``bypass_reason``: in a `supervisor` visit, instead of the PIN.
        """
        return guarded(
            self.engine, Step.DEBITING, lambda: spend.redeem(self, wallet, amount, bypass_reason)
        )

    def void(self, intent: int, *, on_counter: bool, reason: str) -> Outcome:
        """Take back the card's latest debit (role `supervisor`).

        ``on_counter`` False: the operator says nothing was handed over. True: it was, and the
        goods lie on the counter again.
        """
        return guarded(
            self.engine, Step.VOIDING, lambda: voiding.void(self, intent, on_counter, reason)
        )

    def delivered(self, intent: int) -> Outcome:
        """The goods are in the family's hands: DELIVERED, then CONFIRM."""
        return self.engine.delivered(intent, self)

    # --- for the verbs -------------------------------------------------------------------------

    def confirm(self, row: IntentRow) -> bool:
        """CONFIRM the debit if it is the card's latest receipt; False when it could not be.

        Only at once after DELIVERED; a card that has gone leaves the debit as it is.
        """
        latest = row.receipt is not None and row.receipt.sequence == self.state.sequence
        if not latest or row.card_id != self.card_id or not self.session.is_open:
            return False
        if self.role not in {Role.TERMINAL, Role.SUPERVISOR}:
            return False
        self.engine.emit(Progress(Step.CONFIRMING))
        try:
            self.session.confirm(self.state.sequence)
        except (CardError, LinkError):
            return False
        return Flag.CONFIRMED in self.state.flags

    def kept(self, receipt: Receipt) -> None:
        """A receipt of this visit is durable."""
        self.seen.receipts[receipt.sequence] = receipt

    def has_open_intent(self) -> bool:
        """Whether an intent on this card has no outcome yet: no new debit before it has."""
        return bool(self.engine.journal.open_intents(self.card_id))
