"""Every outcome has its words; the slip says what happened; a lost printer stops nothing."""

from __future__ import annotations

import dataclasses
import os
import pty

import pytest

from terminal import outcomes
from terminal.asjson import as_json
from terminal.counter import Counter, Tap, Wish
from terminal.errors import Code
from terminal.escpos_slip import encode
from terminal.messages import ERRORS, OUTCOMES, text
from terminal.outcomes import (
    AmountRefused,
    CardRefused,
    Delivered,
    Limit,
    Nothing,
    NothingWhy,
    Outcome,
    Redeemed,
    RedeemUnknown,
    Stop,
    TerminalRefused,
    VoidRefused,
    VoidWhy,
    Warn,
)
from terminal.printer import Printed, PrinterGone, print_on
from terminal.slip import COLUMNS, Context, masked, slip
from tests.support.terminal_world import CASH, FOOD, PIN, PROGRAMMES, START_S, at_work
from ui.show import amount
from wire.cvc import Role
from wire.env import Environment
from wire.log import Reason
from wire.objects import Unit

# Reasons of REJECTED whose outcome is a Nothing.
ELSEWHERE = {Reason.BLOCKED, Reason.NOT_ACTIVE, Reason.DATA_TOO_OLD}


WHYS = {TerminalRefused: Stop, VoidRefused: VoidWhy}


def examples():
    """One value of every outcome class and variant."""
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        paid = visit.redeem(FOOD, 1)
    found = [paid, dataclasses.replace(paid, recovered=True)]
    by_type = {"int": 5, "bytes": b"DEMO\0\0\0\1", "str": "abc", "bool": True}
    for cls in classes():
        if cls is Redeemed:
            continue
        fields = {f.name: f.type for f in dataclasses.fields(cls)}
        variants = [{}]
        for name, kind in (("why", None), ("reason", Reason), ("limit", Limit),
                           ("caution", outcomes.Caution)):  # fmt: skip
            if name in fields and cls is not outcomes.Voided:
                enum = kind or WHYS.get(cls, NothingWhy)
                variants = [{name: x} for x in enum if x not in ELSEWHERE]
        for flag in ("on_counter", "final"):
            if flag in fields:
                variants = [{flag: x} for x in (False, True)]
        for variant in variants:
            values = dict(variant)
            for name, kind in fields.items():
                if name in values:
                    continue
                if name == "receipt":
                    values[name] = paid.receipt
                elif name == "step":
                    values[name] = outcomes.Step.OPENING
                else:
                    values[name] = by_type[kind.split(" ")[0]]
            found.append(cls(**values))
    return found


def classes():
    found = [c for c in vars(outcomes).values() if isinstance(c, type) and issubclass(c, Outcome)]
    return [c for c in found if c is not Outcome and not c.__name__.startswith("_")]


def test_every_outcome_has_words_in_both_languages_and_a_json_form():
    seen = set()
    for outcome in examples():
        indonesian, english = text(outcome, Unit.BASKET)
        assert len({indonesian, english, ""}) == 3, outcome
        assert "{" not in indonesian + english
        assert as_json(outcome)["outcome"] == outcome.key
        seen.add(outcome.key)
    assert seen == set(OUTCOMES)


def test_every_error_has_words():
    assert set(ERRORS) == set(Code)


def test_words_carry_the_data():
    nothing = Nothing(NothingWhy.COLLECTED, FOOD, START_S, b"TERM0009", 2)
    indonesian, english = text(nothing, Unit.BASKET)
    assert "1 Jun 2026, 15.00 WIB" in indonesian
    assert "TERM0009" in english
    assert "2 paket" in indonesian
    most = text(AmountRefused(Limit.ABOVE_CAP, CASH, 250_000), Unit.RUPIAH)
    assert "Rp250.000" in most[0]
    assert text(Warn(outcomes.Caution.RING_FILLING, 25))[1].startswith("The card's memory")


@pytest.mark.parametrize("unit", [*Unit, None])
def test_amounts_in_every_unit(unit):
    assert all("1" in x for x in amount(1000, unit))


def test_refusals_tell_how_a_family_becomes_a_recipient():
    for reason in (Reason.SPECIMEN_CARD, Reason.FOREIGN_CARD, Reason.DEAD_CARD):
        indonesian, english = text(CardRefused(reason, None))
        assert "diverifikasi petugas lapangan" in indonesian
        assert "field officer" in english


