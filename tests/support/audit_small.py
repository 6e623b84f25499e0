"""A small verified world made by hand: what `build` gives the rules, without an export's bytes.

For tests of one rule or helper in a millisecond. Receipts and statements are really signed by the
card's key; certificates and objects stand in it as they do once they were verified.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from datetime import date
from functools import cache
from hashlib import sha256

from backend import ledger
from backend.audit.facts import Fact
from backend.audit.model import Ask, Card, Held, Issued, Object, Place, Said, Station, World
from backend.audit.rules import RULES
from keys.hierarchy import make_world
from keys.signer import P256Signer
from keys.trust import TrustStore
from wire import cvc, dates, log
from wire.chain import GENESIS, IssuanceEntry, IssuanceKind, LedgerEntry
from wire.entitlement import Entitlement, Lot
from wire.env import Environment
from wire.invariants import Invariant
from wire.log import Record
from wire.objects import (
    Decision,
    DecisionKind,
    Enrolment,
    GoodsLine,
    Hotlist,
    Parameters,
    Programme,
    StationKind,
    Tariff,
    TerminalLost,
    Unit,
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
START_S = 1_775_000_000  # 2026-03-31 23:33:20 UTC
DAY_S = 86_400
CASH, FOOD, OTHER = 2, 1, 3  # wallets 0x1A02, 0x1A01, 0x1A03 and their programmes
SUPERVISOR = 41
NOTHING = Counters(0, 0, 0, 0)


def wallet_of(code: int) -> int:
    """The wallet of a programme."""
    return 0x1A00 + code


W1, W2, W3 = wallet_of(FOOD), wallet_of(CASH), wallet_of(OTHER)


@cache
def trust() -> TrustStore:
    """Keys nobody signs with here: the rules only pass them on."""
    rng = random.Random(5)  # noqa: S311 - repeatable on purpose
    keys = make_world(ENV, random=rng.randbytes, now_s=START_S, from_s=START_S - 90 * DAY_S)
    return TrustStore(keys.trust, allow_demo=True, covered=lambda *_: False)


@cache
def card_key() -> P256Signer:
    """The receipt key of every card."""
    return P256Signer.generate(random.Random(6).randbytes)  # noqa: S311


class Small:
    """A world and the verbs that fill it; every verb takes a minute."""

    def __init__(self) -> None:
        self.world = World(trust(), now_s=START_S)
        self.time_s, self.order, self.made = START_S, 0, 0
        self.sequence: defaultdict[bytes, int] = defaultdict(int)
        self.link: dict[bytes, bytes] = {}
        self.counters: defaultdict[tuple[bytes, int], Counters] = defaultdict(lambda: NOTHING)

    def tick(self, seconds: int = 60) -> int:
        """The time, so much later."""
        self.time_s += seconds
        self.world.now_s = max(self.world.now_s, self.time_s)
        return self.time_s

    def name(self) -> bytes:
        """A hash nothing else has; later ones sort after earlier ones."""
        self.made += 1
        return self.made.to_bytes(4, "big") + sha256(b"%d" % self.made).digest()[4:]

    # --- issuance log, objects, ledger ----------------------------------------------------------

    def entry(self, kind=IssuanceKind.OBJECT, item=b"", **more) -> IssuanceEntry:
        """The next place of the issuance log."""
        self.order += 1
        fields = {"family": None, "predecessor": None, "order": None, "cause": None,
                  "note": ""} | more  # fmt: skip
        made = IssuanceEntry(sequence=self.order, previous=GENESIS, time_s=self.time_s, kind=kind,
                             item=item, **fields)  # fmt: skip
        self.world.issuance.append(made)
        return made

    def object(self, payload) -> bytes:
        """A verified object of the log; its hash."""
        self.tick()
        name = self.name()
        entry = self.entry(item=name, note=payload.KIND)
        self.world.names[name] = entry
        self.world.enter(Object(name, payload, entry))
        return name

    def post(self, transfer: ledger.Transfer) -> LedgerEntry:
        """Book it as the next ledger entry."""
        made = LedgerEntry(len(self.world.ledger) + 1, GENESIS, self.tick(), str(transfer.kind),
                           transfer.evidence, transfer.postings)  # fmt: skip
        self.world.ledger.append(made)
        return made

    def parameters(self, gap=1000, returned=1000, statement=1000, skew=100, version=1) -> None:
        """Ages in seconds."""
        self.object(Parameters(version, gap, returned, statement, skew, DAY_S, DAY_S, 10))

    def programme(self, code=CASH, *, unit=Unit.RUPIAH, price=1, lines=(), version=1, tariffs=None,
                  **changes) -> Programme:  # fmt: skip
        """A programme of one tariff."""
        tariffs = tariffs or (Tariff(1, price, tuple(GoodsLine(*x) for x in lines)),)
        made = Programme(code, version, "Dinsos", "Nama", "Name", wallet_of(code), unit,
                         f"P{code}", 1000, 2, 100, True, (), tariffs)  # fmt: skip
        made = replace(made, **changes)
        self.object(made)
        return made

    def hotlist(self, version: int, *cards: Card) -> bytes:
        """A hotlist that names these cards."""
        serials = frozenset(int.from_bytes(c.card_id[4:], "big") for c in cards)
        self.world.hotlists[version] = serials
        return self.object(Hotlist(version, self.tick(), b""))

    def decide(self, kind: DecisionKind, card: Card, wallet: int, amount: int = 0, *, first=0,
               last=0, new: Card | None = None) -> bytes:  # fmt: skip
        """A decision; its hash."""
        return self.object(Decision(f"K-{self.order}", kind, card.card_id, wallet, first, last,
                                    amount, new.card_id if new else None, "uji",
                                    self.tick()))  # fmt: skip

    # --- stations ------------------------------------------------------------

    def station(self, n: int = 1, kind=StationKind.TERMINAL) -> Station:
        """TERM000n with certificates of a terminal (serial 10 n) and a supervisor (10 n + 1)."""
        name = b"TERM%04d" % n
        shape = Enrolment(name, kind, bytes(32), "*", f"Desa {n}", self.tick())
        made = Station(shape, self.name(), self.entry(IssuanceKind.ENROLMENT))
        self.world.stations[name] = made
        self.certify(made, cvc.Role.TERMINAL, 0, 10 * n)
        self.certify(made, cvc.Role.SUPERVISOR, SUPERVISOR, 10 * n + 1)
        return made

    def certify(self, station: Station, role: cvc.Role, officer: int, serial: int,
                extension=None) -> None:  # fmt: skip
        """A certificate of this role from yesterday on, for 35 days."""
        extension = extension or cvc.TerminalExtension(ENV, role, officer)
        cert = certificate(serial, station.station, extension, "T", days=34)
        entry = self.entry(IssuanceKind.TERMINAL_CERTIFICATE)
        self.world.certificates[station.station, serial] = (cert, entry)

    def record(self, station: Station, body, time_s: int | None = None) -> Place:
        """The next record of its chain."""
        last = station.last
        previous = station.records[last].hash if last else station.name
        at = self.tick() if time_s is None else time_s
        made = Record.make(last + 1, previous, at, body)
        station.records[made.sequence] = made
        return Place(station.station, made)

    def acknowledge(self, station: Station) -> int:
        """All of its records arrive; the place of that in the issuance log."""
        order = self.entry().sequence
        station.arrivals.append((station.last, self.tick(), order))
        return order

    def lose(self, station: Station, last: int | None = None) -> bytes:
        """TERMINAL_LOST after ``last``, or all it has."""
        lost = TerminalLost(station.station, station.last if last is None else last, "hanyut",
                            self.tick())  # fmt: skip
        station.lost, station.lost_hash = lost, self.object(lost)
        return station.lost_hash

    # --- cards ------------------------------------------------------------

    def card(self, n: int = 1, family: bytes | None = None, **more) -> Card:
        """Card n, of a family of its own."""
        card_id = ENV.mark + n.to_bytes(4, "big")
        cert = certificate(n, card_id, cvc.CardExtension(ENV, bytes(33)), "C", days=3000)
        fields = {"family": family or b"F%015d" % n, "order": bytes(32)} | more
        entry = self.entry(IssuanceKind.CARD_CERTIFICATE, **fields)
        made = Card(card_id, cert, card_key().public_key, entry)
        self.world.cards[card_id] = made
        self.link[card_id] = cert.digest
        return made

    def entitle(self, card: Card, wallet: int, loaded: int, *, cause=None, **changes) -> Issued:
        """The next entitlement of a wallet, loaded too."""
        every = card.entitlements.setdefault(wallet, [])
        fields = {
            "env": ENV, "card_id": card.card_id, "wallet": wallet,
            "certificate_hash": card.certificate.digest[:16], "programme": wallet - 0x1A00,
            "sequence": len(every) + 1, "loaded": loaded,
            "lots": (Lot(START_S + 300 * DAY_S, loaded),), "forfeited_through": 0, "cap": 1000,
            "issued": dates.day_of(START_S), "acknowledged": 0, "settled_debited": 0,
            "settled_reversed": 0, "bypass_total": 2, "key_version": 1,
        } | changes  # fmt: skip
        body = Entitlement.encode_body(**fields)
        e = Entitlement.parse(body + card_key().sign(body))
        entry = self.entry(IssuanceKind.ENTITLEMENT, cause=cause)
        made = Issued(e, entry, e.loaded - card.issued(wallet))
        every.append(made)
        key = card.card_id, wallet
        self.counters[key] = e.apply(self.counters[key])
        return made

    def statement(self, card: Card, station: Station, kind=StatementKind.LOAD, wallet=0,
                  **changes) -> Said:  # fmt: skip
        """A statement of the card as it is, recorded here."""
        e = card.entitlements.get(wallet)
        fields = {
            "env": ENV, "kind": kind, "card_id": card.card_id,
            "sequence": self.sequence[card.card_id], "wallet": wallet,
            "counters": self.counters[card.card_id, wallet],
            "entitlement_sequence": len(e) if e else 0, "script_count": 0, "pin_set_count": 0,
            "bypass_count": 0, "terminal_id": station.station, "terminal_serial": 1, "officer": 0,
            "detail": 0, "number": 0, "card_date": dates.day_of(self.time_s),
            "link": self.link[card.card_id],
        } | changes  # fmt: skip
        body = Statement.encode_body(**fields)
        made = Statement.parse(body + card_key().sign(body))
        said = Said(made, self.record(station, log.Load(bytes(32), bytes(made))))
        card.statements.append(said)
        self.world.statements[made.hash] = said
        return said

    # --- taps ------------------------------------------------------------

    def intent(self, station: Station, card: Card, wallet: int, amount: int, *, lines=(),
               reason="", hotlist=0) -> Ask:  # fmt: skip
        """An INTENT of a debit."""
        serial, at = self._serial(station, 0), self.sequence[card.card_id]
        place = self.record(station, log.Intent(
            card.card_id, card.certificate.digest, wallet, amount, 1,
            tuple(GoodsLine(*x) for x in lines), at, serial, 0, 1, 1, hotlist, reason,
        ))  # fmt: skip
        made = Ask(place, card.card_id, wallet, amount, 1, at, serial, hotlist)
        station.asks[place.record.sequence] = made
        return made

    def debit(self, card: Card, station: Station, wallet: int, amount: int, *, asked=None,
              deliver=True, record=True, **changes) -> Held:  # fmt: skip
        """A whole tap; ``changes``: what the card signs instead, ``asked`` of what intent."""
        ask = asked or self.intent(station, card, wallet, amount)
        c = self.counters[card.card_id, wallet]
        c = replace(c, debited=c.debited + amount)
        made = self.receipt(card, ask, ReceiptKind.DEBIT, wallet, amount,
                            **{"counters": c} | changes)  # fmt: skip
        held = self.hold(made, self.bring(station, ask, made) if record else ask.place)
        if record and deliver:
            self.hand(ask)
        return held

    def void(self, held: Held, station: Station, *, back=True, deliver=True, **changes) -> Held:
        """A void of a debit, and its reversal; after a hand-over the goods come back."""
        r = held.receipt
        debit, card = self.world.ask_of(r), self.world.cards[r.card_id]
        ask = self.void_ask(station, debit)
        c = self.counters[r.card_id, r.wallet]
        c = replace(c, reversed=c.reversed + r.amount)
        fields = {"verification": Verification.NONE, "officer": SUPERVISOR,
                  "terminal_serial": self._serial(station, 1)} | changes  # fmt: skip
        fields = {"counters": c, "amount": r.amount} | fields
        made = self.receipt(card, ask, ReceiptKind.REVERSAL, r.wallet, **fields)
        reversal = self.hold(made, self.bring(station, ask, made))
        if ask.on_counter and back:
            ask.returned.append(
                self.record(station, log.Returned(ask.place.record.sequence)).record
            )
        return reversal

    def void_ask(self, station: Station, debit: Ask) -> Ask:
        """A VOID, without its outcome."""
        on_counter = bool(debit.delivered)
        place = self.record(station, log.VoidIntent(
            debit.place.record.sequence, debit.card_id, self.sequence[debit.card_id],
            self._serial(station, 1), SUPERVISOR, on_counter, "salah",
        ))  # fmt: skip
        made = Ask(place, debit.card_id, debit.wallet, debit.amount, debit.basket_version,
                   self.sequence[debit.card_id], self._serial(station, 1), 0, debit,
                   is_void=True, on_counter=on_counter)  # fmt: skip
        station.asks[place.record.sequence] = made
        debit.voids.append(made)
        return made

    def receipt(self, card, ask, kind, wallet, amount, **changes) -> Receipt:
        """What the card signs for an intent."""
        self.sequence[card.card_id] += 1
        record = ask.place.record
        fields = {
            "env": ENV, "kind": kind, "card_id": card.card_id,
            "sequence": self.sequence[card.card_id], "wallet": wallet, "basket_version": 1,
            "amount": amount, "terminal_id": ask.place.station,
            "terminal_serial": ask.serial, "officer": 0, "terminal_sequence": record.sequence,
            "terminal_time_s": record.time_s, "intent_hash": record.hash,
            "verification": Verification.PIN, "interface": Interface.CONTACT,
            "entitlement_sequence": len(card.entitlements.get(wallet, ())), "script_count": 0,
            "pin_set_count": 0, "bypass_count": 0, "card_date": dates.day_of(self.time_s),
            "link": self.link[card.card_id],
        } | changes  # fmt: skip
        body = Receipt.encode_body(**fields)
        made = Receipt.parse(body + card_key().sign(body))
        self.link[card.card_id], self.counters[card.card_id, wallet] = made.hash, made.counters
        return made

    def bring(self, station: Station, ask: Ask, receipt: Receipt) -> Place:
        """The station records the receipt of its intent."""
        place = self.record(station, log.Receipted(ask.place.record.sequence, bytes(receipt)))
        ask.receipts.append((place.record, receipt))
        return place

    def hold(self, receipt: Receipt, place: Place) -> Held:
        """It is the one counted at its sequence, or a second body there."""
        card, held = self.world.cards[receipt.card_id], Held(receipt, place)
        self.world.receipts[receipt.hash] = held
        if card.receipts.setdefault(receipt.sequence, held) is not held:
            card.doubles.setdefault(receipt.sequence, []).append(held)
        return held

    def hand(self, ask: Ask) -> Place:
        """DELIVERED."""
        station = self.world.stations[ask.place.station]
        place = self.record(station, log.Delivered(ask.place.record.sequence))
        ask.delivered.append(place.record)
        return place

    def skip(self, card: Card, n: int = 1) -> None:
        """The card makes receipts that nobody brings."""
        self.sequence[card.card_id] += n

    @staticmethod
    def _serial(station: Station, by: int) -> int:
        return 10 * int(station.station[4:]) + by


def certificate(serial: int, subject: bytes, extension, kind: str, *, days: int) -> cvc.Certificate:
    """A certificate as it stands once it was verified, from the day before START_S on."""
    begins = dates.add_days(dates.day_of(START_S), -1)
    return cvc.Certificate(serial, cvc.CaId(ENV.mark, kind, 1), subject, begins,
                           dates.add_days(begins, days), extension, b"", b"",
                           subject + serial.to_bytes(4, "big"))  # fmt: skip


def day(text: str) -> date:
    """A day, written 2026-04-01."""
    return date.fromisoformat(text)


def facts(s: Small, invariant: Invariant) -> list[Fact]:
    """What the rule of this invariant finds, in its order."""
    return [f.what.fact for f in RULES[invariant](s.world)]


def subjects(s: Small, invariant: Invariant) -> list[str]:
    """About what."""
    return [f.subject for f in RULES[invariant](s.world)]
