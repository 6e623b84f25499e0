"""What each record of a station's log changes (docs/wire.md#log, PROTOCOL.md §5, §6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import col, select

from backend import ledger, objects, receipts, reserves
from backend.book import Book
from backend.errors import UnknownError
from backend.findings import Fault
from backend.ledger import Kind
from backend.models import (
    EntitlementRow,
    FindingRow,
    IntentRow,
    Object,
    RecordRow,
    ScriptRow,
    Station,
    fresh,
)
from backend.verify import Bad, CardItem
from wire import cbor, log
from wire.log import Record, RecordType, StockMove
from wire.objects import GoodsLine, StockDelivery, Unit
from wire.receipt import Receipt, ReceiptKind, Statement


@dataclass(slots=True)
class Reader:
    """Applies one station's records in order; faults are findings and never stop the rest."""

    book: Book
    station: Station
    items: Mapping[bytes, CardItem | Bad]

    def apply(self, record: Record) -> None:
        """Enter what this record says."""
        handler = _HANDLERS.get(record.kind)
        if handler is not None:
            handler(self, record, record.body)

    def fault(self, invariant: int, record: Record, why: str) -> None:
        """A finding about this record."""
        name = f"{self.station.station.hex()}/{record.sequence}"
        self.book.fault(
            Fault(invariant, name, record.hash, self.station.station.hex(), f"{name}: {why}")
        )

    def item(self, record: Record, raw: bytes) -> CardItem | None:
        """The verified receipt or statement; None when it is set aside with a finding."""
        found = self.items[raw]
        if isinstance(found, Bad):
            self.fault(found.invariant, record, found.why)
            return None
        return found

    def intent(self, sequence: int) -> IntentRow | None:
        """An intent or void of this station."""
        return self.book.held.intent(self.station.station, sequence)

    def judge(self, intent: IntentRow) -> None:
        """Have the debit of this intent (or of the one this void names) judged again."""
        self.book.debits.add((intent.card_id, intent.expected + (0 if intent.void_of else 1)))

    # --- intents and their outcomes ------------------------------------------------------------

    def on_intent(self, record: Record, body: log.Intent) -> None:
        """INTENT."""
        intent = fresh(
            IntentRow, station=self.station.station, sequence=record.sequence, hash=record.hash,
            card_id=body.card_id, expected=body.expected_sequence, wallet=body.wallet,
            amount=body.amount, basket_version=body.basket_version,
            hotlist_version=max(body.hotlist_version, self.station.hotlist_version),
            void_of=None, on_counter=False, receipt=None, aborted=False, delivered=None,
            returned=None, given_back=None,
        )  # fmt: skip
        self.book.held.add_intent(intent)
        self.judge(intent)

    def on_void(self, record: Record, body: log.VoidIntent) -> None:
        """VOID."""
        debit = self.intent(body.intent)
        if debit is None or debit.void_of is not None or debit.card_id != body.card_id:
            self.fault(9, record, "the void names no debit of this terminal")
            return
        void = IntentRow(
            station=self.station.station, sequence=record.sequence, hash=record.hash,
            void_of=body.intent, card_id=body.card_id, expected=body.sequence,
            wallet=debit.wallet, amount=debit.amount, basket_version=debit.basket_version,
            on_counter=body.on_counter, hotlist_version=self.station.hotlist_version,
        )  # fmt: skip
        self.book.held.add_intent(void)
        self.judge(void)

    def on_receipt(self, record: Record, body: log.Receipted) -> None:
        """RECEIPT: the card's receipt of an intent or void of this log (invariant 8)."""
        receipt = self.item(record, body.receipt)
        if not isinstance(receipt, Receipt):
            return
        intent = self.intent(body.intent)
        if receipts.settle(self.book, receipt) is None:
            return  # counted under 3
        named = (receipt.terminal_id, receipt.terminal_sequence)
        if named[0] == self.station.station and not self._is_asked(receipt):
            return  # its intent is missing from this chain: counted under 2 when it is judged
        if intent is None or named != (self.station.station, body.intent):
            self.fault(8, record, "the receipt belongs to no such intent")
            return
        if intent.aborted or intent.receipt not in {None, receipt.hash}:
            return  # counted under 8 when it is judged: aborted, or a second receipt
        intent.receipt = receipt.hash
        self._judge_named(intent)
        self._check_asked(record, receipt, intent)
        self.judge(intent)

    def _is_asked(self, receipt: Receipt) -> bool:
        named = self.intent(receipt.terminal_sequence)
        return named is not None and named.hash == receipt.intent_hash

    def _judge_named(self, intent: IntentRow) -> None:
        """Every receipt that names this intent, whoever carried it home."""
        self.book.debits |= self.book.held.naming(intent.station, intent.sequence)

    def _is_set_aside(self, record: Record, intent: IntentRow) -> bool:
        """A receipt was recorded for it before and set aside (1, 3, 16, 19): so is what follows."""
        if intent.receipt is not None:
            return False
        rows = self.book.session.exec(
            select(RecordRow.raw).where(
                RecordRow.station == intent.station, RecordRow.sequence > intent.sequence,
                RecordRow.sequence < record.sequence,
                RecordRow.kind == int(RecordType.RECEIPT),
            )
        )  # fmt: skip
        return any(Record.parse(raw).body.intent == intent.sequence for raw in rows)

    def _check_asked(self, record: Record, receipt: Receipt, intent: IntentRow) -> None:
        kind = ReceiptKind.REVERSAL if intent.void_of else ReceiptKind.DEBIT
        given = (receipt.kind, receipt.card_id, receipt.sequence, receipt.wallet, receipt.amount)
        asked = (kind, intent.card_id, intent.expected + 1, intent.wallet, intent.amount)
        if given != asked:
            self.fault(9 if intent.void_of else 8, record, "the receipt is not what was asked")

    def on_aborted(self, record: Record, body: log.Aborted) -> None:
        """ABORTED excludes a receipt (invariant 8)."""
        intent = self.intent(body.intent)
        if intent is None or intent.receipt is not None:
            self.fault(8, record, "aborted, but no such intent or it has a receipt")
            return
        intent.aborted = True
        self._judge_named(intent)
        if body.other is not None:
            self._carried(record, body.other)
        self.judge(intent)

    def on_delivered(self, record: Record, body: log.Delivered) -> None:
        """DELIVERED: goods or money are in the family's hands."""
        intent = self.intent(body.intent)
        if intent is not None and self._is_set_aside(record, intent):
            return
        if intent is None or intent.receipt is None or intent.void_of is not None:
            self.fault(8, record, "delivered without a receipt")
            return
        if intent.delivered is not None:
            self.fault(8, record, "delivered twice")
            return
        intent.delivered = record.hash
        self._hand(Kind.HANDED, record, intent, 1)
        self.judge(intent)

    def on_returned(self, record: Record, body: log.Returned) -> None:
        """RETURNED: after a proven void of a delivered debit the goods are in stock again."""
        void = self.intent(body.void)
        debit = self.intent(void.void_of) if void and void.void_of else None
        if any(i is not None and self._is_set_aside(record, i) for i in (void, debit)):
            return
        if void is None or debit is None or void.receipt is None or debit.delivered is None:
            self.fault(9, record, "goods returned without a proven void of a delivered debit")
            return
        if void.returned is not None:
            self.fault(9, record, "returned twice")
            return
        void.returned = record.hash
        self._hand(Kind.RETURNED_GOODS, record, debit, -1)

    def on_given_back(self, record: Record, body: log.GivenBack) -> None:
        """GIVEN_BACK: the void did not happen, the family has the goods."""
        void = self.intent(body.void)
        if void is None or void.void_of is None or not void.aborted:
            self.fault(9, record, "given back, but the void was not aborted")
            return
        void.given_back = record.hash
        self.judge(void)

    # --- goods ------------------------------------------------------------

    def _hand(self, kind: Kind, record: Record, intent: IntentRow, sign: int) -> None:
        programme = self.book.programme(intent.wallet)
        if programme is None or not programme.stocked:
            return
        if programme.unit == Unit.RUPIAH:
            lines: tuple[GoodsLine, ...] = (GoodsLine(ledger.RUPIAH, Unit.RUPIAH, 1),)
        else:
            tariff = objects.tariff_of(programme, intent.basket_version)
            lines = tariff.lines if tariff else ()
        for line in lines:
            self._shelf(kind, record.hash, line.good, -sign * line.quantity * intent.amount,
                        f"handed/{programme.code}")  # fmt: skip

    def _shelf(self, kind: Kind, evidence: bytes, good: str, amount: int, other: str) -> None:
        terminal = self.station.station
        self.book.add(ledger.stock(kind, evidence, good, amount, terminal=terminal, other=other))
        if self.station.lost is not None:
            # TERMINAL_LOST wrote the whole shelf off: what a later record brings or takes is
            # that much more or less lost (docs/ledger.md).
            self.book.add(ledger.stock(Kind.STOCK_LOSS, evidence, good, -amount, terminal=terminal,
                                       other=self._loss_account))  # fmt: skip

    @property
    def _loss_account(self) -> str:
        return f"stock-loss/{self.station.station.hex()}"

    def on_stock(self, record: Record, body: log.Stock) -> None:
        """STOCK: received, counted, lost or sent back (invariant 15)."""
        good, quantity, lost = body.line.good, body.line.quantity, self._loss_account
        is_loss = body.move in {StockMove.COUNTED, StockMove.LOST}
        if is_loss and self.station.lost is not None:
            return  # already in the loss account
        match body.move:
            case StockMove.RECEIVED | StockMove.SENT_BACK:
                provider = self._provider(record, body)
                if provider is None:
                    return
                is_in = body.move == StockMove.RECEIVED
                self._shelf(Kind.STOCK_IN if is_in else Kind.STOCK_BACK, record.hash, good,
                            quantity if is_in else -quantity, f"supply/{provider}")  # fmt: skip
            case StockMove.COUNTED:
                missing = self.book.shelf(self.station.station, good) - quantity
                if missing:
                    self._shelf(Kind.STOCK_LOSS, record.hash, good, -missing, lost)
            case StockMove.LOST:
                self._shelf(Kind.STOCK_LOSS, record.hash, good, -quantity, lost)

    def _provider(self, record: Record, body: log.Stock) -> str | None:
        """Who delivered it, by the signed delivery; a move without one is a finding."""
        try:
            delivery = objects.by_hash(self.book.session, StockDelivery, body.delivery or b"")
        except UnknownError:
            self.fault(15, record, "stock came or went without a signed delivery")
            return None
        if delivery.terminal != self.station.station:
            self.fault(15, record, "the delivery is for another terminal")
            return None
        return delivery.provider

    # --- cards ------------------------------------------------------------

    def _carried(self, record: Record, raw: bytes) -> None:
        item = self.item(record, raw)
        if isinstance(item, Receipt):
            receipts.settle(self.book, item)
        elif isinstance(item, Statement):
            receipts.state(self.book, item)

    def on_collected(self, record: Record, body: log.Collected) -> None:
        """COLLECTED: carried home for another terminal; settles like any receipt."""
        self._carried(record, body.item)

    def on_statement(self, record: Record, body: log.Pin | log.Handover) -> None:
        """PIN, HANDOVER."""
        self._carried(record, body.statement)

    def on_load(self, record: Record, body: log.Load) -> None:
        """LOAD: the entitlement must stand in the issuance log."""
        if self.book.session.get(EntitlementRow, body.entitlement) is None:
            self.fault(19, record, "an entitlement that the issuance log does not hold")
            return
        self._carried(record, body.statement)

    def on_script(self, record: Record, body: log.ScriptDone) -> None:
        """SCRIPT: the script must stand in the issuance log."""
        if self.book.session.get(ScriptRow, body.script) is None:
            self.fault(19, record, "a script that the issuance log does not hold")
            return
        self._carried(record, body.statement)

    def on_dispute(self, record: Record, body: log.Dispute) -> None:
        """DISPUTE: the holder says the receipt is wrong; it is held for a decision."""
        row = self.book.held.row(body.card_id, body.sequence)
        if row is None or row.hash != body.receipt:
            if self._is_known_bad(body):
                return
            self.fault(8, record, "a dispute over a receipt that is not held")
            return
        receipts.hold(self.book, row, "disputed", record.hash)

    def _is_known_bad(self, body: log.Dispute) -> bool:
        """The receipt disputed is the second body of a clone, counted under 3 already."""
        name = f"3/{body.card_id.hex()}/{body.sequence}/{body.receipt.hex()}"
        found = self.book.session.exec(select(FindingRow.id).where(FindingRow.key == name)).first()
        return found is not None

    def on_sync(self, record: Record, body: log.Sync) -> None:
        """SYNC: bundle and hotlist installed, and what was pending then."""
        known = self.book.session.exec(
            select(Object.id).where(Object.hash == body.bundle, col(Object.raw).is_not(None))
        ).first()
        if known is None:  # nor is its hotlist, which may name other cards than the office's does
            self.fault(19, record, "a bundle that the issuance log does not hold")
        else:
            self.station.hotlist_version = max(self.station.hotlist_version, body.hotlist_version)
        self.station.synced_s = record.time_s
        self.station.pending = cbor.encode([*body.pending])
        reserves.synced(self.book, self.station.station, record.hash)


_HANDLERS: dict[RecordType, Callable[[Reader, Record, Any], None]] = {
    RecordType.INTENT: Reader.on_intent,
    RecordType.VOID: Reader.on_void,
    RecordType.RECEIPT: Reader.on_receipt,
    RecordType.ABORTED: Reader.on_aborted,
    RecordType.DELIVERED: Reader.on_delivered,
    RecordType.RETURNED: Reader.on_returned,
    RecordType.GIVEN_BACK: Reader.on_given_back,
    RecordType.STOCK: Reader.on_stock,
    RecordType.COLLECTED: Reader.on_collected,
    RecordType.PIN: Reader.on_statement,
    RecordType.HANDOVER: Reader.on_statement,
    RecordType.LOAD: Reader.on_load,
    RecordType.SCRIPT: Reader.on_script,
    RecordType.DISPUTE: Reader.on_dispute,
    RecordType.SYNC: Reader.on_sync,
}
