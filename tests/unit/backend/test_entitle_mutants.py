"""Money over rows in order, who is topped up, how high L may stand: borders and neighbours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlmodel import Session, select

from backend import entitle, issuance
from backend.entitle import Builder, Newest, Step
from backend.errors import UnknownError, WalletFullError
from backend.models import Fund, Issuance, Object, Plan, Row
from keys.hierarchy import Root
from tests.support import backend_rows as rows
from tests.support.backend_rows import CODE, CODES, HIGH, LOW, NOW_S, WALLET, A, B, C, name
from wire import dates
from wire.bundle import Ceiling
from wire.chain import Citation, IssuanceEntry, IssuanceKind
from wire.entitlement import NEVER_S, Entitlement, Lot
from wire.objects import DecisionKind, KeyRole, Tariff

MAX_L = 2**31 - 1


@pytest.fixture
def session() -> Iterator[Session]:
    with rows.empty() as made:
        yield made


def decree(session: Session, n: int, amount: int, wallet: int = WALLET, *, of: bytes = B,
           funded: bool = False, entitlement: bytes | None = None) -> Row:  # fmt: skip
    row = Row(decree=name("decree"), row=n, family=of * 2, programme=CODES[wallet],
              amount=amount, funded=funded, entitlement=entitlement)  # fmt: skip
    rows.put(session, row)
    return row


def plan(session: Session, wallet: int = WALLET, *, per_round: int = 100,
         windows: tuple[tuple[str, str], ...] = ()) -> None:  # fmt: skip
    """``windows``: the day each ends on and the day its lots expire on."""
    content = {"amount_per_round": per_round,
               "windows": [{"to": to, "lot_expires_on": day} for to, day in windows]}  # fmt: skip
    rows.put(session, Plan(code=CODES[wallet], ident=f"p{wallet}", wallet=wallet,
                           plan=json.dumps(content)))  # fmt: skip


# --- funds -------------------------------------------------------------------------------------


def test_money_goes_to_the_rows_in_their_order(session: Session) -> None:
    """The first that does not fit waits, and all behind it, however small; each from its own."""
    for wallet, price in ((LOW, 1), (WALLET, 3), (HIGH, 7)):
        rows.programme(session, wallet, tariffs=(Tariff(1, 1000, ()), Tariff(2, price, ())))
    rows.put(session, Fund(programme=CODES[LOW], released_minor=5),
             Fund(programme=CODE, released_minor=100, allocated_minor=10))  # fmt: skip
    every = [decree(session, 1, 10), decree(session, 2, 5, LOW), decree(session, 3, 20),
             decree(session, 4, 9, HIGH), decree(session, 5, 1),
             decree(session, 6, 1, LOW)]  # fmt: skip
    assert entitle.allocate(session) == 3
    assert [(r.row, r.value_minor) for r in every if r.funded] == [(1, 30), (2, 5), (3, 60)]
    funds = {f.programme: f.allocated_minor for f in session.exec(select(Fund))}
    assert funds == {CODES[LOW]: 5, CODE: 100}
    assert entitle.allocate(session) == 0
    _fund(session).released_minor += 2
    assert entitle.allocate(session) == 0
    _fund(session).released_minor += 1
    assert entitle.allocate(session) == 1
    assert [r.row for r in every if r.funded] == [1, 2, 3, 5]


def _fund(session: Session) -> Fund:
    found = session.get(Fund, CODE)
    assert found is not None
    return found


def test_what_does_not_fit_is_not_passed_over(session: Session) -> None:
    rows.programme(session)
    rows.put(session, Fund(programme=CODE, released_minor=20))
    every = [decree(session, n, amount) for n, amount in ((1, 5), (2, 6), (3, 5))]
    assert entitle.allocate(session) == 1
    assert [r.funded for r in every] == [True, False, False]


def test_no_programmes_money_goes_to_another(session: Session) -> None:
    """Not even when nothing was released for the neighbours, whose rows come first and last."""
    rows.programmes(session)
    rows.put(session, Fund(programme=CODE, released_minor=100))
    every = [decree(session, n, 1, wallet) for n, wallet in enumerate((LOW, HIGH, WALLET, LOW), 1)]
    assert entitle.allocate(session) == 1
    assert [r.funded for r in every] == [False, False, True, False]


def test_each_programme_has_its_own_funds(session: Session) -> None:
    rows.programmes(session)
    for wallet in (LOW, WALLET, HIGH):
        rows.put(session, Fund(programme=CODES[wallet], released_minor=2))
    every = [decree(session, n, 1, wallet) for n, wallet in enumerate((HIGH, LOW, WALLET), 1)]
    assert entitle.allocate(session) == 3
    assert all(r.funded for r in every)


# --- what may be issued ------------------------------------------------------------------------


@pytest.fixture
def three(session: Session) -> Session:
    """A, B and C, three programmes without rounds."""
    for wallet in (LOW, WALLET, HIGH):
        rows.programme(session, wallet)
        plan(session, wallet)
    rows.cards(session)
    return session


def told(
    session: Session, only: bytes | None = None, *, key_version: int = 9
) -> list[tuple[bytes, int, int, int | None]]:
    """(card, wallet, amount, row cited)."""
    return [(s.card.card_id, s.programme.wallet, s.amount, s.cause.row if s.cause else None)
            for s in entitle.steps(session, NOW_S, only, key_version=key_version)]  # fmt: skip


def test_funded_rows_are_steps_of_the_familys_card(three: Session) -> None:
    for n, (card_id, wallet) in enumerate(((C, LOW), (B, WALLET), (A, HIGH), (B, LOW)), 1):
        decree(three, n, 10 * n, wallet, of=card_id, funded=True)
    decree(three, 8, 1, of=b"nobody..", funded=True)
    decree(three, 9, 1)
    decree(three, 10, 1, funded=True, entitlement=name("used"))
    every = [(C, LOW, 10, 1), (B, WALLET, 20, 2), (A, HIGH, 30, 3), (B, LOW, 40, 4)]
    assert told(three) == every
    for card_id in (A, B, C):
        assert told(three, card_id) == [x for x in every if x[0] == card_id]
    first = next(entitle.steps(three, NOW_S, key_version=9))
    assert first.cause == Citation(name("decree"), 1)
    assert first.expires_s == NEVER_S


@pytest.mark.parametrize("columns", [{"scrapped": True}, {"blocked_version": 1},
                                     {"blocked_version": 2}])  # fmt: skip
def test_a_card_scrapped_or_blocked_gets_nothing(
    three: Session, columns: dict[str, object]
) -> None:
    rows.card(three, rows.ENV.mark + b"\x00\x00\x00\x09", family=b"F" * 16, **columns)
    decree(three, 1, 10, of=b"F" * 8, funded=True)
    assert told(three) == []
    new = rows.card(three, rows.ENV.mark + b"\x00\x00\x00\x08", family=b"F" * 16)
    assert told(three) == [(new.card_id, WALLET, 10, 1)]
    assert told(three, rows.ENV.mark + b"\x00\x00\x00\x09") == []
    assert told(three, new.card_id) == [(new.card_id, WALLET, 10, 1)]


@pytest.mark.parametrize(("kind", "amount", "used", "is_signed", "gives"), [
    (DecisionKind.RETURN, 5, False, True, True), (DecisionKind.MOVE, 5, False, True, True),
    (DecisionKind.PAY, 5, False, True, False), (DecisionKind.WRITE_OFF, 5, False, True, False),
    (DecisionKind.CLOSE_GAP, 5, False, True, False), (DecisionKind.RETURN, 0, False, True, False),
    (DecisionKind.RETURN, 5, True, True, False), (DecisionKind.MOVE, 5, False, False, False),
    (DecisionKind.RETURN, 1, False, True, True),
])  # fmt: skip
def test_what_a_decision_gives(
    three: Session, kind: DecisionKind, amount: int, *, used: bool, is_signed: bool, gives: bool
) -> None:
    """Unused, of an amount, and with its signature come; a MOVE goes to the new card."""
    new = C if kind == DecisionKind.MOVE else None
    made = rows.decision(three, kind, amount, new_card=new, used=used)
    rows.put(three, Object(kind="decision", payload=b"", name="waiting"))
    if is_signed:
        rows.put(three, Object(kind="decision", payload=b"x", raw=b"x", hash=made.hash))
    target = new or B
    wanted = [(target, WALLET, amount, 0)] if gives else []
    assert told(three) == wanted
    assert told(three, target) == wanted
    assert told(three, A) == []
    if gives:
        (step,) = entitle.steps(three, NOW_S, key_version=9)
        assert step.cause == Citation(made.hash, 0)


def test_a_decision_is_given_to_its_own_card(three: Session) -> None:
    for n, card_id in enumerate((A, C, B, A, C), 1):
        made = rows.decision(three, DecisionKind.RETURN, n, card_id=card_id)
        rows.put(three, Object(kind="decision", payload=b"x", raw=b"x", hash=made.hash))
    every = [(A, 1), (C, 2), (B, 3), (A, 4), (C, 5)]
    assert sorted(told(three)) == sorted((c, WALLET, n, 0) for c, n in every)
    for card_id in (A, B, C):
        wanted = sorted(n for c, n in every if c == card_id)
        assert sorted(n for _, _, n, _ in told(three, card_id)) == wanted


def test_a_newer_acknowledgement_is_carried_to_the_card(three: Session) -> None:
    """One wallet a card, behind by one or more; none that is level, or raised anyway."""
    for card_id in (A, B, C):
        for wallet in (LOW, WALLET, HIGH):
            rows.entitlement(three, 100, card_id=card_id, wallet=wallet, acknowledged=3)
    assert told(three) == []
    rows.entitlement(three, 100, wallet=WALLET, sequence=2, acknowledged=4)
    _card(three, B).acknowledged = 4
    assert told(three) == [(B, LOW, 0, None), (B, HIGH, 0, None)]
    _card(three, C).acknowledged = 9
    decree(three, 1, 5, LOW, of=C, funded=True)
    again = [(B, LOW, 0, None), (B, HIGH, 0, None), (C, WALLET, 0, None), (C, HIGH, 0, None)]
    assert told(three) == [(C, LOW, 5, 1), *again]
    assert told(three, B) == again[:2]
    assert told(three, A) == []
    _card(three, C).blocked_version = 1
    _card(three, B).scrapped = True
    assert told(three) == []


def _card(session: Session, card_id: bytes) -> rows.Card:
    found = session.get(rows.Card, card_id)
    assert found is not None
    return found


def link(session: Session, n: int, role: KeyRole, version: int, lowest: int) -> None:
    """A link as the log holds it."""
    root = Root(rows.ENV, rows.people().root.signer)
    made = root.link(role, version, rows.people().signer(role).public_key, lowest_kept=lowest,
                     now_s=NOW_S)  # fmt: skip
    entry = IssuanceEntry(n, bytes(32), NOW_S, IssuanceKind.LINK, bytes(made), None, None, None,
                          None, "")  # fmt: skip
    rows.put(session, Issuance(sequence=n, hash=name(n), key=name(n), raw=bytes(entry),
                               kind=int(IssuanceKind.LINK)))  # fmt: skip


def test_the_lowest_issuer_key_a_card_keeps(session: Session) -> None:
    """Two slots, emptied below the newest link's lowest; other keys' links are no matter."""
    assert entitle.lowest_kept(session) == 0
    link(session, 1, KeyRole.TERMINAL_CA, 9, 9)
    assert entitle.lowest_kept(session) == 0
    link(session, 2, KeyRole.ISSUER, 3, 3)
    assert entitle.lowest_kept(session) == 3
    link(session, 3, KeyRole.ISSUER, 4, 3)
    assert entitle.lowest_kept(session) == 3
    link(session, 4, KeyRole.ISSUER, 5, 3)
    assert entitle.lowest_kept(session) == 4  # the third has no slot
    link(session, 5, KeyRole.ISSUER, 6, 6)
    assert entitle.lowest_kept(session) == 6
    link(session, 6, KeyRole.ISSUER, 7, 7)
    assert entitle.lowest_kept(session) == 7
    link(session, 7, KeyRole.ISSUER, 8, 2)
    assert entitle.lowest_kept(session) == 7
    link(session, 8, KeyRole.ISSUER, 8, 2)  # dated anew: no third slot
    assert entitle.lowest_kept(session) == 7


@pytest.mark.parametrize(("version", "again"), [(2, True), (3, False), (4, False)])
def test_what_an_older_key_signed_is_signed_again(
    three: Session, version: int, *, again: bool
) -> None:
    rows.entitlement(three, 100, key_version=version)
    link(three, 1, KeyRole.ISSUER, 3, 3)
    assert issuance.items_of(three, IssuanceKind.LINK)
    assert told(three) == ([(B, WALLET, 0, None)] if again else [])
    assert told(three, key_version=3) == told(three)
    assert (
        told(three, key_version=2) == []
    )  # its own signature would be as dead: not again and again


def test_the_newest_entitlement_of_each_wallet(session: Session) -> None:
    for card_id in (A, B, C):
        for wallet in (HIGH, LOW):
            for sequence in (2, 1, 3):
                rows.entitlement(session, 10 * sequence, card_id=card_id, wallet=wallet,
                                 sequence=sequence, acknowledged=sequence)  # fmt: skip
    for only in (None, B):
        found = Newest(session, only).of(B)
        assert [(w, n, Entitlement.parse(raw).card_id) for w, n, raw in found] == [
            (LOW, 3, B), (HIGH, 3, B)]  # fmt: skip
    assert Newest(session, B).of(A) == Newest(session, B).of(C) == []
    assert Newest(session, None).of(b"nobody..") == []


# --- expiry ------------------------------------------------------------------------------------

WIB_S = 7 * 3600


def midnight(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) - WIB_S


def test_a_lot_expires_by_the_round_that_is_not_over(session: Session) -> None:
    """A round's last day is in it, to its last second in Kalimantan's time."""
    plan(session, LOW, windows=(("2030-01-01", "2031-01-01"),))
    plan(session, windows=(("2026-03-31", "2026-04-30"), ("2026-06-30", "2026-08-01")))
    end, later = midnight(2026, 4, 1), midnight(2026, 7, 1)
    for now_s, wanted in ((0, midnight(2026, 4, 30)), (end - 1, midnight(2026, 4, 30)),
                          (end, midnight(2026, 8, 1)), (end + 1, midnight(2026, 8, 1)),
                          (later - 1, midnight(2026, 8, 1)), (later, 0xFFFFFFFF)):  # fmt: skip
        assert entitle.lot_expiry(session, CODE, now_s) == wanted
    with pytest.raises(UnknownError):
        entitle.lot_expiry(session, CODES[HIGH], 0)


# --- bodies ------------------------------------------------------------------------------------


def built(session: Session, *amounts: int, only: bytes | None = None,
          expires_s: int = NEVER_S, now_s: int = NOW_S) -> list[Entitlement]:  # fmt: skip
    """The bodies of these steps of card B's wallet, in one go."""
    builder = Builder(session, rows.ENV, 7, now_s, only)
    cause = Citation(name("decree"), 1)
    found = session.exec(select(Object).where(Object.name == f"{CODE}/1")).first()
    programme = rows.programme(session) if found is None else rows.Programme.parse(found.payload)
    steps = [Step(_card(session, B), programme, n, cause if n else None, expires_s)
             for n in amounts]  # fmt: skip
    wishes = [builder.wish(s) for s in steps]
    assert [w.cause for w in wishes] == [s.cause for s in steps]
    return [Entitlement.parse(w.body + bytes(64)) for w in wishes]


