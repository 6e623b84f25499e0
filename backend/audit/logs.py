"""Uploads into station chains, and what their records say of cards (docs/wire.md#log).

1. each upload under its station's log key; 2. chains put together, each break noted; 3. records
read in order; 4. of two bodies with one card and sequence one is counted, the others set aside.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from backend.audit.facts import Fact
from backend.audit.findings import Finding, What, of_error, say
from backend.audit.load import UPLOAD_NAME, UploadFile
from backend.audit.model import NEVER, Ask, Held, Place, Said, Station, World
from wire import cbor, log
from wire.cose import Sign1
from wire.errors import EnvironmentMismatchError, FormatError, WireError, require
from wire.invariants import Invariant
from wire.log import Record, RecordType
from wire.objects import Acknowledgement, UploadHead
from wire.receipt import Receipt, Statement


def read(world: World, files: tuple[UploadFile, ...]) -> None:
    """Enter every upload of an export."""
    for file in files:  # 1
        _upload(world, file)
    _arrivals(world)
    for station in world.stations.values():  # 2
        _check_chain(station)
        for record in station.records.values():
            world.now_s = max(world.now_s, record.time_s)
    items: dict[bytes, Receipt | Statement | None] = {}
    for _, station in sorted(world.stations.items()):  # 3
        reader = _Reader(world, station, items)
        for place in station.chain():
            reader.apply(place)
    _choose_bodies(world)  # 4


# --- uploads ------------------------------------------------------------


def _upload(world: World, file: UploadFile) -> None:
    name, subject = sha256(file.raw).digest(), f"uploads/{file.name}"
    match = UPLOAD_NAME.match(file.name)
    named = bytes.fromhex(match[1]) if match else b""
    station = world.stations.get(named)
    try:
        head, signed, records = _open(file.raw)
        station = world.stations.get(head.station)
        if signed.env != world.trust.env:
            raise EnvironmentMismatchError(f"upload of environment {signed.env:#04x}")
        if station is None:
            world.set_aside(
                Invariant.ISSUANCE_LOG,
                subject,
                say(Fact.UPLOAD_NO_STATION),
                name,
                "registry",
            )
            return
        world.trust.upload_head(signed.raw, station.enrolment.log_key)
        require(bool(records) and records[-1].hash == head.head, "the head is of other records")
    except WireError as e:
        is_foreign = isinstance(e, EnvironmentMismatchError)
        invariant = Invariant.NO_SPECIMEN if is_foreign else Invariant.SIGNATURES
        world.set_aside(invariant, subject, of_error(e), name, named.hex() or "backend")
        if station is not None:
            station.is_tainted = True
        return
    if match is None or (named, int(match[2]), int(match[3])) != (
        head.station,
        head.first,
        head.last,
    ):
        what = say(Fact.UPLOAD_NAME)
        world.chain_faults.append(Finding(Invariant.CHAINED_LEDGER, subject, what))
    station.ends.add(head.last)
    _merge(station, head, records, subject)


def _open(raw: bytes) -> tuple[UploadHead, Sign1, list[Record]]:
    """The parts of an upload; order and links of its records are judged later."""
    signed, items = cbor.decode_array(raw, 2)
    if not isinstance(signed, bytes) or not isinstance(items, list):
        raise FormatError("upload is not [head, records]")
    require(len(items) <= log.MAX_UPLOAD_RECORDS, "upload with too many records")
    cose = Sign1.parse(signed)
    records = [Record.parse(x) for x in items if isinstance(x, bytes)]
    require(len(records) == len(items), "upload record is not a byte string")
    return UploadHead.parse(cose.payload), cose, records


def _fault(station: Station, invariant: Invariant, sequence: int, what: What) -> None:
    subject = f"{station.station.hex()}/{sequence}"
    finding = Finding(invariant, subject, what, (subject,), station.station.hex())
    if finding not in station.faults:
        station.faults.append(finding)


def _merge(station: Station, head: UploadHead, records: list[Record], subject: str) -> None:
    sequences = [r.sequence for r in records]
    if sequences != list(range(head.first, head.last + 1)):
        _fault(
            station,
            Invariant.TERMINAL_CHAIN,
            head.first,
            say(Fact.UPLOAD_RECORDS, file=subject),
        )
    for record in records:
        held = station.records.setdefault(record.sequence, record)
        if held.raw != record.raw:
            _fault(
                station,
                Invariant.TERMINAL_CHAIN,
                record.sequence,
                say(Fact.RECORD_FORKED),
            )


def _arrivals(world: World) -> None:
    for o, ack in world.of(Acknowledgement):
        station = world.stations.get(ack.station)
        if station is None or station.is_tainted:
            continue
        order = o.entry.sequence if o.entry else NEVER
        station.arrivals.append((ack.last, ack.arrived_s, order))
        record = station.records.get(ack.last)
        if record is None or record.hash != ack.head:
            _fault(
                station,
                Invariant.TERMINAL_CHAIN,
                ack.last,
                say(Fact.ACKNOWLEDGED_OTHER),
            )
        elif ack.last not in station.ends:
            what = say(Fact.UPLOAD_ABSENT, number=ack.last)
            world.chain_faults.append(Finding(Invariant.CHAINED_LEDGER, ack.station.hex(), what))
    for station in world.stations.values():
        station.arrivals.sort()


def _check_chain(station: Station) -> None:
    previous, expected, time_s = station.name, 1, 0
    for sequence, record in sorted(station.records.items()):
        if not station.is_tainted:
            if sequence != expected:
                _fault(station, Invariant.TERMINAL_CHAIN, expected, say(Fact.RECORDS_MISSING))
            elif record.previous != previous:
                _fault(
                    station,
                    Invariant.TERMINAL_CHAIN,
                    sequence,
                    say(Fact.RECORD_UNLINKED),
                )
        if record.time_s < time_s:
            _fault(station, Invariant.TIME, sequence, say(Fact.RECORD_OLDER))
        arrived = station.arrival(sequence)
        if arrived is not None and record.time_s > arrived + MAX_AHEAD_S:
            _fault(station, Invariant.TIME, sequence, say(Fact.RECORD_FUTURE))
        previous, expected = record.hash, sequence + 1
        time_s = max(time_s, record.time_s)


MAX_AHEAD_S = 300  # as the backend allows a terminal's clock (backend/ingest.py)


_NO_INTENT = {
    "aborted": Fact.ABORTED_NO_INTENT,
    "delivered": Fact.DELIVERED_NO_INTENT,
    "returned": Fact.RETURNED_NO_INTENT,
    "given_back": Fact.GIVEN_BACK_NO_INTENT,
}

# --- records ------------------------------------------------------------


class _Reader:
    """Reads one station's records in order."""

    def __init__(
        self, world: World, station: Station, items: dict[bytes, Receipt | Statement | None]
    ) -> None:
        self.world, self.station, self.items = world, station, items
        self.hotlist = 0

    def apply(self, place: Place) -> None:
        """Enter what one record says."""
        body: Any = place.record.body
        match place.record.kind:
            case RecordType.INTENT | RecordType.VOID:
                self._ask(place, body)
            case RecordType.RECEIPT:
                self._receipt(place, body)
            case RecordType.ABORTED:
                self._named(place, body.intent, "aborted")
                if body.other is not None:
                    self.item(place, body.other)
            case RecordType.DELIVERED:
                self._named(place, body.intent, "delivered")
            case RecordType.RETURNED:
                self._named(place, body.void, "returned")
            case RecordType.GIVEN_BACK:
                self._named(place, body.void, "given_back")
            case RecordType.COLLECTED:
                self.item(place, body.item)
            case RecordType.PIN | RecordType.HANDOVER:
                self.item(place, body.statement)
            case RecordType.LOAD:
                self._logged(place, body.entitlement, body.statement, Fact.ENTITLEMENT_NOT_LOGGED)
            case RecordType.SCRIPT:
                self._logged(place, body.script, body.statement, Fact.SCRIPT_NOT_LOGGED)
            case RecordType.SYNC:
                self._sync(place, body)
            case RecordType.DISPUTE:
                self.world.disputes.setdefault(body.receipt, place)
            case _:
                pass

    def _ask(self, place: Place, body: log.Intent | log.VoidIntent) -> None:
        sequence = place.record.sequence
        if isinstance(body, log.Intent):
            self.station.asks[sequence] = Ask(
                place,
                body.card_id,
                body.wallet,
                body.amount,
                body.basket_version,
                body.expected_sequence,
                body.terminal_serial,
                max(self.hotlist, body.hotlist_version),
            )
            return
        debit = self.station.asks.get(body.intent)
        if debit is None or debit.is_void or debit.card_id != body.card_id:
            self.station.loose.append((Invariant.VOIDS, place, say(Fact.VOID_NO_DEBIT)))
            debit = None
        void = Ask(
            place,
            body.card_id,
            debit.wallet if debit else 0,
            debit.amount if debit else 0,
            debit.basket_version if debit else 0,
            body.sequence,
            body.terminal_serial,
            self.hotlist,
            debit,
            is_void=True,
            on_counter=body.on_counter,
        )
        self.station.asks[sequence] = void
        if debit is not None:
            debit.voids.append(void)

    def _named(self, place: Place, sequence: int, what: str) -> None:
        """Enter a record about an intent, or note that it names none."""
        ask = self.station.asks.get(sequence)
        if ask is None:
            invariant = (
                Invariant.VOIDS
                if what in {"returned", "given_back"}
                else (Invariant.INTENT_RECEIPT)
            )
            self.station.loose.append((invariant, place, say(_NO_INTENT[what])))
            return
        getattr(ask, what).append(place.record)

    def _receipt(self, place: Place, body: log.Receipted) -> None:
        item = self.item(place, body.receipt)
        ask = self.station.asks.get(body.intent)
        if ask is None:
            self.station.loose.append(
                (Invariant.INTENT_RECEIPT, place, say(Fact.RECEIPT_NO_INTENT))
            )
        elif isinstance(item, Receipt):
            ask.receipts.append((place.record, item))
        else:
            ask.spoiled = True

    def _logged(self, place: Place, name: bytes, raw: bytes, fact: Fact) -> None:
        """A load or script: what it names must stand in the issuance log."""
        item = self.item(place, raw, keep=name in self.world.names)
        if name in self.world.names:
            return
        self.world.set_aside(
            Invariant.ISSUANCE_LOG,
            place.name,
            say(fact),
            name,
            "key service",
        )
        if isinstance(item, Statement) and item.card_id in self.world.cards:
            card = self.world.cards[item.card_id]
            card.unlogged.add((item.wallet, item.entitlement_sequence))

    def _sync(self, place: Place, body: log.Sync) -> None:
        if body.bundle in self.world.names:
            self.hotlist = max(self.hotlist, body.hotlist_version)
        else:
            self.world.set_aside(
                Invariant.ISSUANCE_LOG,
                place.name,
                say(Fact.BUNDLE_NOT_LOGGED),
                body.bundle,
                "policy",
            )

    # --- receipts and statements ---------------------------------------------------------------

    def item(self, place: Place, raw: bytes, *, keep: bool = True) -> Receipt | Statement | None:
        """The verified item, entered; None when it is set aside."""
        if raw not in self.items:
            self.items[raw] = self._open(place, raw)
        item = self.items[raw]
        if item is None or not keep:
            return item
        card = self.world.cards[item.card_id]
        if isinstance(item, Statement):
            if item.hash not in self.world.statements:
                self.world.statements[item.hash] = said = Said(item, place)
                card.statements.append(said)
            return item
        if item.hash in self.world.receipts:
            self.world.receipts[item.hash].also.append(place)
        else:
            self.world.receipts[item.hash] = held = Held(item, place)
            if card.receipts.setdefault(item.sequence, held) is not held:
                card.doubles.setdefault(item.sequence, []).append(held)
        return item

    def _open(self, place: Place, raw: bytes) -> Receipt | Statement | None:
        name = sha256(raw[:-64]).digest()
        try:
            item = Receipt.parse(raw) if raw[2:3] == b"R" else Statement.parse(raw)
        except WireError as e:
            self.world.set_aside(Invariant.SIGNATURES, place.name, of_error(e), name)
            return None
        card = self.world.cards.get(item.card_id)
        if card is not None and isinstance(item, Receipt):
            card.excused.add(item.sequence)  # until it is proven
        if item.env != self.world.trust.env:
            self.world.set_aside(
                Invariant.NO_SPECIMEN,
                place.name,
                say(Fact.FOREIGN, detail=f"{item.env:#04x}"),
                name,
                place.station.hex(),
            )
            return None
        if item.card_id in self.world.aside_cards:
            self.world.aside_names.add(name)  # listed with its certificate
            return None
        if card is None:
            self.world.set_aside(
                Invariant.ISSUANCE_LOG,
                item.card_id.hex(),
                say(Fact.CARD_NOT_LOGGED),
                name,
                "key service",
            )
            return None
        try:
            item.verify(card.receipt_key)
        except WireError as e:
            self.world.set_aside(Invariant.SIGNATURES, place.name, of_error(e), name, "card")
            return None
        if isinstance(item, Receipt):
            card.excused.discard(item.sequence)
        return item


def _choose_bodies(world: World) -> None:
    """Count the body the ledger booked; neither is paid without more (PROTOCOL.md §5)."""
    booked = {e.evidence for e in world.ledger if e.kind in {"debit", "reversal", "loss"}}
    for card in world.cards.values():
        for sequence, others in card.doubles.items():
            every = [card.receipts[sequence], *others]
            chosen = next((h for h in every if h.receipt.hash in booked), every[0])
            card.receipts[sequence] = chosen
            card.doubles[sequence] = [h for h in every if h is not chosen]
            for held in card.doubles[sequence]:
                ask = world.ask_of(held.receipt)
                if ask is not None:  # what its hand-over leaves is listed under the clone
                    ask.spoiled = True
                    ask.receipts = [x for x in ask.receipts if x[1].hash != held.receipt.hash]
                world.set_aside(
                    Invariant.ONE_BODY,
                    held.name,
                    say(Fact.CLONE),
                    held.receipt.hash,
                    "card",
                )
