"""A whole world in memory for the auditor: every key in hand, every object really signed.

Honest verbs book in the ledger what docs/ledger.md says. A fraud is a sequence of verbs that a
dishonest owner of some keys could have done; `finish` chains and signs everything anew, so that
no signature or hash betrays it.
"""

from __future__ import annotations

import random
from dataclasses import replace
from hashlib import sha256

from pyroaring import BitMap

from backend import ledger
from backend.audit.build import build
from backend.audit.load import SHAPES, Export, UploadFile
from keys import ca
from keys.enrol import OfficerRequest, StationRequest
from keys.hierarchy import World, make_world
from keys.signer import Ed25519Signer, P256KeyAgreement, P256Signer, sign_object
from tests.support.audit_files import chain_issuance, chain_ledger, head_of, is_sound
from tests.support.audit_people import SoftCard, SoftStation, Tap
from wire import cvc, dates, log
from wire.chain import Citation, IssuanceKind
from wire.entitlement import Entitlement, Lot, Script, ScriptAction
from wire.env import Environment
from wire.log import Record, StockMove, Upload
from wire.objects import (
    Acknowledgement,
    Decision,
    DecisionKind,
    Enrolment,
    GoodsLine,
    Hotlist,
    IssuanceHead,
    KeyRole,
    LedgerHead,
    Order,
    StationKind,
    StockDelivery,
    TerminalLost,
    Unit,
    UploadHead,
)
from wire.receipt import (
    Counters,
    Interface,
    Receipt,
    ReceiptKind,
    Statement,
    StatementKind,
    Verification,
)

ENV = Environment.DEMO_LIVE
START_S = 1_775_000_000
DAY_S = 86_400
NOBODY = Counters(0, 0, 0, 0)
SUPERVISOR, HANDOVER = 41, 42
RICE, OIL, RUPIAH = "beras", "minyak", "rupiah"


