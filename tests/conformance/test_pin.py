"""SPEC.md: VERIFY, CHANGE PIN, and which PINs are too simple."""

import pytest

from card_os.host import errors
from tests.conformance.world import PIN, Bench, debit_of, raw, refused
from wire.entitlement import ScriptAction
from wire.receipt import PinSetPath

WRONG, OTHER = "739156", "840266"


def test_three_tries_then_none(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    with bench.session() as session:
        for left in (2, 1, 0):
            with pytest.raises(errors.WrongPinError) as caught:
                session.verify_pin(WRONG)
            assert caught.value.tries_left == left
            assert session.state == session.read_state()
        for pin in (WRONG, PIN):
            refused(session, "200080", pin.encode(), 0x6983)
        refused(session, "240080", (PIN + OTHER).encode(), 0x6983)
    with bench.session() as session:
        assert session.state.pin_tries == 0  # tries outlive the session
        session.script(bench.script(ScriptAction.PIN_UNBLOCK))
        assert session.verify_pin(PIN) == 3


def test_a_match_restores_the_tries(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    with bench.session() as session:
        for _ in range(3):
            for pin in (WRONG, OTHER):
                with pytest.raises(errors.WrongPinError):
                    session.verify_pin(pin)
            assert session.verify_pin(PIN) == 3
            assert session.state == session.read_state()


@pytest.mark.parametrize("data", [b"12345x", b"      ", b"\x01\x02\x03\x04\x05\x06"])
def test_only_digits_are_compared(bench: Bench, data: bytes) -> None:
    bench.prepare("ACTIVE")
    with bench.session() as session:
        refused(session, "200080", data, 0x6A80)
        refused(session, "240080", PIN.encode() + data, 0x6A80)
        refused(session, "240080", data + PIN.encode(), 0x6A80)


def test_a_failed_verify_undoes_an_earlier_one(bench: Bench) -> None:
    bench.loaded()
    for spoil in (("200080", WRONG.encode()), ("200080", b"12345x"),
                  ("240080", (WRONG + OTHER).encode())):  # fmt: skip
        with bench.paying() as session:
            assert raw(session, *spoil)[1] != 0x9000
            refused(session, "380000", bytes(debit_of(session)), 0x6982)
            session.verify_pin(PIN)
            session.debit(debit_of(session))
            assert session.state == session.read_state()


def test_change_pin(bench: Bench) -> None:
    bench.loaded()
    with bench.session() as session:
        with pytest.raises(errors.WrongPinError) as caught:
            session.change_pin(WRONG, OTHER)
        assert caught.value.tries_left == 2
        with pytest.raises(errors.PinTooSimpleError):
            session.change_pin(PIN, "121299")
        assert session.read_state().pin_tries == 3
        statement = session.change_pin(PIN, OTHER)
        assert statement.detail == PinSetPath.CHANGE
        assert session.state == session.read_state()
        assert session.state.pin_set_count == 2
        assert session.read_pin_statement() == statement
        session.debit(debit_of(session))  # the change proved the holder
    with bench.session() as session:
        assert raw(session, "200080", PIN.encode()) == (b"", 0x63C2)
        assert session.verify_pin(OTHER) == 3


SIMPLE = ["000000", "999999", "123456", "345678", "987654", "654321", "010190", "311299", "123199",
          "991231", "450115", "070855"]  # fmt: skip
GOOD = ["789012", "901234", "135790", "739155", "320013", "135713", "993213", "000100", "128713"]


@pytest.mark.parametrize("pin", SIMPLE)
def test_too_simple(bench: Bench, pin: str) -> None:
    bench.prepare("ACTIVE")
    with bench.session() as session:
        refused(session, "240080", (PIN + pin).encode(), 0x940D)


@pytest.mark.parametrize("pin", GOOD)
def test_acceptable(bench: Bench, pin: str) -> None:
    bench.prepare("ACTIVE")
    with bench.session() as session:
        session.change_pin(PIN, pin)
        assert session.verify_pin(pin) == 3


def test_a_pin_never_stands_in_an_error(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    with bench.session() as session:
        for work in (lambda: session.verify_pin(WRONG), lambda: session.verify_pin(WRONG + "9"),
                     lambda: session.change_pin(WRONG, OTHER)):  # fmt: skip
            with pytest.raises(Exception) as caught:  # noqa: PT011 - any of them
                work()
            assert WRONG not in repr(caught.value)
        assert WRONG not in repr(session)