def test_the_first_entitlement_of_a_card(session: Session) -> None:
    rows.card(session)
    (first,) = built(session, 30)
    wanted = Entitlement(
        rows.ENV, B, rows.digest(B)[:16], WALLET, CODE, 1, 30, (Lot(NEVER_S, 30),), 0, 50,
        dates.day_of(NOW_S), 0, 0, 0, 3, 7, first.raw,
    )  # fmt: skip
    assert first == wanted


def test_the_first_of_a_wallet_beside_others(session: Session) -> None:
    rows.card(session)
    for wallet in (LOW, HIGH):
        rows.entitlement(session, 70, wallet=wallet, sequence=4)
    (first,) = built(session, 30)
    assert (first.sequence, first.loaded) == (1, 30)


@pytest.mark.parametrize("only", [None, B])
def test_steps_of_one_wallet_follow_each_other(session: Session, only: bytes | None) -> None:
    rows.cards(session)
    for card_id in (A, B, C):
        for wallet in (LOW, WALLET, HIGH):
            n = 1 + wallet - LOW + 10 * card_id[-1]
            rows.entitlement(session, n, card_id=card_id, wallet=wallet, sequence=n)
    made = built(session, 5, 6, 0, only=only)
    assert [(e.sequence, e.loaded) for e in made] == [(23, 27), (24, 33), (25, 33)]
    assert [e.lots for e in made] == [(Lot(NEVER_S, n),) for n in (27, 33, 33)]


