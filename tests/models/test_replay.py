"""The real card and terminals walk the model's ways, and no others."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from card_os.host.links import LinkError
from terminal import recovery
from terminal.outcomes import NotRedeemed, NotVoided
from tests.models.replay import MismatchError, Replay
from wire import log
from wire.log import IntentKind

SEED = int(os.environ.get("SEED", "0") or "0")
WALKS, MOST_WALKS, STEPS = 12, 100, 70
EVERY = {
    "debit, none", "debit, cut before", "debit, cut after", "debit, killed after", "void, none",
    "void, cut before", "void, cut after", "void, killed after", "aborted", "learnt", "loaded",
    "given back", "returned", "lost", "uploaded",
}  # fmt: skip


def test_real_card_and_terminals_do_what_the_model_does() -> None:
    print(f"seed {SEED}")  # noqa: T201 - to repeat it
    counts: Counter[str] = Counter()
    for walk in range(MOST_WALKS):
        if walk >= WALKS and counts.keys() >= EVERY:
            return
        counts.update(Replay(SEED + walk).walk(STEPS))
    pytest.fail(f"never seen: {EVERY - counts.keys()}")


def test_a_terminal_that_takes_an_error_for_evidence_leaves_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def aborts(visit: object, row: object, error: LinkError) -> object:
        visit.engine.write(log.Aborted(row.sequence, row.expected, None))
        if row.kind == IntentKind.DEBIT:
            return NotRedeemed(row.sequence, row.card_id, row.expected)
        return NotVoided(row.sequence, row.debit, row.on_counter, row.expected)

    monkeypatch.setattr(recovery, "settle_now", aborts)

    def walks() -> None:
        for seed in range(5):
            Replay(seed).walk(STEPS)

    with pytest.raises(MismatchError):
        walks()
