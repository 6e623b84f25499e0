"""Random command sequences to the reference card and to the applet: not one difference.

SEED=n makes other sequences; each difference names its own seed. `make sim-applet` runs more.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest

from card_os.reference import purse_holder, purse_money, purse_trust
from card_os.reference.external import AppletHost
from card_os.reference.purse_session import Operation
from card_os.reference.purse_store import Card, PurseStore
from tests.support.applet_pair import DifferenceError, play, starts
from tests.support.applet_world import AppletBench
from tests.support.purse_world import Bench
from wire.purse import Debit

SEED = int(os.environ.get("SEED", "0") or "0")
SEQUENCES, PARTS = 1000, 4
Both = dict[str, tuple[Bench, AppletBench]]


@pytest.fixture(scope="module")
def both(applet_host: AppletHost) -> Both:
    return starts(applet_host.make)


@pytest.mark.parametrize("part", range(PARTS))
def test_both_cards_are_one_card(both: Both, part: int) -> None:
    first = SEED + part * SEQUENCES // PARTS
    print(f"seeds {first} to {first + SEQUENCES // PARTS - 1}")  # noqa: T201 - to repeat them
    counts: Counter[str] = Counter()
    for seed in range(first, first + SEQUENCES // PARTS):
        counts.update(play(both, seed))
    done = {key.split()[0] for key in counts if key.endswith("9000")}
    assert done >= {"PSO", "MUTUAL", "READ", "read", "load", "script", "verify", "change", "debit",
                    "void", "confirm", "activate", "personalise", "SCP03", "link"}  # fmt: skip
    assert {"spoiled 6988", "debit before 0000"} <= counts.keys()


def _no_ring(card: Card, order: Debit) -> None:
    """The terminal's expected sequence is not looked at."""


def _no_step(card: Card, issued: object) -> None:
    """A step of any length."""


def _shown_too_long(self: PurseStore, card: Card, sequence: int) -> bytes | None:
    """The spare slot of the ring shows."""
    if sequence == 0 or not 0 <= card.sequence - sequence < 32:
        return None
    return self._must(f"ring/{(sequence - 1) % 32}")


def _any_pin(op: Operation, pin: bytes, matched: object) -> None:
    """No PIN is too simple."""


@pytest.mark.parametrize(
    ("owner", "name", "bug"),
    [(purse_money, "_check_ring", _no_ring), (purse_trust, "_check_step", _no_step),
     (PurseStore, "receipt", _shown_too_long), (purse_holder, "_acceptable", _any_pin)],
)  # fmt: skip
def test_a_planted_difference_is_found(
    both: Both,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    bug: Callable[..., object],
) -> None:
    monkeypatch.setattr(owner, name, bug)

    def search() -> None:
        for seed in range(600):
            play(both, seed)

    with pytest.raises(DifferenceError, match="seed"):
        search()
