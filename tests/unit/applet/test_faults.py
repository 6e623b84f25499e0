"""One bit turned in memory that decides about money or state is noticed, and ends the session."""

import pytest

from card_os.reference.external import AppletHost
from tests.support.applet_world import AppletBench
from tests.support.purse_world import PREFIX, Bench, debit_of, stages
from wire.cvc import Role
from wire.purse import Ins

FAULT = 0x6F00
ARRAYS = {"card": 2, "wallets": 2 + 123 + 2 + 16 + 2}  # where State.java puts their bytes
LIFE, LIFE_NOT, FLAGS, FLAGS_NOT = range(4)


@pytest.fixture(scope="module")
def active(applet_host: AppletHost) -> Bench:
    return stages(AppletBench(applet_class=applet_host.make))["ACTIVE"]


def turned(base: Bench, at: int, bit: int) -> Bench:
    """A copy of the card with one bit of its memory turned."""
    bench = base.fork()
    bench.pay(amount=5)
    state = bytearray(bench.nvm.get(f"{PREFIX}state") or b"")
    state[at] ^= 1 << bit
    bench.nvm.put(f"{PREFIX}state", bytes(state))
    return bench


@pytest.mark.parametrize("byte", [LIFE, LIFE_NOT])
@pytest.mark.parametrize("bit", range(8))
def test_life(active: Bench, byte: int, bit: int) -> None:
    bench = turned(active, ARRAYS["card"] + byte, bit)
    certificate = bench.world.terminal_certificate(Role.TERMINAL)
    bench.power_on()
    assert bench.pso(certificate) == FAULT


@pytest.mark.parametrize("byte", [FLAGS, FLAGS_NOT])
@pytest.mark.parametrize("bit", [0, 2])
def test_flags(active: Bench, byte: int, bit: int) -> None:
    """BLOCKED or CONFIRMED turned alone decides nothing; the session is over."""
    bench = active.fork()
    session = bench.open()
    session.verify()
    state = bytearray(bench.nvm.get(f"{PREFIX}state") or b"")
    state[ARRAYS["card"] + byte] ^= 1 << bit
    bench.applet.restore(bytes(state))  # type: ignore[attr-defined] - RAM stays
    assert session.sw(Ins.DEBIT, 0, 0, bytes(debit_of(0))) == FAULT
    assert session.sw(Ins.DEBIT, 0, 0, bytes(debit_of(0))) == 0x6988


@pytest.mark.parametrize("byte", [*range(6, 22), *range(27, 43)])  # L, D, F, R and complements
def test_counters(active: Bench, byte: int) -> None:
    bench = active.fork()
    session = bench.open()
    session.verify()
    state = bytearray(bench.nvm.get(f"{PREFIX}state") or b"")
    state[ARRAYS["wallets"] + byte] ^= 1 << byte % 8
    bench.applet.restore(bytes(state))  # type: ignore[attr-defined] - RAM stays
    assert session.sw(Ins.DEBIT, 0, 0, bytes(debit_of(0))) == FAULT
