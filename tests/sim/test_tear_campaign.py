"""The campaign of tears: a sample of it, and planted bugs that its pieces find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import pytest

from card_os.reference import purse_money
from card_os.reference.external import AppletHost, AppletInstance
from card_os.reference.memory import Nvm, Persistent, _Op
from card_os.reference.purse_session import Operation
from card_os.reference.purse_store import Card, PurseStore, Wallet
from tests.support.applet_world import AppletBench
from tests.support.campaign import FaultError
from tests.support.purse_tears import COMMANDS, STATES
from tests.support.purse_world import stage, stages
from tests.support.tear_campaign import Tears, applet, check_sums, reference
from tests.support.tear_content import ContentTears

Plant = Callable[[pytest.MonkeyPatch], None]


def run(tears: Tears, pieces: int | None = None) -> Counter[str]:
    seen: Counter[str] = Counter()
    for number in range(len(tears) if pieces is None else pieces):
        seen += tears.piece(7, number)
    return seen


def test_a_sample_on_the_reference_card() -> None:
    tears = Tears(reference())
    assert {state for _, state, _, _ in tears._tears} == set(STATES)
    assert {command for _, _, command, _ in tears._tears} == set(COMMANDS)
    assert len(tears) > 30_000
    seen = run(tears, 40)
    assert seen["double tears in the next tap, reference"] > 60
    assert seen["then done"] > 30


def test_a_sample_on_the_applet(applet_host: AppletHost) -> None:
    kind = applet(applet_host)
    seen = run(Tears(kind, states=["paid"], commands=["DEBIT", "VOID"]), 4)
    assert seen["double tears in the next tap, applet"] > 5


def test_every_kind_of_second_tear_is_met() -> None:
    seen = run(Tears(reference(), states=["paid"], commands=["VOID", "CONFIRM"]))
    assert seen["single tears, reference"] > 5
    assert seen["double tears in the power-up, reference"] > 10
    assert seen["then refused 940A"]  # a void of a void, after a tear that left the void done


def test_a_seed_orders_all_pieces_anew() -> None:
    tears = Tears(reference(), states=["paid"], commands=["VOID"])
    assert run(tears) == sum((tears.piece(8, n) for n in range(len(tears))), Counter())


# Planted bugs


def counters_outside(patch: pytest.MonkeyPatch) -> None:
    real = purse_money._commit_receipt

    def commit(op: Operation, card: Card, receipt: bytes, index: int, wallet: Wallet) -> None:
        op.store.put_wallet(index, wallet)  # outside the transaction
        real(op, card, receipt, index, wallet)

    patch.setattr(purse_money, "_commit_receipt", commit)


def log_cleared_first(patch: pytest.MonkeyPatch) -> None:
    """The power-up clears its log before it has applied it: only a second tear shows that."""
    real = Nvm.power_on

    def power_on(self: Nvm, *, tear_before: int | None = None) -> None:
        log = list(self._log) if self._committed else []
        if not log:
            real(self, tear_before=tear_before)
            return
        self._dead, self._buffer, self.tear_before = False, None, tear_before
        self._write(_Op.CLEAR)
        for key, value in log:
            self._write(_Op.DELETE if value is None else _Op.PUT, key, value or b"")

    patch.setattr(Nvm, "power_on", power_on)


def head_forgotten(patch: pytest.MonkeyPatch) -> None:
    real = purse_money._commit_receipt

    def commit(op: Operation, card: Card, receipt: bytes, index: int, wallet: Wallet) -> None:
        before = op.store.card.head
        real(op, card, receipt, index, wallet)
        op.store.put_card(replace(op.store.card, head=before))

    patch.setattr(purse_money, "_commit_receipt", commit)


PLANTS: dict[str, tuple[Plant, str]] = {
    "counters outside": (counters_outside, "neither the state before DEBIT nor after"),
    "log cleared first": (log_cleared_first, "write .* of the power-up"),
    "head forgotten": (head_forgotten, "would not link|neither the state"),
}


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    plant, says = PLANTS[name]
    plant(monkeypatch)
    with pytest.raises(FaultError, match=says):
        run(Tears(reference(), states=["paid"], commands=["DEBIT"]))


def test_a_write_outside_the_applets_transaction_is_found(applet_host: AppletHost) -> None:
    class Careless(AppletInstance):
        """Each transaction's first write is none of it."""

        def select(self) -> bytes:
            self.plant()
            return super().select()

    lives = stages(AppletBench(applet_class=applet_host.make))
    port = applet_host.port
    kind = replace(
        applet(applet_host),
        stage=lambda life: lives[life].fork(lambda *given: Careless(port, *given)),
    )
    with pytest.raises((FaultError, AssertionError), match=r"neither|complement"):
        run(Tears(kind, states=["ACTIVE"], commands=["DEBIT"]))


def test_the_security_domain_is_torn_too(monkeypatch: pytest.MonkeyPatch) -> None:
    content = ContentTears()
    own = len(content)
    assert len(Tears(reference(), states=["BARE"], commands=["CONFIRM"], content=content)) == own
    seen = sum((content.piece(number) for number in range(0, own, 40)), Counter())
    assert seen["double tears in the next tap, security domain"] > 50
    monkeypatch.setattr(Persistent, "transaction", lambda self: nullcontext())
    careless = ContentTears()
    with pytest.raises(FaultError, match="neither the state"):
        sum((careless.piece(number) for number in range(len(careless))), Counter())


def test_sums_are_looked_at() -> None:
    bench = stage()
    bench.pay()
    store = PurseStore(Persistent(bench.nvm, "purse/"))
    check_sums(store, "here")
    wallet = store.wallets(store.card)[0]
    counters = replace(wallet.counters, debited=wallet.counters.debited + 1)
    store.put_wallet(0, replace(wallet, counters=counters))
    with pytest.raises(FaultError, match="the newest receipt says"):
        check_sums(store, "here")
