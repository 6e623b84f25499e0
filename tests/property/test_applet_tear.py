"""Power fails before every persistent write of every command of the applet, in every state.

The applet's Store of the tests counts writes and rolls back (TearingStore.java); jCardSim does
neither. One command is prepared once; its APDU is then repeated from the same moment, RAM
included, for every write it makes. Real chips: not run.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from card_os.reference.external import AppletHost, AppletInstance
from card_os.reference.memory import PowerLoss
from card_os.reference.purse_store import Secrets
from tests.support.applet_world import AppletBench, records_of
from tests.support.purse_tears import COMMANDS, COUNTS_TRIES, STATES, prepared
from tests.support.purse_world import Bench, Refused, debit_of, stages

Logical = tuple[object, ...]


@pytest.fixture(scope="module")
def lives(applet_host: AppletHost) -> dict[str, Bench]:
    return stages(AppletBench(applet_class=applet_host.make))


def applet_of(bench: Bench) -> AppletInstance:
    assert isinstance(bench.applet, AppletInstance)
    return bench.applet


def logical(state: bytes) -> Logical:
    return records_of(state, fresh_keys=True).logical_state()


def less_tries(state: Logical) -> Logical:
    assert isinstance(state[1], bytes)
    blank = replace(Secrets.parse(state[1]), pin_tries=0, code_tries=0)
    return (state[0], bytes(blank), *state[2:])


def tries(state: Logical) -> tuple[int, int]:
    assert isinstance(state[1], bytes)
    secrets = Secrets.parse(state[1])
    return secrets.pin_tries, secrets.code_tries


def tear_everywhere(base: Bench, name: str) -> int | None:
    """Tear one command before each of its writes; return how many there are, None if not ready."""
    ready = prepared(base, COMMANDS[name])
    if ready is None:
        return None
    bench, step = ready
    applet = applet_of(bench)
    applet.mark()
    before = logical(applet.state)
    with suppress(Refused):
        step()
    after = logical(applet.state)
    apdu, level, writes = applet.last
    assert applet.largest_transaction <= 384
    counting = any(name.startswith(c) for c in COUNTS_TRIES)
    for k in range(writes):
        torn, state = applet.tear(apdu, level, k)
        left, where = logical(state), f"{name}, tear before write {k} of {writes}"
        assert torn, where
        if counting and left not in {before, after}:
            assert less_tries(left) in {less_tries(before), less_tries(after)}, where
            assert all(n <= m for n, m in zip(tries(left), tries(before), strict=True)), where
            continue
        assert left in {before, after}, where
        if k == 0:
            assert left == before, where
    torn, state = applet.tear(apdu, level, writes)
    assert (torn, logical(state)) == (False, after), f"{name}: not the same when repeated"
    return writes


@pytest.mark.parametrize("state", STATES)
def test_every_tear_of_every_command_leaves_before_or_after(
    lives: dict[str, Bench], state: str
) -> None:
    base = STATES[state](lambda life: lives[life].fork())
    writes = {name: tear_everywhere(base, name) for name in COMMANDS}
    print(f"{state}: {sum(n or 0 for n in writes.values())} tears")  # noqa: T201
    assert any(writes.values()), "no command wrote anything in this state"


def test_every_command_is_torn_somewhere(lives: dict[str, Bench]) -> None:
    torn: set[str] = set()
    for life in ("INSTALLED", "KEYED", "INERT", "ACTIVE"):
        torn |= {name for name in COMMANDS if tear_everywhere(lives[life].fork(), name)}
    pending = STATES["ACTIVE, reset pending"](lambda life: lives[life].fork())
    torn |= {"ACTIVATE officer"} if tear_everywhere(pending, "ACTIVATE officer") else set()
    paid = STATES["paid"](lambda life: lives[life].fork())
    torn |= {name for name in ("VOID", "CONFIRM") if tear_everywhere(paid, name)}
    assert torn == set(COMMANDS)


@pytest.mark.parametrize("name", ["DEBIT", "LOAD", "SCRIPT BLOCK", "CHANGE PIN", "PSO link T"])
def test_a_write_outside_the_transaction_is_found(lives: dict[str, Bench], name: str) -> None:
    base = lives["ACTIVE"]

    class Careless(AppletInstance):
        """Each transaction's first write is none of it."""

        def mark(self) -> None:
            super().mark()
            self.plant()

    port = applet_of(base)._port
    bench = base.fork(applet_class=lambda *given: Careless(port, *given))
    with pytest.raises(AssertionError, match=r"tear before write|complement"):
        tear_everywhere(bench, name)


def test_power_that_fails_in_the_applet_fails_in_the_card(lives: dict[str, Bench]) -> None:
    """The card's own switch reaches the applet, and what it left is what the card keeps."""
    for k in range(30):
        bench = lives["ACTIVE"].fork()
        session = bench.open()
        session.verify()
        bench.nvm.tear_before = k
        try:
            session.debit(debit_of(0))
        except PowerLoss:
            bench.power_on()
            assert bench.store.card.sequence == 0
            assert bench.pay().sequence == 1
            continue
        break
    assert 5 < k < 29
    bench.nvm.tear_before = None
    bench.power_on()
    assert bench.open().receipt(1).sw == 0x9000
