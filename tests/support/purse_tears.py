"""Cards in every state the story may meet, and every command ready to be torn.

A command is prepared untorn (its session is open); what remains is one step that sends one APDU.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.support.purse_world import (
    CODE,
    OFFICER,
    OTHER_PIN,
    PIN,
    TODAY,
    Bench,
    HostSession,
    Refused,
    debit_of,
    void_of,
)
from wire.cvc import CaKind, Role
from wire.entitlement import ScriptAction
from wire.purse import Ins

__all__ = ["COMMANDS", "COUNTS_TRIES", "STATES", "Prepare", "Stage", "Step", "prepared"]

Step = Callable[[], object]
Prepare = Callable[[Bench], Step]
Stage = Callable[[str], Bench]  # a fresh copy of a card in that life


# States: each a card that the story may meet.


def _paid(stage: Stage, times: int = 1) -> Bench:
    bench = stage("ACTIVE")
    for _ in range(times):
        bench.pay(amount=1)
    return bench


def _scripted(base: Bench, *actions: ScriptAction) -> Bench:
    for action in actions:
        number = base.store.card.script_number + 1
        session = base.open()
        session.send(Ins.SCRIPT, 0, 0, bytes(base.world.script(action, number)))
    return base


def _confirmed(stage: Stage) -> Bench:
    bench = _paid(stage)
    bench.open().send(Ins.CONFIRM, 0, 0, (1).to_bytes(4, "big"))
    return bench


def _voided(stage: Stage) -> Bench:
    bench = _paid(stage)
    bench.open(Role.SUPERVISOR).void(void_of(1))
    return bench


def _worn(stage: Stage) -> Bench:
    """A ring that went round: 31 receipts, acknowledged up to 20, then 10 more."""
    bench = _paid(stage, 31)
    bench.load(sequence=2, acknowledged=20, bypass_total=2)
    for _ in range(10):
        bench.pay(amount=1)
    return bench


def _eight_wallets(stage: Stage) -> Bench:
    bench = stage("ACTIVE")
    for wallet in range(1, 7):
        bench.load(wallet=wallet, bypass_total=2)
    return bench


def _second_link(stage: Stage) -> Bench:
    bench = stage("ACTIVE")
    bench.pso(bench.world.link(CaKind.TERMINAL_CA, 2, key=30))
    return bench


STATES: dict[str, Callable[[Stage], Bench]] = {
    "BARE": lambda stage: stage("BARE"),
    "INSTALLED": lambda stage: stage("INSTALLED"),
    "KEYED": lambda stage: stage("KEYED"),
    "INERT": lambda stage: stage("INERT"),
    "INERT, reset pending": lambda stage: _scripted(stage("INERT"), ScriptAction.PIN_RESET),
    "ACTIVE": lambda stage: stage("ACTIVE"),
    "ACTIVE, reset pending": lambda stage: _scripted(stage("ACTIVE"), ScriptAction.PIN_RESET),
    "BLOCKED": lambda stage: _scripted(_paid(stage), ScriptAction.BLOCK),
    "paid": _paid,
    "confirmed": _confirmed,
    "voided": _voided,
    "ring full": lambda stage: _paid(stage, 31),
    "ring worn": _worn,
    "eight wallets": _eight_wallets,
    "second link": _second_link,
}


# Commands: each prepares a session untorn and returns the one torn step.


def _in_session(role: Role, act: Callable[[HostSession], object], **changes: object) -> Prepare:
    def prepare(bench: Bench) -> Step:
        session = bench.open(role, **changes)
        return lambda: act(session)

    return prepare


def _verified(act: Callable[[HostSession], object]) -> Prepare:
    def prepare(bench: Bench) -> Step:
        session = bench.open()
        session.verify()
        return lambda: act(session)

    return prepare


def _first_read(bench: Bench) -> Step:
    session = bench.begin(bench.world.terminal_certificate(
        Role.PERSONALISER, serial=900, effective=TODAY.replace(day=20)
    ))  # fmt: skip
    return session.state


def _personalise(bench: Bench) -> Step:
    session = bench.open(Role.PERSONALISER)
    data = CODE + bytes(bench.own_certificate())
    return lambda: session.send(Ins.PERSONALISE, 0, 0, data)


def _link(kind: CaKind, version: int, lowest: int, *, back: bool) -> Prepare:
    def prepare(bench: Bench) -> Step:
        link = bench.world.link(kind, version, key=31, lowest_kept=lowest, back=back)
        return lambda: bench.pso(link)

    return prepare


def _load(session: HostSession, **changes: object) -> object:
    card = session.bench.store.card
    sequence = 1 + max(
        [w.entitlement_sequence for w in session.bench.store.wallets(card)], default=0
    )
    entitlement = session.bench.entitlement(sequence=sequence, **changes)
    return session.send(Ins.LOAD, 0, 0, bytes(entitlement))


def _script(action: ScriptAction) -> Callable[[HostSession], object]:
    def act(session: HostSession) -> object:
        number = session.bench.store.card.script_number + 1
        script = session.bench.world.script(action, number, issued=TODAY.replace(day=9))
        return session.send(Ins.SCRIPT, 0, 0, bytes(script))

    return act


def _sequence(session: HostSession) -> int:
    return session.bench.store.card.sequence


COMMANDS: dict[str, Prepare] = {
    "GENERATE KEYS": lambda b: b.generate_keys,
    "PSO link T": _link(CaKind.TERMINAL_CA, 7, 1, back=False),
    "PSO link T, slots emptied": _link(CaKind.TERMINAL_CA, 7, 7, back=True),
    "PSO link I": _link(CaKind.ISSUER, 7, 1, back=False),
    "READ STATE": _first_read,
    "PERSONALISE": _personalise,
    "LOAD": _in_session(
        Role.TERMINAL,
        lambda s: _load(s, loaded=1500, through=300, bypass_total=5, issued=TODAY.replace(day=9),
                        acknowledged=_sequence(s)),
    ),
    "LOAD new wallet": _in_session(Role.TERMINAL, lambda s: _load(s, wallet=0x0777)),
    **{f"SCRIPT {a.name}": _in_session(Role.TERMINAL, _script(a)) for a in ScriptAction},
    "VERIFY": _in_session(Role.TERMINAL, lambda s: s.verify()),
    "VERIFY wrong": _in_session(Role.TERMINAL, lambda s: s.verify(OTHER_PIN)),
    "CHANGE PIN": _in_session(
        Role.TERMINAL, lambda s: s.send(Ins.CHANGE_PIN, 0, 0x80, PIN + OTHER_PIN)
    ),
    "CHANGE PIN simple": _in_session(
        Role.TERMINAL, lambda s: s.send(Ins.CHANGE_PIN, 0, 0x80, PIN + b"111111")
    ),
    "CHANGE PIN wrong": _in_session(
        Role.TERMINAL, lambda s: s.send(Ins.CHANGE_PIN, 0, 0x80, OTHER_PIN + PIN)
    ),
    "ACTIVATE code": _in_session(
        Role.HANDOVER, lambda s: s.send(Ins.ACTIVATE, 0, 0, CODE + PIN), officer=OFFICER
    ),
    "ACTIVATE code wrong": _in_session(
        Role.HANDOVER, lambda s: s.send(Ins.ACTIVATE, 0, 0, CODE[::-1] + PIN), officer=OFFICER
    ),
    "ACTIVATE officer": _in_session(
        Role.HANDOVER, lambda s: s.send(Ins.ACTIVATE, 1, 0, OTHER_PIN), officer=OFFICER
    ),
    "DEBIT": _verified(lambda s: s.debit(debit_of(_sequence(s)))),
    "DEBIT bypass": _in_session(
        Role.SUPERVISOR, lambda s: s.debit(debit_of(_sequence(s)), p1=1)
    ),
    "VOID": _in_session(Role.SUPERVISOR, lambda s: s.void(void_of(_sequence(s)))),
    "CONFIRM": _in_session(
        Role.TERMINAL,
        lambda s: s.send(Ins.CONFIRM, 0, 0, _sequence(s).to_bytes(4, "big")),
    ),
}  # fmt: skip

COUNTS_TRIES = {"VERIFY", "CHANGE PIN", "ACTIVATE"}


def prepared(base: Bench, prepare: Prepare) -> tuple[Bench, Step] | None:
    """A copy of the card, up to the torn step; None where the state does not get that far.

    Always with the same randomness, so that two copies do the same.
    """
    bench = base.fork(seed=5)
    try:
        return bench, prepare(bench)
    except Refused:
        return None