def test_l_stays_in_its_range(session: Session) -> None:
    rows.card(session)
    rows.entitlement(session, MAX_L - 5)
    assert built(session, 5)[0].loaded == MAX_L
    with pytest.raises(WalletFullError):
        built(session, 6)


def test_what_expired_is_forfeited_and_its_lot_dropped(session: Session) -> None:
    rows.card(session)
    rows.entitlement(session, 60, lots=(Lot(NOW_S - 1, 10), Lot(NOW_S, 30), Lot(NOW_S + 1, 60)))
    (e,) = built(session, 5, expires_s=NOW_S + 2)
    assert e.forfeited_through == 30
    assert e.lots == (Lot(NOW_S + 1, 60), Lot(NOW_S + 2, 65))


def test_what_the_card_acknowledged_is_settled(session: Session) -> None:
    _card = rows.card(session, acknowledged=4)
    for n, wallet, debited, back in ((2, WALLET, 7, 3), (3, LOW, 20, 1), (4, HIGH, 30, 1),
                                     (5, WALLET, 40, 5)):  # fmt: skip
        rows.held(session, rows.receipt(n, wallet=wallet, counters=(100, debited, 0, back)))
    for card_id in (A, C):
        rows.held(session, rows.receipt(3, card_id=card_id, counters=(100, 50, 0, 9)))
    (e,) = built(session, 100)
    assert (e.acknowledged, e.settled_debited, e.settled_reversed) == (4, 7, 3)


