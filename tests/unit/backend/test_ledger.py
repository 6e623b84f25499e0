"""Balanced always, hash-chained, and a balance is the sum of what was posted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session, SQLModel, create_engine

from backend import ledger
from wire.chain import LedgerEntry, Posting, check_entries
from wire.errors import FormatError

AMOUNTS = st.integers(-(10**9), 10**9)
PROGRAMMES = st.integers(1, 3)
EVIDENCE = st.binary(min_size=32, max_size=32)


def transfers() -> st.SearchStrategy[ledger.Transfer]:
    return st.one_of(
        st.builds(ledger.fund_release, EVIDENCE, PROGRAMMES, AMOUNTS),
        st.builds(ledger.issue, EVIDENCE, PROGRAMMES, AMOUNTS),
        st.builds(ledger.debit, EVIDENCE, PROGRAMMES, AMOUNTS),
        st.builds(ledger.reversal, EVIDENCE, PROGRAMMES, AMOUNTS),
        st.builds(ledger.payable, EVIDENCE, PROGRAMMES, st.just("Bulog"), AMOUNTS),
        st.builds(ledger.settlement, EVIDENCE, PROGRAMMES, st.just("Bulog"), AMOUNTS),
    )


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(transfers(), max_size=8), max_size=4))
def test_everything_balances_and_links(batches: list[list[ledger.Transfer]]) -> None:
    engine = create_engine("sqlite://")
    SQLModel.metadata.create_all(engine)
    with Session(engine) as session:
        for batch in batches:
            ledger.post(session, batch, 1)
        entries = [LedgerEntry.parse(raw) for raw in ledger.entries(session)]
        check_entries(entries)
        assert ledger.head(session)[0] == sum(map(len, batches))
        found = ledger.balances(session)
        for good in {g for _, g in found}:
            assert sum(n for (_, g), n in found.items() if g == good) == 0
        wanted: dict[tuple[str, str], int] = {}
        for entry in entries:
            for p in entry.postings:
                key = (p.account, p.good)
                wanted[key] = wanted.get(key, 0) + p.amount
        assert found == {k: n for k, n in wanted.items() if n}
    engine.dispose()


def test_what_does_not_balance_is_refused() -> None:
    engine = create_engine("sqlite://")
    SQLModel.metadata.create_all(engine)
    good = ledger.debit(bytes(32), 1, 5)
    bad = dataclasses.replace(good, postings=(*good.postings, Posting("x", "rupiah", 1)))
    with Session(engine) as session, pytest.raises(FormatError):
        ledger.post(session, [bad], 1)
    engine.dispose()


def test_the_chart_is_the_documented_one() -> None:
    text = (Path(__file__).parents[3] / "docs/ledger.md").read_text("utf-8")
    for kind in ledger.Kind:
        assert f"`{kind}`" in text


def test_the_longest_provider_has_an_account() -> None:
    """Its name is as long as a programme's may be; the chart puts a word before it."""
    entry = ledger.payable(bytes(32), 1, "P" * 64, 5)
    assert [p.account for p in entry.postings] == ["payable/" + "P" * 64, "spent/1"]
    made = LedgerEntry(1, bytes(32), 0, "payable", bytes(32), tuple(entry.postings))
    assert LedgerEntry.parse(bytes(made)) == made