# --- paper --------------------------------------------------------------------------------------


def context(terminal, card, **changes):
    values = {"env": Environment.LIVE, "station": terminal.station, "place": "Balai desa",
              "time_s": START_S,
              "programme": PROGRAMMES[0], "card_id": card.card_id}  # fmt: skip
    return Context(**(values | changes))


def test_the_slip_shows_balances_sequence_terminal_and_no_whole_card_id():
    terminal, card = at_work()
    with terminal.begin(card) as visit:
        visit.verify_pin(PIN)
        paid = visit.redeem(FOOD, 1)
    lines = slip(paid, context(terminal, card))
    page = "\n".join(x.text for x in lines)
    for words in ("TERM0001", "4 paket", "3 paket", "1 paket", "5 kg", "1 Jun 2026", "PIN",
                  masked(card.card_id)):  # fmt: skip
        assert words in page
    assert all(len(x.text) <= COLUMNS for x in lines)
    assert card.card_id.hex() not in page


def test_failed_and_unknown_outcomes_are_printed_too():
    terminal, card = at_work()
    unknown = RedeemUnknown(4, card.card_id)
    page = "\n".join(x.text for x in slip(
        unknown, context(terminal, card, card_sequence=7, balance=4)))  # fmt: skip
    assert "BELUM PASTI" in page
    assert "7" in page
    assert "4 paket" in page


@pytest.mark.parametrize(("env", "marks"), [
    (Environment.LIVE, set()), (Environment.SPECIMEN, {"KARTU CONTOH"}),
    (Environment.DEMO_LIVE, {"DEMO"}), (Environment.DEMO_SPECIMEN, {"KARTU CONTOH", "DEMO"}),
])  # fmt: skip
def test_paper_without_value_says_so(env, marks):
    terminal, card = at_work()
    page = "\n".join(
        x.text for x in slip(RedeemUnknown(4, card.card_id), context(terminal, card, env=env))
    )
    assert {m for m in ("KARTU CONTOH", "DEMO") if m in page} == marks


def test_a_long_word_does_not_break_the_paper():
    terminal, card = at_work()
    lines = slip(RedeemUnknown(4, card.card_id), context(terminal, card, place="x" * 70))
    assert all(len(x.text) <= COLUMNS for x in lines)


def test_the_printer_gets_the_bytes_over_a_serial_line():
    terminal, card = at_work()
    lines = slip(RedeemUnknown(4, card.card_id), context(terminal, card))
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    import tty

    tty.setraw(theirs)
    assert print_on(os.ttyname(theirs), lines) == Printed()
    assert os.read(ours, 1 << 16) == encode(lines)
    os.close(ours)
    os.close(theirs)


def test_the_sale_stands_if_the_printer_is_gone():
    terminal, card = at_work()
    counter = Counter(terminal.engine, "Balai desa", lambda x: print_on("/dev/none", x))
    report = counter.tap(card.link(), Tap((Wish(FOOD, 1), Wish(CASH, 5)), pin=PIN))
    assert report.is_good
    assert [type(x) for x in report.outcomes] == [Redeemed, Delivered, Redeemed, Delivered]
    assert [type(x) for x in report.prints] == [PrinterGone] * 2


# --- the counter ---------------------------------------------------------------------------------


def test_a_tap_stops_at_the_first_failure():
    terminal, card = at_work()
    counter = Counter(terminal.engine, "Balai desa")
    report = counter.tap(card.link(), Tap((Wish(FOOD, 9), Wish(CASH, 5)), pin=PIN))
    assert [type(x) for x in report.outcomes] == [AmountRefused]
    report = counter.tap(card.link(), Tap((Wish(FOOD, 1),), pin="111222"))
    assert not report.is_good
    assert "111222" not in repr(Tap(pin="111222"))


def test_a_supervised_tap_and_its_void_through_the_counter():
    terminal, card = at_work()
    counter = Counter(terminal.engine, "Balai desa", lambda _: Printed())
    officer = terminal.officers[Role.SUPERVISOR]
    wanted = Tap((Wish(FOOD, 1),), deliver=False, bypass_reason="sakit")
    paid = counter.tap(card.link(), wanted, officer)
    assert paid.is_good
    voided = counter.void(card.link(), officer, paid.outcomes[0].intent, on_counter=False,
                          reason="salah")  # fmt: skip
    assert voided.is_good
    assert len(paid.prints + voided.prints) == 2