class AuditWorld:
    """The hierarchy, the issuance log and the ledger; families and terminals are its verbs."""

    def __init__(self, seed: int = 1, env: Environment = ENV) -> None:
        rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.env, self.random, self.now_s = env, rng.randbytes, START_S
        self.keys: World = make_world(
            env, random=self.random, now_s=START_S, from_s=START_S - 90 * DAY_S
        )
        self.step_s = 60
        self.waiting: dict[bytes, dict[int, int]] = {}
        self.deaf: set[bytes] = set()
        self.shelves: dict[bytes, dict[str, int]] = {}
        self.issuance: list[dict] = []
        self.ledger: list[tuple[int, ledger.Transfer]] = []
        self.objects: dict[str, list[bytes]] = {kind: [] for kind in SHAPES}
        self.old_heads: list[bytes] = []
        self.stations: list[SoftStation] = []
        self.cards: list[SoftCard] = []
        self.programmes: dict[int, object] = {}
        self.hotlisted: set[int] = set()
        self.hotlist_version = 0
        self.serial = 0
        self.pending: dict[tuple[str, int], list[tuple[bytes, int]]] = {}
        self.owed: set[bytes] = set()
        for link in self.keys.links:
            self.note(IssuanceKind.LINK, bytes(link))

    def tick(self, seconds: int | None = None) -> int:
        self.now_s += self.step_s if seconds is None else seconds
        return self.now_s

    # --- issuance log, objects, ledger ----------------------------------------------------------

    def note(self, kind, item, **more):
        self.issuance.append({"time_s": self.now_s, "kind": kind, "item": item, **more})

    def sign(self, shape, *, role: KeyRole | None = None, logged: bool = True) -> bytes:
        """Sign, log and keep an object; its hash."""
        signed = sign_object(self.keys.signers[role or shape.SIGNER, 1], shape, self.env)
        if logged and isinstance(shape, Enrolment):
            self.note(IssuanceKind.ENROLMENT, bytes(signed))
        elif logged:
            self.note(IssuanceKind.OBJECT, signed.hash, note=shape.KIND)
        self.objects[shape.KIND].append(bytes(signed))
        return signed.hash

    def post(self, *transfers: ledger.Transfer) -> None:
        self.ledger += [(self.now_s, t) for t in transfers]

    def shelf(self, station: SoftStation) -> dict[str, int]:
        """What lies at a station by its records: good → quantity."""
        return self.shelves.setdefault(station.name, {})

    def _put(self, station: SoftStation, good: str, quantity: int) -> None:
        shelf = self.shelf(station)
        shelf[good] = shelf.get(good, 0) + quantity

    def hotlist(self, *cards: SoftCard) -> None:
        self.hotlisted |= {int.from_bytes(c.card_id[4:], "big") for c in cards}
        self.hotlist_version += 1
        serials = BitMap(self.hotlisted).serialize()
        self.sign(Hotlist(self.hotlist_version, self.tick(), serials))

    # --- stations ------------------------------------------------------------

    def station(self, name: bytes, place: str, kind=StationKind.TERMINAL) -> SoftStation:
        log_key = Ed25519Signer.generate(self.random)
        shape = Enrolment(name, kind, log_key.public_key, "*", place, self.tick())
        made = SoftStation(name, place, log_key, self.sign(shape))
        self.stations.append(made)
        if kind == StationKind.TERMINAL:
            made.is_open = True
            self.renew(made)
            self.record(made, log.Shift(opened=True, officer=7))
        return made

    def renew(self, station: SoftStation) -> None:
        """Certificates of the terminal and its officers, in a bundle with the newest hotlist."""
        station.certified_s = self.now_s
        name, channel = station.name, P256KeyAgreement.generate(self.random)
        kind = StationKind.TERMINAL
        request = StationRequest.make(self.env, name, kind, station.log_key, channel)
        self.certify(station, request, cvc.Role.TERMINAL, 0)
        for role, officer in ((cvc.Role.SUPERVISOR, SUPERVISOR), (cvc.Role.HANDOVER, HANDOVER)):
            key = P256KeyAgreement.generate(self.random)
            wish = OfficerRequest.make(self.env, name, role, officer, key)
            self.certify(station, wish, role, officer)
        self.sync(station)

    def certify(self, station, request, role, officer, *, logged: bool = True) -> int:
        self.serial += 1
        cert = ca.issue_terminal_certificate(
            self.keys.issuer(KeyRole.TERMINAL_CA), request, serial=self.serial, now_s=self.now_s
        )
        if logged:
            self.note(IssuanceKind.TERMINAL_CERTIFICATE, bytes(cert))
        station.serials[role, officer] = self.serial
        return self.serial

    def record(self, station: SoftStation, body, time_s: int | None = None) -> Record:
        previous = station.records[-1].hash if station.records else station.enrolment
        at = self.tick() if time_s is None else time_s
        made = Record.make(len(station.records) + 1, previous, at, body)
        station.records.append(made)
        return made

    def sync(self, station: SoftStation, pending: tuple[int, ...] = ()) -> None:
        bundle = self.random(32)
        self.note(IssuanceKind.OBJECT, bundle, note="bundle")
        station.hotlist = self.hotlist_version
        self.record(station, log.Sync(1, len(self.issuance), bundle, self.hotlist_version,
                                      pending))  # fmt: skip

    def sync_all(self, but: SoftStation | None = None) -> None:
        """Every terminal that is not lost installs the newest bundle and uploads.

        What was reserved until this one heard of a block (``waiting``) is over.
        ``deaf``: stations whose operators never install one again.
        """
        for station in self.stations:
            is_told = station is not but and station.name not in self.deaf
            if is_told and station.is_open:
                self.sync(station)
                evidence = station.records[-1].hash
                self.upload(station)
                for code, amount in sorted(self.waiting.pop(station.name, {}).items()):
                    self.post(ledger.reserve_cleared(evidence, code, amount))

    def upload(self, station: SoftStation, *, records=None, first: int | None = None) -> None:
        """Sign what is new (or these records), and have it acknowledged."""
        part = tuple(station.records[station.uploaded :] if records is None else records)
        if not part:
            return
        first = part[0].sequence if first is None else first
        head = UploadHead(station.name, first, part[-1].sequence, part[-1].hash)
        raw = bytes(Upload(head, sign_object(station.log_key, head, self.env), part))
        station.uploads.append(raw)
        station.uploaded = part[-1].sequence
        self.sign(Acknowledgement(station.name, head.last, head.head, self.tick()))

    # --- families, cards ------------------------------------------------------------

    def card(self, family: bytes, decree: bytes, row: int, before: SoftCard | None = None,
             *, logged: bool = True) -> SoftCard:  # fmt: skip
        predecessor = before.card_id if before else None
        order = Order(self.random(16), family, decree, row, predecessor,
                      tuple(sorted(self.programmes)), b"DESK0001", self.now_s + DAY_S)  # fmt: skip
        order_hash = self.sign(order)
        number = len(self.cards) + 1
        card_id = self.env.mark + number.to_bytes(4, "big")
        key, channel = P256Signer.generate(self.random), P256KeyAgreement.generate(self.random)
        cert = ca.issue_card_certificate(
            self.keys.issuer(KeyRole.CARD_CA), serial=number, card_id=card_id,
            channel_key=channel.public_key, receipt_key=key.public_key, now_s=self.tick(),
        )  # fmt: skip
        if logged:
            self.note(IssuanceKind.CARD_CERTIFICATE, bytes(cert), family=family,
                      predecessor=predecessor, order=order_hash)  # fmt: skip
        made = SoftCard(card_id, key, cert, family, link=cert.digest)
        self.cards.append(made)
        return made

    def entitle(self, card: SoftCard, wallet: int, step: int, cause: Citation | None, *,
                logged: bool = True, book: bool = True, **changes) -> Entitlement:  # fmt: skip
        """The next entitlement; booked and logged unless a fraud wants otherwise."""
        last, programme = card.issued.get(wallet), self.programmes[wallet]
        loaded = (last.loaded if last else 0) + step
        fields = {
            "env": self.env, "card_id": card.card_id, "wallet": wallet,
            "certificate_hash": card.certificate.digest[:16], "programme": programme.code,
            "sequence": (last.sequence if last else 0) + 1, "loaded": loaded,
            "lots": (Lot(START_S + 300 * DAY_S, loaded),), "forfeited_through": 0,
            "cap": programme.cap, "issued": dates.day_of(self.now_s), "acknowledged": 0,
            "settled_debited": 0, "settled_reversed": 0, "bypass_total": 2, "key_version": 1,
        } | changes  # fmt: skip
        body = Entitlement.encode_body(**fields)
        made = Entitlement.parse(body + self.keys.signer(KeyRole.ISSUER).sign(body))
        if logged:
            self.note(IssuanceKind.ENTITLEMENT, bytes(made), cause=cause)
        if book and step:
            self.post(ledger.issue(made.hash, programme.code, step))
        card.issued[wallet] = made
        return made

    def statement(self, station, card, kind, *, wallet=0, detail=0, number=0, officer=0,
                  role=cvc.Role.TERMINAL) -> Statement:  # fmt: skip
        e = card.held.get(wallet)
        body = Statement.encode_body(
            env=self.env, kind=kind, card_id=card.card_id, sequence=card.sequence, wallet=wallet,
            counters=card.wallets.get(wallet, NOBODY), entitlement_sequence=e.sequence if e else 0,
            script_count=card.scripts, pin_set_count=card.pins, bypass_count=card.bypasses,
            terminal_id=station.name, terminal_serial=station.serials[role, officer],
            officer=officer, detail=detail, number=number, card_date=dates.day_of(self.now_s),
            link=card.link,
        )  # fmt: skip
        return Statement.parse(body + card.key.sign(body))

    def hand_over(self, station: SoftStation, card: SoftCard) -> None:
        card.pins += 1
        said = self.statement(station, card, StatementKind.ACTIVATION, officer=HANDOVER,
                              role=cvc.Role.HANDOVER)  # fmt: skip
        self.record(station, log.Handover("BAST-1", HANDOVER, station.place, "", bytes(said)))

    def load(self, station: SoftStation, card: SoftCard, wallet: int, e=None) -> Statement:
        e = e or card.issued[wallet]
        before = card.wallets.get(wallet, NOBODY)
        card.wallets[wallet], card.held[wallet] = e.apply(before), e
        said = self.statement(station, card, StatementKind.LOAD, wallet=wallet)
        self.record(station, log.Load(e.hash, bytes(said)))
        if card.wallets[wallet].forfeited > before.forfeited:
            step = card.wallets[wallet].forfeited - before.forfeited
            self.post(ledger.forfeit(said.hash, self.programmes[wallet].code, step))
        return said

    def script(self, station: SoftStation, card: SoftCard, action: ScriptAction, *,
               deliver: bool = True) -> None:  # fmt: skip
        card.script_number += 1
        body = Script.encode_body(env=self.env, card_id=card.card_id, number=card.script_number,
                                  action=action, officer=0, issued=dates.day_of(self.now_s),
                                  key_version=1)  # fmt: skip
        made = Script.parse(body + self.keys.signer(KeyRole.ISSUER).sign(body))
        self.note(IssuanceKind.SCRIPT, bytes(made))
        if deliver:
            card.scripts += 1
            said = self.statement(station, card, StatementKind.SCRIPT, detail=int(action),
                                  number=made.number)  # fmt: skip
            self.record(station, log.ScriptDone(made.hash, bytes(said)))

    # --- taps ------------------------------------------------------------

    def intent(self, station, card, wallet, amount, *, reason="") -> Record:
        serial = station.serials[cvc.Role.TERMINAL, 0]
        return self.record(station, log.Intent(
            card.card_id, card.certificate.digest, wallet, amount, 1, (), card.sequence, serial, 0,
            1, 1, station.hotlist, reason,
        ))  # fmt: skip

    def receipt(  # noqa: PLR0917 - the order of the tap
        self, station, card, kind, intent, wallet, amount, *, key=None, officer=0, **changes
    ) -> Receipt:
        """The card commits and signs; ``changes`` is what a broken chip writes instead."""
        c = card.wallets[wallet]
        if kind == ReceiptKind.DEBIT:
            c = replace(c, debited=c.debited + amount)
        else:
            c = replace(c, reversed=c.reversed + amount)
        card.sequence += 1
        role = cvc.Role.SUPERVISOR if officer else cvc.Role.TERMINAL
        fields = {
            "env": self.env, "kind": kind, "card_id": card.card_id, "sequence": card.sequence,
            "wallet": wallet, "basket_version": 1, "amount": amount, "counters": c,
            "terminal_id": station.name, "terminal_serial": station.serials[role, officer],
            "officer": officer, "terminal_sequence": intent.sequence,
            "terminal_time_s": intent.time_s, "intent_hash": intent.hash,
            "verification": Verification.NONE if kind == ReceiptKind.REVERSAL else Verification.PIN,
            "interface": Interface.CONTACT, "entitlement_sequence": card.held[wallet].sequence,
            "script_count": card.scripts, "pin_set_count": card.pins,
            "bypass_count": card.bypasses, "card_date": dates.day_of(self.now_s),
            "link": card.link,
        } | changes  # fmt: skip
        body = Receipt.encode_body(**fields)
        made = Receipt.parse(body + (key or card.key).sign(body))
        card.wallets[wallet], card.link = made.counters, made.hash
        return made

    def debit(self, station, card, wallet, amount, *, deliver=True, record=True, book=True,
              pay=True, bypass=False, **changes) -> Tap:  # fmt: skip
        """A whole tap. ``book``: the backend holds the receipt; ``pay``: it is payable."""
        if bypass:
            card.bypasses += 1
            changes = {"verification": Verification.BYPASS, "officer": SUPERVISOR} | changes
        intent = self.intent(station, card, wallet, amount, reason="tangan sakit" if bypass else "")
        receipt = self.receipt(station, card, ReceiptKind.DEBIT, intent, wallet, amount, **changes)
        code, delivered = self.programmes[wallet].code, None
        if record:
            self.record(station, log.Receipted(intent.sequence, bytes(receipt)))
        if book:
            self.post(ledger.debit(receipt.hash, code, receipt.amount))
        if record and deliver:
            delivered = self.record(station, log.Delivered(intent.sequence))
            if book:
                self.hand(ledger.Kind.HANDED, station, delivered, wallet, amount, sign=1)
            if book and pay:
                self.payable(receipt)
        return Tap(station, intent, receipt, delivered)

    def payable(self, receipt: Receipt) -> None:
        p = self.programmes[receipt.wallet]
        minor = receipt.amount * p.tariff(receipt.basket_version).price_minor
        self.post(ledger.payable(receipt.hash, p.code, p.provider, minor))
        self.pending.setdefault((p.provider, p.code), []).append((receipt.hash, minor))
        self.owed.add(receipt.hash)

    def unpayable(self, receipt: Receipt, evidence: bytes) -> None:
        if receipt.hash not in self.owed:
            return
        p = self.programmes[receipt.wallet]
        minor = receipt.amount * p.tariff(receipt.basket_version).price_minor
        self.post(ledger.unpayable(evidence, p.code, p.provider, minor))
        lines = self.pending.setdefault((p.provider, p.code), [])
        if (receipt.hash, minor) in lines:
            lines.remove((receipt.hash, minor))
        else:
            lines.append((evidence, -minor))
        self.owed.discard(receipt.hash)

    def settle(self) -> None:
        self.tick()
        for (provider, code), lines in sorted(self.pending.items()):
            total = sum(minor for _, minor in lines)
            if total > 0:
                evidence = sha256(b"".join(e for e, _ in lines)).digest()
                self.post(ledger.settlement(evidence, code, provider, total))
                lines.clear()

    def void(self, tap: Tap, card: SoftCard, *, back=True, book=True, amount=None,
             officer=SUPERVISOR) -> tuple[Record, Receipt]:  # fmt: skip
        """A void by the supervisor; after hand-over the goods come back unless ``back`` is off."""
        station, r = tap.station, tap.receipt
        on_counter = tap.delivered is not None
        void = self.record(station, log.VoidIntent(
            tap.intent.sequence, card.card_id, card.sequence, station.serials[
                cvc.Role.SUPERVISOR, SUPERVISOR], SUPERVISOR, on_counter, "salah tekan",
        ))  # fmt: skip
        made = self.receipt(station, card, ReceiptKind.REVERSAL, void, r.wallet,
                            r.amount if amount is None else amount, officer=officer)  # fmt: skip
        self.record(station, log.Receipted(void.sequence, bytes(made)))
        if book:
            code = self.programmes[r.wallet].code
            self.post(ledger.reversal(made.hash, code, made.amount))
            if made.amount == r.amount:
                self.unpayable(r, made.hash)
        if on_counter and back:
            record = self.record(station, log.Returned(void.sequence))
            self.hand(ledger.Kind.RETURNED_GOODS, station, record, r.wallet, r.amount, sign=-1)
        return void, made

    # --- goods ------------------------------------------------------------

    def lines(self, wallet: int, amount: int) -> list[tuple[str, int]]:
        p = self.programmes[wallet]
        if not p.stocked:
            return []
        if p.unit == Unit.RUPIAH:
            return [(RUPIAH, amount)]
        return [(x.good, x.quantity * amount) for x in p.tariff(1).lines]

    def hand(self, kind, station, record, wallet, amount, *, sign) -> None:
        for good, quantity in self.lines(wallet, amount):
            self._put(station, good, -sign * quantity)
            self.post(ledger.stock(kind, record.hash, good, -sign * quantity,
                                   terminal=station.name,
                                   other=f"handed/{self.programmes[wallet].code}"))  # fmt: skip

    def deliver(self, station, provider, lines, *, received=None) -> bytes:
        """A signed delivery, taken in (``received``: what the terminal writes instead)."""
        made = tuple(GoodsLine(*x) for x in lines)
        digest = self.sign(
            StockDelivery(f"SJ-{len(self.issuance)}", provider, station.name, made, self.tick())
        )
        for line in [GoodsLine(*x) for x in received or lines]:
            record = self.record(station, log.Stock(StockMove.RECEIVED, digest, line))
            self._put(station, line.good, line.quantity)
            self.post(ledger.stock(ledger.Kind.STOCK_IN, record.hash, line.good, line.quantity,
                                   terminal=station.name, other=f"supply/{provider}"))  # fmt: skip
        return digest

    def lose(self, station: SoftStation, left: dict[str, int]) -> bytes:
        """TERMINAL_LOST after what was uploaded; what nobody can count goes to the loss account."""
        station.is_open = False
        digest = self.sign(TerminalLost(station.name, station.uploaded, "hanyut", self.tick()))
        for good, quantity in left.items():
            self.post(ledger.stock(ledger.Kind.STOCK_LOSS, digest, good, -quantity,
                                   terminal=station.name,
                                   other=f"stock-loss/{station.name.hex()}"))  # fmt: skip
        return digest

    def decide(self, kind: DecisionKind, card: SoftCard, wallet: int, amount: int, *, first=0,
               last=0, new: SoftCard | None = None) -> bytes:  # fmt: skip
        shape = Decision(f"K-{len(self.issuance)}", kind, card.card_id, wallet, first, last,
                         amount, new.card_id if new else None, "uji", self.tick())  # fmt: skip
        digest, code = self.sign(shape), self.programmes[wallet].code
        if kind == DecisionKind.MOVE:
            self.post(ledger.moved(digest, code, amount))
        if kind == DecisionKind.RETURN:
            self.post(ledger.returned(digest, code, amount))
        return digest

    # --- the export ------------------------------------------------------------

    def chain(self) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """Issuance log, ledger and heads, chained and signed now."""
        issuance, previous = chain_issuance(self.issuance)
        entries, tail = chain_ledger(self.ledger)
        ack = self.keys.signer(KeyRole.ACK)
        heads = [
            bytes(sign_object(ack, shape(n, digest, self.now_s), self.env))
            for shape, n, digest in (
                (LedgerHead, len(entries), tail), (IssuanceHead, len(issuance), previous)
            )
        ]  # fmt: skip
        return issuance, entries, heads

    def publish(self) -> list[bytes]:
        """Heads as of now; they stay in the export, whatever is rewritten later."""
        self.old_heads += (made := self.chain()[2])
        return made

    def finish(self) -> Export:
        """Upload the rest and make the export."""
        for station in self.stations:
            if not station.name.startswith(b"LOST"):
                self.upload(station)
        issuance, entries, heads = self.chain()
        uploads = []
        for station in self.stations:
            for raw in station.uploads:
                head = Upload.parse(raw).head if is_sound(raw) else head_of(raw)
                name = f"{station.name.hex()}-{head.first:010d}-{head.last:010d}.cbor"
                uploads.append(UploadFile(name, raw))
        objects = {kind: tuple(items) for kind, items in self.objects.items()}
        return Export(tuple(uploads), tuple(issuance), tuple(entries),
                      (*self.old_heads, *heads), objects)  # fmt: skip

    @property
    def trust(self) -> bytes:
        return bytes(self.keys.trust)

    def audited(self, export: Export | None = None):
        """The auditor's world of this export."""
        return build(export or self.finish(), self.trust, allow_demo=True)
