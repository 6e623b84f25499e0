"""Rules of the purse for all values: arithmetic, PIN rule, counters over random stories."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from card_os.reference.errors import CardError
from card_os.reference.purse_money import consumed, loaded_counters
from card_os.reference.purse_session import add_u32, sub_u32
from card_os.reference.purse_store import Card, Secrets, Wallet
from tests.support.purse_world import FOOD, PIN, World, debit_of, stage, void_of
from wire.cvc import Role
from wire.purse import Flag, Ins, Life, pin_too_simple
from wire.raw import MAX_LOADED, U16_MAX, U32_MAX
from wire.receipt import Counters, Receipt

u32 = st.integers(0, U32_MAX)
u16 = st.integers(0, U16_MAX)
HASH = bytes(32)


@given(u32, u32)
def test_add_and_sub_are_exact_or_refused(a: int, b: int) -> None:
    if a + b <= U32_MAX:
        assert add_u32(a, b, 0x9400) == a + b
    else:
        with pytest.raises(CardError, match="9400"):
            add_u32(a, b, 0x9400)
    if a >= b:
        assert sub_u32(a, b, 0x9400) == a - b
    else:
        with pytest.raises(CardError, match="9400"):
            sub_u32(a, b, 0x9400)


@st.composite
def counters(draw: st.DrawFn) -> Counters:
    """Any that a card can come to: R ≤ D, D − R + F ≤ L."""
    loaded = draw(st.integers(1, MAX_LOADED))
    spent = draw(st.integers(0, loaded))
    forfeited = draw(st.integers(0, loaded - spent))
    taken_back = draw(st.integers(0, U32_MAX - spent))
    return Counters(loaded, spent + taken_back, forfeited, taken_back)


@given(counters(), st.integers(1, MAX_LOADED), st.data())
def test_load_keeps_consumed_within_l_and_agrees_with_wire(
    before: Counters, loaded: int, data: st.DataObject
) -> None:
    through = data.draw(st.integers(0, loaded))
    order = World().entitlement(HASH, loaded=loaded, through=through)
    after = loaded_counters(before, order)
    assert after == order.apply(before)
    assert after.balance >= 0
    assert after.loaded == max(before.loaded, loaded)
    assert (after.debited, after.reversed) == (before.debited, before.reversed)
    assert consumed(after, 0x6A80) == max(consumed(before, 0x6A80), through)
    assert loaded_counters(after, order) == after  # idempotent


@given(st.builds(Counters, u32, u32, u32, u32))
def test_no_counters_whatever_give_a_wrong_sum(before: Counters) -> None:
    try:
        assert consumed(before, 0x6A80) == before.consumed
    except CardError:
        assert before.reversed > before.debited or before.consumed > U32_MAX


@given(st.integers(0, 999_999))
def test_the_pin_rule_by_another_way(number: int) -> None:
    pin = f"{number:06}"
    run = "0123456789"
    simple = len(set(pin)) == 1 or pin in run or pin in run[::-1]
    simple = simple or any(_is_date(pin, order) for order in ("dmy", "mdy", "ymd"))
    assert pin_too_simple(pin.encode()) == simple


def _is_date(pin: str, order: str) -> bool:
    part = dict(zip(order, (int(pin[i : i + 2]) for i in (0, 2, 4)), strict=True))
    return 1 <= part["d"] <= 31 and 1 <= part["m"] <= 12


@given(
    st.builds(
        Card, life=st.sampled_from(Life), flags=st.integers(0, 7).map(Flag),
        card_id=st.binary(min_size=8, max_size=8), sequence=u32, acknowledged=u32,
        script_number=u16, script_count=u16, pin_set_count=u16, bypass_count=u16,
        bypass_total=u16, reset_officer=u32,
        own_date=st.dates(dt.date(2000, 1, 1), dt.date(2099, 12, 31)),
        head=st.binary(min_size=32, max_size=32),
        cached_certificate=st.binary(min_size=32, max_size=32),
        key_set=st.integers(0, 255), pin_statement=st.integers(0, 255),
        script_statement=st.integers(0, 255), wallets=st.integers(0, 8),
    ),
    st.builds(Wallet, u16, u32, st.builds(Counters, u32, u32, u32, u32), u32, st.integers(0, 8)),
    st.builds(Secrets, st.binary(min_size=6, max_size=6), st.integers(0, 3),
              st.binary(min_size=8, max_size=8), st.integers(0, 5), st.integers(0, 10)),
)  # fmt: skip
def test_records_round_trip(card: Card, wallet: Wallet, secrets: Secrets) -> None:
    assert Card.parse(bytes(card)) == card
    assert Wallet.parse(bytes(wallet)) == wallet
    assert Secrets.parse(bytes(secrets)) == secrets


steps = st.one_of(
    st.tuples(st.just("debit"), st.integers(0, 700)),
    st.tuples(st.just("void"), st.just(0)),
    st.tuples(st.just("load"), st.integers(0, 400)),
    st.tuples(st.just("confirm"), st.just(0)),
    st.tuples(st.just("bypass"), st.integers(1, 50)),
)


@settings(deadline=None, max_examples=40)
@given(st.lists(steps, max_size=45))
def test_over_any_story_counters_only_grow_and_receipts_link(
    story: list[tuple[str, int]],
) -> None:
    bench = stage()
    receipts: list[Receipt] = []
    seen = [bench.store.wallets(bench.store.card)[0].counters]
    loaded, sequence = 1000, 1
    for what, n in story:
        card = bench.store.card
        if what == "load":
            loaded, sequence = loaded + n, sequence + 1
            bench.load(sequence=sequence, loaded=loaded, through=loaded // 4, cap=600,
                       acknowledged=max(0, card.sequence - n % 40), bypass_total=2)  # fmt: skip
        elif what == "debit":
            session = bench.open()
            session.verify(PIN)
            answer = session.exchange(Ins.DEBIT, 0, 0, bytes(debit_of(card.sequence, n)))
            receipts += [Receipt.parse(answer.data)] if answer.sw == 0x9000 else []
        elif what == "confirm":
            bench.open().sw(Ins.CONFIRM, 0, 0, card.sequence.to_bytes(4, "big"))
        else:
            session = bench.open(Role.SUPERVISOR)
            ins, data = (
                (Ins.VOID, bytes(void_of(card.sequence)))
                if what == "void"
                else (Ins.DEBIT, bytes(debit_of(card.sequence, n)))
            )
            answer = session.exchange(ins, int(what == "bypass"), 0, data)
            receipts += [Receipt.parse(answer.data)] if answer.sw == 0x9000 else []
        seen.append(bench.store.wallets(bench.store.card)[0].counters)
    _grows(seen)
    _links(receipts, bench.certificate_hash, bench.receipt_public)
    card = bench.store.card
    assert card.sequence == len(receipts)
    assert 0 <= card.free_slots <= 32
    assert card.bypass_count <= 2
    session = bench.open()
    for receipt in receipts[card.acknowledged :]:  # whatever is not acknowledged is there
        assert session.receipt(receipt.sequence).data == receipt.raw


def _grows(seen: list[Counters]) -> None:
    for a, b in pairwise(seen):
        assert a.loaded <= b.loaded
        assert a.debited <= b.debited
        assert a.forfeited <= b.forfeited
        assert a.reversed <= b.reversed
        assert b.balance >= 0
        assert b.reversed <= b.debited


def _links(receipts: list[Receipt], first: bytes, key: bytes) -> None:
    link = first
    for n, receipt in enumerate(receipts, 1):
        receipt.verify(key)
        assert (receipt.sequence, receipt.wallet, receipt.link) == (n, FOOD, link)
        link = receipt.hash