@pytest.mark.parametrize(("acknowledged", "wanted"), [
    (0, (0, 0)), (1, (0, 0)), (2, (7, 3)), (3, (8, 4)), (4, (8, 4)), (9, (9, 5)),
])  # fmt: skip
def test_settled_is_the_last_receipt_up_to_the_acknowledged(
    session: Session, acknowledged: int, wanted: tuple[int, int]
) -> None:
    card = rows.card(session, acknowledged=acknowledged)
    for n, debited, back in ((2, 7, 3), (3, 8, 4), (5, 9, 5)):
        rows.held(session, rows.receipt(n, counters=(100, debited, 0, back)))
    for n in (1, 2, 3, 4, 5):
        for card_id in (A, C):
            rows.held(session, rows.receipt(n, card_id=card_id, counters=(100, 60, 0, 9)))
    for n, wallet in ((1, LOW), (4, HIGH), (6, LOW), (7, HIGH)):
        rows.held(session, rows.receipt(n, wallet=wallet, counters=(100, 60, 0, 9)))
    assert entitle.settled(session, card, WALLET) == wanted


def step(amount: int, expires_s: int) -> Step:
    with rows.empty() as session:
        return Step(rows.card(session), rows.programme(session), amount, None, expires_s)


def last(*lots: tuple[int, int]) -> Entitlement:
    with rows.empty() as session:
        return rows.entitlement(session, lots[-1][1], lots=tuple(Lot(*x) for x in lots))


