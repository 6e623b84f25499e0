"""Power fails before every persistent write of every command, in every state (SPEC.md#tears).

After each single tear the card's logical state is that of before or of after, seen two ways: by
its records and by what a session can READ. The one exception is a try counter, which may have
fallen. A planted bug shows that the test can fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest

from card_os.reference import purse_money
from card_os.reference.applets import CardContext
from card_os.reference.memory import Nvm, PowerLoss
from card_os.reference.purse import PurseApplet
from card_os.reference.purse_session import Operation, Session
from card_os.reference.purse_store import Card, PurseStore, Secrets, Wallet
from tests.support.purse_tears import COMMANDS, COUNTS_TRIES, STATES, Prepare, Step, prepared
from tests.support.purse_world import (
    FOOD,
    OTHER_PIN,
    TODAY,
    Bench,
    Refused,
    debit_of,
    stage,
)
from wire import raw
from wire.apdu import CommandApdu
from wire.cvc import CaKind, Role
from wire.purse import Ins, Read

# What is compared.


def _records(bench: Bench) -> tuple[object, ...]:
    return bench.store.logical_state()


def _shown(bench: Bench) -> tuple[object, ...]:
    """Everything a session can READ (signatures aside), on a copy."""
    copy = bench.fork(seed=6)
    role = Role.TERMINAL if copy.store.card.personalised else Role.PERSONALISER
    with suppress(Refused):
        versions = [s.version for s in copy.store.trust(CaKind.TERMINAL_CA)]
        signer = {1: 12, 2: 30, 7: 31}
        newest = max(versions)
        session = copy.open(role, ca_version=newest, signer=signer.get(newest, 12),
                            effective=TODAY.replace(day=20), serial=77)  # fmt: skip
        state = session.state()
        answers = [session.receipt(n) for n in range(state.sequence + 3)]
        answers += [session.read(Read.ENTITLEMENT, i) for i in range(9)]
        answers += [session.read(Read.PIN_STATEMENT), session.read(Read.SCRIPT_STATEMENT)]
        bodies = [(a.sw, raw.body_of(a.data) if a.data else b"") for a in answers]
        return (bytes(state), tuple(bodies))
    return ()


def _less_tries(records: tuple[object, ...]) -> tuple[object, ...]:
    """The same state with both try counters blanked."""
    secrets = records[1]
    assert isinstance(secrets, bytes)
    blank = replace(Secrets.parse(secrets), pin_tries=0, code_tries=0)
    return (records[0], bytes(blank), *records[2:])


def _tries(bench: Bench) -> tuple[int, int]:
    secrets = bench.store.secrets
    return secrets.pin_tries, secrets.code_tries


@dataclass
class Outcome:
    """What one command did in one state, torn and untorn."""

    tears: int = 0
    changed: bool = False


def _run(step: Step) -> None:
    """Do it; a refusal is an outcome like another."""
    with suppress(Refused):
        step()


def tear_everywhere(base: Bench, name: str, prepare: Prepare) -> Outcome | None:
    """Run ``name`` torn before its k-th persistent write, for every k; assert what is left."""
    ready = prepared(base, prepare)
    if ready is None:
        return None
    bench, step = ready
    before, shown_before, tries_before = _records(bench), _shown(bench), _tries(bench)
    _run(step)
    after, shown_after = _records(bench), _shown(bench)
    count = _count_writes(base, prepare)
    counting = any(name.startswith(c) for c in COUNTS_TRIES)
    for k in range(count):
        torn, torn_step = prepared(base, prepare) or (bench, step)
        torn.nvm.tear_before = k
        with pytest.raises(PowerLoss):
            _run(torn_step)
        torn.power_on()
        left, where = _records(torn), f"{name}, tear before write {k} of {count}"
        if counting and left not in {before, after}:
            assert _less_tries(left) in {_less_tries(before), _less_tries(after)}, where
            assert all(n <= m for n, m in zip(_tries(torn), tries_before, strict=True)), where
            continue
        assert left in {before, after}, where
        assert _shown(torn) == (shown_before if left == before else shown_after), where
        if k == 0:
            assert left == before, where
    return Outcome(count, before != after)


def _count_writes(base: Bench, prepare: Prepare) -> int:
    ready = prepared(base, prepare)
    assert ready is not None
    bench, step = ready
    start = bench.nvm.writes
    _run(step)
    return bench.nvm.writes - start


@pytest.fixture(scope="module")
def states() -> dict[str, Bench]:
    return {name: make(stage) for name, make in STATES.items()}


@pytest.mark.parametrize("state", STATES)
def test_every_tear_of_every_command_leaves_before_or_after(
    states: dict[str, Bench], state: str
) -> None:
    outcomes = {
        name: tear_everywhere(states[state], name, prepare) for name, prepare in COMMANDS.items()
    }
    done = [name for name, o in outcomes.items() if o is not None and o.changed]
    assert done, "no command changed anything in this state: the test would prove nothing"


def test_every_command_is_torn_somewhere(states: dict[str, Bench]) -> None:
    for name, prepare in COMMANDS.items():
        counts = [
            _count_writes(bench, prepare) for bench in states.values() if prepared(bench, prepare)
        ]
        assert max(counts) > 0, f"{name} wrote nothing in any state"


# Planted bugs: the harness must see them.


def _debit_plants() -> Iterator[tuple[str, Callable[[pytest.MonkeyPatch], None]]]:
    real = purse_money._commit_receipt

    def counters_first(
        op: Operation, card: Card, receipt: bytes, index: int, wallet: Wallet
    ) -> None:
        op.store.put_wallet(index, wallet)  # outside the transaction
        real(op, card, receipt, index, wallet)

    def sequence_later(
        op: Operation, card: Card, receipt: bytes, index: int, wallet: Wallet
    ) -> None:
        real(op, replace(card, sequence=card.sequence), receipt, index, wallet)
        op.store.put_card(replace(op.store.card, script_count=op.store.card.script_count + 1))

    yield "counters first", lambda m: m.setattr(purse_money, "_commit_receipt", counters_first)
    yield "a count later", lambda m: m.setattr(purse_money, "_commit_receipt", sequence_later)


@pytest.mark.parametrize(("name", "plant"), list(_debit_plants()))
def test_a_write_outside_the_transaction_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError, match="tear before write"):
        tear_everywhere(stage(), "DEBIT", COMMANDS["DEBIT"])


def test_an_applet_that_writes_outside_the_transaction_is_found() -> None:
    class Careless(PurseApplet):
        """Spends the sequence number before the command that uses it."""

        def _dispatch(self, session: Session, command: CommandApdu, ctx: CardContext) -> bytes:
            if command.ins == Ins.DEBIT:
                card: Card = self._store.card
                self._store.put_card(replace(card, script_count=card.script_count + 1))
            return super()._dispatch(session, command, ctx)

    with pytest.raises(AssertionError, match="tear before write"):
        tear_everywhere(stage().fork(Careless), "DEBIT", COMMANDS["DEBIT"])


def test_a_ring_that_shows_its_spare_slot_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(self: PurseStore, card: Card, sequence: int) -> bytes | None:
        age = card.sequence - sequence
        if sequence == 0 or not 0 <= age < 32:
            return None
        return self._must(f"ring/{(sequence - 1) % 32}")

    bench = STATES["ring worn"](stage)
    monkeypatch.setattr("card_os.reference.purse_store.PurseStore.receipt", careless)
    with pytest.raises(AssertionError, match="tear before write"):
        tear_everywhere(bench, "DEBIT", COMMANDS["DEBIT"])


def test_a_tear_in_the_comparison_costs_a_try_and_never_gives_one() -> None:
    base = stage()
    for k in range(20):
        torn = base.fork()
        session = torn.open()
        torn.nvm.tear_before = k
        try:
            assert session.verify(OTHER_PIN) == 0x63C2
        except PowerLoss:
            torn.power_on()
            assert torn.store.secrets.pin_tries in {2, 3}
            continue
        break
    assert torn.store.secrets.pin_tries == 2


def test_a_torn_debit_can_be_done_again_or_is_found() -> None:
    base = stage()
    for k in range(30):
        torn = base.fork()
        session = torn.open()
        session.verify()
        torn.nvm.tear_before = k
        try:
            session.debit(debit_of(0))
        except PowerLoss:
            torn.power_on()
            if torn.store.card.sequence == 0:
                assert torn.pay().sequence == 1
            answer = torn.open().receipt(1)
            assert answer.sw == 0x9000
            continue
        break
    assert k > 5
    torn.nvm.tear_before = None
    assert torn.open().state().wallets[0].counters.debited == 100
    assert torn.store.wallets(torn.store.card)[0].code == FOOD


def test_no_command_exceeds_the_transaction_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    commit = Nvm._commit

    def measured(self: Nvm, changes: list[tuple[str, bytes | None]]) -> None:
        sizes.append(sum(len(v) for _, v in changes if v is not None))
        commit(self, changes)

    monkeypatch.setattr(Nvm, "_commit", measured)
    for name in ("KEYED", "INERT", "paid", "second link"):
        for prepare in COMMANDS.values():
            ready = prepared(STATES[name](stage), prepare)
            if ready is not None:
                _run(ready[1])
    assert 0 < max(sizes) <= 384


def test_a_reset_forgets_session_and_certificate() -> None:
    bench = stage()
    session = bench.open()
    session.verify()
    bench.power_on()
    secured = session.messaging.wrap(CommandApdu(0x80, Ins.READ, 0, 0, b"", 256))
    assert bench.transmit(secured).sw == 0x6988
    assert bench.transmit(CommandApdu(0x80, Ins.GET_DATA, 0x7F, 0x21)).sw == 0x6985
