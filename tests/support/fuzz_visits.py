"""Whole visits with a lying card or a noisy line: typed outcomes, a true journal, a true desk.

At the terminal every answer of a visit may be changed on the line (noise) or by the card under its
own keys (a lie). At the issuing desk the same with a card on its way from blank to issued.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from copy import copy
from functools import cache
from random import Random
from typing import Any

from card_os.host.links import InProcessLink
from card_os.reference.card import ReferenceCard
from card_os.reference.errors import CardError
from issuer.outcomes import Issued
from issuer.outcomes import Outcome as DeskOutcome
from keys.securechannel import SecureMessaging
from terminal.journal import replay
from terminal.outcomes import Outcome, Redeemed, Voided
from terminal.visit import Visit
from tests.support import fuzz_mutate as mutate
from tests.support.campaign import FaultError
from tests.support.fuzz_answers import WORDS, LyingCard, lied
from tests.support.terminal_world import (
    CASH,
    CODE,
    FOOD,
    GIB,
    HANDOVER,
    OTHER_PIN,
    PIN,
    Issuer,
    Terminal,
    entry,
)
from tests.unit.issuer.desk_world import OFFICER, DeskWorld
from wire import log
from wire.apdu import CommandApdu, ResponseApdu
from wire.cvc import Role
from wire.entitlement import ScriptAction
from wire.log import RecordType
from wire.purse import Life
from wire.receipt import Receipt

__all__ = ["play_desk", "play_terminal"]

RATES = (0.03, 0.1, 0.3)


class Liar:
    """Changes one answer in so many, and counts."""

    def __init__(self, r: Random, card: LyingCard | None = None) -> None:
        self.r, self.rate, self.counts = r, r.choice(RATES), Counter[str]()
        self._card, self._pool = card, list[bytes]()

    def _now(self) -> bool:
        return self.r.random() < self.rate

    def noise(self, raw: bytes) -> bytes:
        """Bytes on the line."""
        self._keep(raw)
        if not self._now():
            return raw
        self.counts["answers"] += 1
        kind = self.r.randrange(12)
        if kind == 0:
            return b""
        if kind == 1:
            return self.r.choice(WORDS).to_bytes(2, "big")
        return self.r.choice(self._pool) if kind == 2 else mutate.blob(self.r, raw, self._pool)

    def lie(self, data: bytes, sw: int) -> tuple[bytes, int]:
        """Plain content, still to be wrapped."""
        self._keep(data)
        if not self._now():
            return data, sw
        self.counts["answers"] += 1
        sign = self._card.sign if self._card else None
        return lied(self.r, data, sw, sign, self._pool)

    def _keep(self, raw: bytes) -> None:
        if raw:
            self._pool.append(raw)
            del self._pool[:-20]


# --- the terminal -------------------------------------------------------------------------------


@cache
def _shop() -> tuple[Terminal, LyingCard, LyingCard]:
    """A terminal with an open shift, a card it carries entitlements for, and an inert one."""
    issuer = Issuer()
    card, inert = LyingCard(issuer, 1, "active"), LyingCard(issuer, 2, "inert")
    terminal = Terminal(issuer)
    scripts = (issuer.script(card, ScriptAction.PIN_UNBLOCK),
               issuer.script(card, ScriptAction.PIN_RESET, 2, officer=HANDOVER))  # fmt: skip
    terminal.engine.install(terminal.bundle(
        entry(card, issuer.entitlement(card, FOOD), issuer.entitlement(card, CASH, loaded=10**6),
              scripts=scripts),
        entry(inert, issuer.entitlement(inert, CASH, loaded=500)),
    ))  # fmt: skip
    terminal.engine.open_shift(5)
    return terminal, card, inert


def _fork(terminal: Terminal) -> Terminal:
    made = copy(terminal)
    stores = []
    for db in terminal.memory:
        new = sqlite3.connect(":memory:", isolation_level=None)
        db.backup(new)
        stores.append(new)
    made.memory = (stores[0], stores[1])
    made.events = []
    made.restart()
    return made


def play_terminal(seed: int, number: int) -> Counter[str]:
    """A few visits with one card, then honest ones; raises `FaultError`."""
    r = Random(f"{seed}/{number}/visit")  # noqa: S311
    base, active, inert = _shop()
    terminal, card = _fork(base), (inert if r.random() < 0.2 else active).fork()
    liar, lying = Liar(r, card), r.random() < 0.5
    said = f"{'lies' if lying else 'noise'} at {liar.rate}"
    try:
        for _ in range(r.randrange(1, 4)):
            if lying:
                card.lie = liar.lie
            else:
                card.noise = liar.noise
            _visit(terminal, card, r, liar.counts)
            if r.random() < 0.3:
                terminal.restart()
        card.lie = card.noise = None
        _visit(terminal, card, r, liar.counts, Role.TERMINAL)
        _check_journal(terminal, card)
        if not lying:
            _check_truth(terminal, card)
    except FaultError as fault:
        raise FaultError(f"{said}: {fault}") from fault
    except Exception as error:
        raise FaultError(f"{said}: {type(error).__name__}: {error}") from error
    finally:
        for db in terminal.memory:
            db.close()
    return liar.counts


def _visit(
    terminal: Terminal, card: LyingCard, r: Random, counts: Counter[str], role: Role | None = None
) -> None:
    roles = [Role.TERMINAL] * 4 + [Role.SUPERVISOR] * 2 + [Role.HANDOVER]
    role = role or r.choice(roles)
    link: Any = card.link() if not card.powered else _again(card)
    visit = terminal.engine.begin(link, role, terminal.officers.get(role))
    counts[f"terminal: {type(visit).__name__}"] += 1
    if not isinstance(visit, Visit):
        _typed(terminal, visit)
        return
    with visit:
        visit.wallets()
        visit.last_receipts()
        for call in _acts(visit, r, role):
            outcome = call()
            _typed(terminal, outcome)
            counts[f"terminal: {outcome.key}"] += 1
            if isinstance(outcome, Redeemed) and r.random() < 0.6:
                _typed(terminal, visit.delivered(outcome.intent))
        visit.wallets()


def _again(card: LyingCard) -> InProcessLink:
    card.power_off()
    return card.link()


def _acts(visit: Visit, r: Random, role: Role) -> list[Callable[[], Outcome]]:
    if role is Role.SUPERVISOR:
        intents = [x.sequence for x in visit.engine.journal.intents_of(visit.card_id)] or [1]
        return [
            lambda: visit.void(r.choice(intents[-2:]), on_counter=r.random() < 0.3, reason="salah"),
            lambda: visit.redeem(CASH, 3, bypass_reason="tangan luka"),
        ]  # fmt: skip
    if role is Role.HANDOVER:
        return [lambda: visit.activate(CODE, PIN, bast="BAST-1", place="Balai"),
                lambda: visit.set_pin_after_reset(OTHER_PIN)]  # fmt: skip
    pin = r.choice((PIN, PIN, PIN, OTHER_PIN))
    acts: list[Callable[[], Outcome]] = [lambda: visit.verify_pin(pin)]
    if r.random() < 0.15:
        acts.append(lambda: visit.change_pin(PIN, r.choice((PIN, OTHER_PIN))))
    acts.append(lambda: visit.redeem(r.choice((FOOD, CASH)), r.choice((1, 2, 50))))
    if r.random() < 0.3:
        acts.append(lambda: visit.redeem(CASH, 7))
    if r.random() < 0.2:
        acts.append(lambda: visit.dispute(visit.state.sequence))
    return acts


def _typed(terminal: Terminal, outcome: object) -> None:
    if not isinstance(outcome, Outcome):
        raise FaultError(f"no outcome: {outcome!r}")
    if isinstance(outcome, Redeemed | Voided):
        number = outcome.intent if isinstance(outcome, Redeemed) else outcome.void
        if terminal.journal.intent(number).receipt is None:
            raise FaultError(f"{outcome.key} of {number} without a receipt in the journal")


def _check_journal(terminal: Terminal, card: LyingCard) -> None:
    """One chain; its tables are what its records say; every RECEIPT proves its intent."""
    journal = terminal.journal
    journal.check()
    records = journal.records(0, GIB)
    again = sqlite3.connect(":memory:", isolation_level=None)
    if replay(again, journal.station, records).derived() != journal.derived():
        raise FaultError("the journal's tables are not what its records say")
    again.close()
    by_number = {x.sequence: x for x in records}
    proven = set()
    for record in records:
        if record.kind is RecordType.RECEIPT:
            _check_receipt(card, by_number, record)
            proven.add(record.body.intent)
        elif record.kind is RecordType.DELIVERED and record.body.intent not in proven:
            raise FaultError(f"record {record.sequence}: delivered before it was proven")
        if any(secret.encode() in record.raw for secret in (PIN, OTHER_PIN, CODE)):
            raise FaultError(f"record {record.sequence} holds a PIN")


def _check_receipt(card: LyingCard, records: dict[int, log.Record], record: log.Record) -> None:
    receipt = Receipt.parse(record.body.receipt).verify(card.certificate.extension.receipt_key)
    intent = records[record.body.intent]
    debit = intent if intent.kind is RecordType.INTENT else records[intent.body.intent]
    got = (receipt.terminal_sequence, receipt.intent_hash, receipt.card_id, receipt.wallet,
           receipt.amount)  # fmt: skip
    want = (intent.sequence, intent.hash, card.card_id, debit.body.wallet, debit.body.amount)
    if got != want:
        raise FaultError(f"record {record.sequence}: a receipt of something else, {got} {want}")


def _check_truth(terminal: Terminal, card: LyingCard) -> None:
    """After noise only, an honest visit leaves nothing open, and journal and card agree."""
    journal, store = terminal.journal, card.applet._store
    if journal.open_intents(card.card_id):
        raise FaultError("an intent stays open after an honest visit")
    state = store.card
    ours = set()
    for sequence in range(1, state.sequence + 1):
        receipt = Receipt.parse(store.receipt(state, sequence) or b"")
        ours.add((receipt.terminal_sequence, receipt.hash))
    held = {(x.sequence, x.receipt.hash) for x in journal.intents_of(card.card_id) if x.receipt}
    if ours != held:
        raise FaultError(f"card and journal differ: {len(ours)} receipts and {len(held)}")


# --- the issuing desk -----------------------------------------------------------------------------


@cache
def _desk() -> DeskWorld:
    return DeskWorld()


def _lying_chip(world: DeskWorld, liar: Liar) -> ReferenceCard:
    """A blank chip that lies before its secure messaging is put around the answer."""
    card = world.card()
    dispatcher: Any = card._dispatcher
    honest = dispatcher._run

    def run(command: CommandApdu, session: SecureMessaging | None) -> ResponseApdu:
        try:
            answer = honest(command, session)
        except CardError as error:
            answer = ResponseApdu(error.data, error.sw)
        return ResponseApdu(*liar.lie(answer.data, answer.sw)) if session else answer

    dispatcher._run = run
    return card


class NoisyLink(InProcessLink):
    """A link whose answers may be changed."""

    def __init__(self, card: ReferenceCard, liar: Liar) -> None:
        super().__init__(card)
        self.liar = liar

    def transmit(self, command: bytes, /) -> bytes:
        answer = super().transmit(command)
        return self.liar.noise(answer) or b"\x6f\x00"


def play_desk(seed: int, number: int) -> Counter[str]:
    """One card from blank, lied about at the desk, then honestly; raises `FaultError`."""
    r = Random(f"{seed}/{number}/desk")  # noqa: S311
    world, liar = _desk(), Liar(r)
    order, lying = world.order(), r.random() < 0.5
    liar.rate = r.choice((0.03, 0.1, 0.3))
    card = _lying_chip(world, liar) if lying else world.card()
    said = f"{'lies' if lying else 'noise'} at {liar.rate}"
    try:
        for _ in range(r.randrange(1, 3)):
            link = InProcessLink(card) if lying else NoisyLink(card, liar)
            outcome: DeskOutcome = world.desk.personalise(link, OFFICER, order)
            liar.counts[f"desk: {outcome.key}"] += 1
        liar.rate = 0.0
        outcome = world.make(card, order)
        liar.counts[f"desk at last: {outcome.key}"] += 1
        _check_desk(world, order, outcome, card, lying=lying)
    except FaultError as fault:
        raise FaultError(f"{said}: {fault}") from fault
    except Exception as error:
        raise FaultError(f"{said}: {type(error).__name__}: {error}") from error
    return liar.counts


def _check_desk(
    world: DeskWorld, order: bytes, outcome: object, card: ReferenceCard, *, lying: bool
) -> None:
    world.desk.log.check()
    family = world.desk.book.job(order).order.family
    if len(world.certificates(family)) > 1:
        raise FaultError("two cards were certified for one order")
    if isinstance(outcome, Issued) and not lying:
        life = card._dispatcher._content.applet(_purse(card))._store.card.life
        if life is not Life.INERT:
            raise FaultError(f"issued, and the card is {life.name}")


def _purse(card: ReferenceCard) -> bytes:
    return next(iter(card._dispatcher._content.instances()))