@pytest.mark.parametrize(("before", "amount", "expires_s", "through", "wanted"), [
    (None, 5, 9, 0, [(9, 5)]),
    ([(9, 5)], 3, 9, 0, [(9, 8)]),  # together with the one that expires then
    ([(9, 5)], 3, 10, 0, [(9, 5), (10, 8)]),
    ([(9, 5)], 3, 8, 0, [(9, 8)]),  # never before what is there
    ([(8, 4), (9, 5)], 3, 9, 0, [(8, 4), (9, 8)]),
    ([(8, 4), (9, 5)], 3, 9, 4, [(9, 8)]), ([(8, 4), (9, 5)], 3, 9, 3, [(8, 4), (9, 8)]),
    ([(8, 4), (9, 5)], 3, 9, 5, [(9, 8)]), ([(8, 4), (9, 5)], 0, 9, 4, [(9, 5)]),
    ([(8, 4), (9, 5)], 0, 20, 0, [(8, 4), (9, 5)]),
    ([(9, 5)], 0, 20, 5, [(9, 5)]),
    ([(8, 4), (9, 5)], 0, 20, 5, [(9, 5)]),  # L has an end, expired or not
    ([(1, 1), (2, 2), (3, 3)], 1, 9, 0, [(1, 1), (2, 2), (3, 3), (9, 4)]),
    ([(1, 1), (2, 2), (3, 3), (4, 4)], 1, 4, 0, [(1, 1), (2, 2), (3, 3), (4, 5)]),
    ([(1, 1), (2, 2), (3, 3), (4, 4)], 1, 9, 1, [(2, 2), (3, 3), (4, 4), (9, 5)]),
])  # fmt: skip
def test_the_lots_after_a_step(
    before: list[tuple[int, int]] | None, amount: int, expires_s: int, *, through: int,
    wanted: list[tuple[int, int]],
) -> None:  # fmt: skip
    was = None if before is None else last(*before)
    loaded = (was.loaded if was else 0) + amount
    lots = entitle._lots(was, step(amount, expires_s), loaded, through)
    assert [(x.expires_s, x.end) for x in lots] == wanted


@pytest.mark.parametrize("count", [4, 5])
def test_no_fifth_live_lot(count: int) -> None:
    was = last(*[(n, n) for n in range(1, 5)])
    more = replace(was, lots=tuple(Lot(n, n) for n in range(1, count + 1)), loaded=count)
    with pytest.raises(WalletFullError):
        entitle._lots(more, step(1, 9), count + 1, 0)


# --- ceilings ----------------------------------------------------------------------------------


def highest(session: Session) -> dict[int, int]:
    return {c.wallet: c.highest for c in entitle.ceilings(session)}


def test_a_ceiling_is_the_highest_l_and_two_rounds(session: Session) -> None:
    rows.cards(session)
    for wallet in (HIGH, LOW, WALLET):
        plan(session, wallet, per_round=100)
    assert entitle.ceilings(session) == (Ceiling(LOW, 200), Ceiling(WALLET, 200),
                                         Ceiling(HIGH, 200))  # fmt: skip
    for n, loaded in enumerate((30, 90, 60)):
        rows.entitlement(session, loaded, card_id=(A, B, C)[n])
    assert highest(session) == {LOW: 200, WALLET: 290, HIGH: 200}
    # Each family's rows are added up, whether funded or not; the highest of them counts.
    for n, (family, amount) in enumerate(((A, 50), (A, 45), (B, 80), (C, 10)), 1):
        decree(session, n, amount, of=family)
    assert highest(session)[WALLET] == 295
    decree(session, 9, 7, HIGH)
    rows.decision(session, DecisionKind.RETURN, 3, card_id=A)
    rows.decision(session, DecisionKind.RETURN, 4, card_id=B)
    rows.decision(session, DecisionKind.RETURN, 1, wallet=HIGH)
    rows.decision(session, DecisionKind.RETURN, 2, wallet=LOW)
    for kind in DecisionKind:
        if kind != DecisionKind.RETURN:
            rows.decision(session, kind, 1000)
    assert highest(session) == {LOW: 202, WALLET: 302, HIGH: 208}


def test_a_ceiling_is_no_higher_than_l_may_be(session: Session) -> None:
    plan(session, per_round=100)
    rows.entitlement(session, MAX_L - 200)
    assert highest(session) == {WALLET: MAX_L}
    rows.entitlement(session, MAX_L, card_id=C)
    assert highest(session) == {WALLET: MAX_L}
