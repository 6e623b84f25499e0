"""The reader's end refuses what no honest card says (card_os.host)."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from card_os.host import commands, errors
from card_os.host.links import CardRemoved, InProcessLink
from card_os.host.opening import CardIdentity, select_purse
from card_os.host.purse import PurseSession, encode_transport_code
from card_os.reference.foreign import DroppingCard, ForeignCard
from keys.scp11 import SoftwareEcdhKey
from tests.conformance.test_security_domain import Altering
from tests.conformance.world import (
    CODE,
    ENV,
    PIN,
    Authorities,
    Bench,
    SigningKey,
    debit_of,
    raw,
    void_of,
)  # fmt: skip
from wire.apdu import ResponseApdu
from wire.cvc import Role
from wire.entitlement import ScriptAction
from wire.env import Environment
from wire.errors import FormatError
from wire.purse import CardState, Ins
from wire.receipt import (
    Counters,
    Interface,
    Receipt,
    ReceiptKind,
    Statement,
    StatementKind,
    Verification,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable


class Counting:
    """A link that notes the instructions sent."""

    def __init__(self, link: Any) -> None:
        self._link = link
        self.sent: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)

    def transmit(self, command: bytes) -> bytes:
        self.sent.append(command[1])
        return self._link.transmit(command)


# --- which card --------------------------------------------------------------------------------


def test_a_foreign_card_gets_select_and_nothing_else() -> None:
    link = Counting(InProcessLink(ForeignCard()))
    with pytest.raises(errors.ForeignCardError) as caught:
        select_purse(link, ENV)
    assert caught.value.sw != 0x9000
    assert set(link.sent) == {Ins.SELECT}


@pytest.mark.parametrize("answer", ["6A82", "6999", "6D00", "6E00", "9000", "6F009000", "63C0"])
def test_any_other_answer_to_select_is_a_foreign_card(bench: Bench, answer: str) -> None:
    link = Altering(bench.link, Ins.SELECT, lambda _: bytes.fromhex(answer))
    with pytest.raises(errors.ForeignCardError) as caught:
        select_purse(link, ENV)
    assert f"{caught.value.sw:04X}" == answer[-4:]


def test_a_mute_card() -> None:
    with pytest.raises(errors.MuteCardError):
        select_purse(InProcessLink(DroppingCard()), ENV)


def test_a_specimen_is_told_apart_and_left_alone(bench: Bench) -> None:
    bench.uninstall(ENV)
    specimen = Bench(bench.link, Authorities(env=Environment.DEMO_SPECIMEN))
    specimen.install()
    link = Counting(bench.link)
    with pytest.raises(errors.OtherEnvironmentError) as caught:
        select_purse(link, ENV)
    assert caught.value.is_specimen
    assert set(link.sent) == {Ins.SELECT}
    specimen.uninstall(Environment.DEMO_SPECIMEN)


def test_a_demo_card_is_no_live_card(bench: Bench) -> None:
    bench.prepare("INSTALLED")
    with pytest.raises(errors.OtherEnvironmentError) as caught:
        select_purse(bench.link, Environment.LIVE)
    assert caught.value.env == ENV
    assert not caught.value.is_specimen


def test_an_unknown_version(bench: Bench) -> None:
    bench.prepare("INSTALLED")
    link = Altering(bench.link, Ins.SELECT, lambda a: a.replace(b"\xc1\x01\x01", b"\xc1\x01\x02"))
    with pytest.raises(errors.UnknownVersionError):
        select_purse(link, ENV)


# --- who the card is ---------------------------------------------------------------------------


def open_with(bench: Bench, **change: Any) -> PurseSession:
    station = bench.station(Role.TERMINAL)
    usual: dict[str, Any] = {
        "env": ENV, "certificate": station.certificate, "channel_key": station.key,
        "verify_card_certificate": bench.up.verify_card, "random": os.urandom,
    }  # fmt: skip
    link = change.pop("link", bench.link)
    return PurseSession.open(link, **(usual | change))


def test_the_identity_must_be_the_certificates(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    for field, value in (("card_id", b"DEMO\x00\x00\x00\x2b"), ("receipt_key", bytes(33))):
        with pytest.raises(errors.CardIdentityError):
            open_with(
                bench,
                verify_card_certificate=lambda c, f=field, v=value: replace(
                    bench.up.verify_card(c), **{f: v}
                ),
            )
    other = Bench(bench.link, Authorities())
    other_ca = other.up.verify_card
    with pytest.raises(Exception, match="does not verify"):
        open_with(bench, verify_card_certificate=other_ca)


def test_a_session_needs_a_terminal_certificate_of_its_world(bench: Bench) -> None:
    bench.prepare("ACTIVE")
    with pytest.raises(ValueError, match="terminal certificate"):
        open_with(bench, certificate=bench.certificate)
    with pytest.raises(ValueError, match="terminal certificate"):
        open_with(bench, env=Environment.LIVE)


def test_a_card_without_the_certificates_key(bench: Bench) -> None:
    """A clone of the certificate alone cannot make the receipt of MUTUAL AUTHENTICATE."""
    bench.prepare("ACTIVE")
    assert bench.keys is not None
    thief = SoftwareEcdhKey.generate(os.urandom).public
    forged = bytes(bench.up.card(type(bench.keys)(thief, bench.keys.receipt_key)))
    link = Altering(bench.link, Ins.GET_DATA, lambda _: forged + b"\x90\x00")
    with pytest.raises(errors.UnprovenAnswerError):
        open_with(bench, link=link)


@pytest.mark.parametrize("name", ["card_id", "terminal_id"])
def test_both_identities_stand_in_the_state(bench: Bench, name: str) -> None:
    bench.loaded()
    with bench.session() as session:
        state = bytearray(bytes(session.state))
        state[0 if name == "card_id" else 8] ^= 1
        session._send = lambda *_, **__: bytes(state)  # type: ignore[method-assign]
        with pytest.raises(errors.CardIdentityError):
            session.read_state()
        assert not session.is_open


def test_a_malformed_certificate_or_state(bench: Bench) -> None:
    bench.loaded()
    link = Altering(bench.link, Ins.GET_DATA, lambda _: b"\x7f\x21\x00\x90\x00")
    with pytest.raises(errors.AnswerMalformedError):
        open_with(bench, link=link)
    with bench.session() as session:
        state = bytearray(bytes(session.state))
        state[16] = 9  # no such life
        session._send = lambda *_, **__: bytes(state)  # type: ignore[method-assign]
        with pytest.raises(errors.AnswerMalformedError):
            session.read_state()


# --- an answer must be proved ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda _: b"\x90\x00", errors.UnprovenAnswerError),
        (lambda a: a[:8] + b"\x90\x00", errors.UnprovenAnswerError),
        (lambda a: bytes([a[0] ^ 1]) + a[1:], errors.UnprovenAnswerError),
        (lambda a: a[:-3] + bytes([a[-3] ^ 1]) + a[-2:], errors.UnprovenAnswerError),
        (lambda a: a[:-2] + b"\x63\xc1", errors.UnprovenAnswerError),
        (lambda a: b"\x63\xc1", errors.UnprovenAnswerError),
        (lambda a: a[:-2] + b"\x94\x02", errors.UnprovenAnswerError),
        (lambda a: b"\x6f\x00", errors.UnexpectedStatusError),
        (lambda a: b"\x94\x0e", errors.UnexpectedStatusError),  # not a word of DEBIT
        (lambda a: b"\x69\x88", errors.SecureMessagingRefusedError),
    ],
)  # fmt: skip
def test_an_unproved_answer_ends_the_session(
    bench: Bench, change: Callable[[bytes], bytes], error: type[Exception]
) -> None:
    bench.loaded()
    with bench.paying() as session:
        session._link = Altering(bench.link, Ins.DEBIT, change)
        with pytest.raises(error):
            session.debit(debit_of(session))
        assert not session.is_open
        with pytest.raises(errors.SessionOverError):
            session.read_state()
    with bench.session() as session:
        assert session.state.sequence == 1  # the card did it: only READ tells


def test_a_refusal_keeps_the_session(bench: Bench) -> None:
    bench.loaded()
    with bench.paying() as session:
        with pytest.raises(errors.SequenceDiffersError) as caught:
            session.debit(debit_of(session, expected_sequence=4))
        assert (caught.value.command, caught.value.sw) == ("DEBIT", 0x9402)
        session.debit(debit_of(session))


def test_a_lost_link_ends_the_session(bench: Bench) -> None:
    bench.loaded()

    def gone(_: bytes) -> bytes:
        raise CardRemoved("pulled")

    with bench.paying() as session:
        session._link = Altering(bench.link, Ins.DEBIT, gone)
        with pytest.raises(CardRemoved):
            session.debit(debit_of(session))
        assert not session.is_open


@pytest.mark.parametrize("command", commands.PURSE_COMMANDS, ids=lambda c: c.name)
def test_every_command_checks_length_and_status(command: commands.Command) -> None:
    longest = command.answer[-1]
    assert command.read(ResponseApdu(bytes(longest), 0x9000)) == bytes(longest)
    with pytest.raises(errors.AnswerLengthError):
        command.read(ResponseApdu(bytes(longest + 1), 0x9000))
    if 0 not in command.answer:
        with pytest.raises(errors.AnswerLengthError):
            command.read(ResponseApdu(b"", 0x9000))
    for sw in (0x6F00, 0x6283, 0x9001, 0x6982 ^ 0x0001, 0x61FF):
        if sw not in command.refusals:
            with pytest.raises(errors.UnexpectedStatusError):
                command.read(ResponseApdu(b"", sw))
    for sw, error in command.refusals.items():
        with pytest.raises(error):
            command.read(ResponseApdu(b"", sw))


# --- a signed answer must be about what was asked ----------------------------------------------

OTHER: dict[type, Any] = {
    bytes: lambda v: v[:-1] + bytes([v[-1] ^ 1]),
    int: lambda v: v + 1,
    date: lambda v: v.replace(year=v.year + 1),
    Environment: lambda _: Environment.LIVE,
    Counters: lambda c: replace(c, loaded=c.loaded + 1),
    ReceiptKind: lambda k: ReceiptKind(3 - k),
    Verification: lambda v: Verification((v + 1) % 3),
    StatementKind: lambda k: StatementKind(k % 4 + 1),
}
RECEIPT_FIELDS = [f for f in Receipt.__slots__ if f not in {"raw", "interface"}]
STATEMENT_FIELDS = [f for f in Statement.__slots__ if f != "raw"]


class Forger:
    """Plays a card whose receipt key signs anything: answers an honest answer, altered."""

    def __init__(self, session: PurseSession) -> None:
        self.session = session
        self.key = SigningKey()

    def answer(self, honest: Any, name: str | None) -> None:
        kind = type(honest)
        fields = {f: getattr(honest, f) for f in kind.__slots__ if f != "raw"}
        if name is not None:
            fields[name] = OTHER[type(fields[name])](fields[name])
        body = kind.encode_body(**fields)
        forged = body + self.key.sign(body)
        s = self.session
        s._identity = replace(s._identity, receipt_key=self.key.public)
        s._send = lambda *_, **__: forged  # type: ignore[method-assign]


def differs(session: PurseSession, work: Callable[[], Any], name: str | None) -> None:
    if name is None:
        work()
        return
    with pytest.raises(errors.AnswerDiffersError) as caught:
        work()
    assert name in caught.value.fields
    assert caught.value.answer
    assert not session.is_open


@pytest.mark.parametrize("name", [None, *RECEIPT_FIELDS])
def test_a_debit_receipt_about_something_else(bench: Bench, name: str | None) -> None:
    bench.loaded()
    with bench.paying() as session:
        before, order = session.state, debit_of(session)
        honest = session.debit(order)
        session._state, session._newest = before, None
        Forger(session).answer(honest, name)
        differs(session, lambda: session.debit(order), name)


@pytest.mark.parametrize("name", [None, *RECEIPT_FIELDS])
def test_a_void_receipt_about_something_else(bench: Bench, name: str | None) -> None:
    bench.loaded()
    with bench.paying() as session:
        session.debit(debit_of(session))
    with bench.session(Role.SUPERVISOR) as session:
        before, order = session.state, void_of(session)
        debit = session.read_receipt(1)
        honest = session.void(order)
        session._state, session._newest = before, debit
        Forger(session).answer(honest, name)
        differs(session, lambda: session.void(order), name)


@pytest.mark.parametrize("name", [None, *STATEMENT_FIELDS])
@pytest.mark.parametrize("verb", ["load", "script", "change", "activate", "reset"])
def test_a_statement_about_something_else(bench: Bench, verb: str, name: str | None) -> None:
    bench.prepare("INERT" if verb == "activate" else "ACTIVE")
    officer = verb in {"activate", "reset"}
    with bench.session(Role.HANDOVER if officer else Role.TERMINAL) as session:
        if verb == "reset":
            session.script(bench.script(ScriptAction.PIN_RESET))
        order, script = bench.entitlement(), bench.script(ScriptAction.BLOCK, 2)
        work: Callable[[], Statement] = {
            "load": lambda: session.load(order),
            "script": lambda: session.script(script),
            "change": lambda: session.change_pin(PIN, "840266"),
            "activate": lambda: session.activate(CODE, PIN),
            "reset": lambda: session.set_pin_after_reset(PIN),
        }[verb]
        before = session.state
        honest = work()
        session._state = before
        Forger(session).answer(honest, name)
        differs(session, work, name)


@pytest.mark.parametrize("verb", ["receipt", "pin", "script", "entitlement"])
def test_what_is_read_is_this_cards(bench: Bench, verb: str) -> None:
    bench.loaded()
    with bench.paying() as session:
        session.debit(debit_of(session))
        session.script(bench.script(ScriptAction.BLOCK))
        if verb == "entitlement":
            other = bench.entitlement(card_id=b"DEMO\x00\x00\x00\x2b", sequence=1)
            session._send = lambda *_, **__: bytes(other)  # type: ignore[method-assign]
            differs(session, lambda: session.read_entitlement(0), "card_id")
            return
        work: Callable[[], Any] = {
            "receipt": lambda: session.read_receipt(1),
            "pin": session.read_pin_statement,
            "script": session.read_script_statement,
        }[verb]
        honest = work()
        names = ["env", "card_id", "sequence" if verb == "receipt" else "kind"]
        send, identity = session._send, session._identity
        for name in names:
            if verb == "pin" and name == "kind":
                honest = replace(honest, kind=StatementKind.PIN_SET)
            messaging = session._messaging
            Forger(session).answer(honest, name)
            with pytest.raises(errors.AnswerDiffersError) as caught:
                work()
            assert caught.value.fields == (name,)
            session._send, session._identity = send, identity  # type: ignore[method-assign]
            session._messaging = messaging


def test_a_receipt_signed_by_someone_else(bench: Bench) -> None:
    bench.loaded()
    with bench.paying() as session:
        before, order = session.state, debit_of(session)
        honest = session.debit(order)
        session._state, session._newest = before, None
        identity = session._identity
        Forger(session).answer(honest, None)
        session._identity = identity
        with pytest.raises(errors.AnswerSignatureError):
            session.debit(order)
        assert not session.is_open


def test_a_confirm_or_personalise_that_says_something_else(bench: Bench) -> None:
    bench.loaded()
    with bench.paying() as session:
        session._send = lambda *_, **__: bytes(4)  # type: ignore[method-assign]
        differs(session, lambda: session.confirm(1), "sequence")
    bench.prepare("KEYED")
    assert bench.keys is not None
    certificate = bench.up.card(bench.keys)
    with bench.keyed_session() as session:
        session._send = lambda *_, **__: b"\x04"  # type: ignore[method-assign]
        differs(session, lambda: session.personalise(CODE, certificate), "life")


def test_the_next_link_is_checked_within_a_session(bench: Bench) -> None:
    bench.loaded()
    with bench.paying() as session:
        session.load(bench.entitlement(wallet=22))
        first = session.debit(debit_of(session))
        before, order = session.state, debit_of(session, wallet=22)
        honest = session.debit(order)
        session._state, session._newest = before, first
        Forger(session).answer(honest, "link")
        differs(session, lambda: session.debit(order), "link")


# --- small things ------------------------------------------------------------------------------


def test_codes_are_eight_digits_and_never_shown() -> None:
    for bad in ("1234567", "123456789", "1234567a", "１２３４５６７８"):
        with pytest.raises(FormatError) as caught:
            encode_transport_code(bad)
        assert bad not in str(caught.value)


def test_identity_only_of_card_certificates(bench: Bench) -> None:
    with pytest.raises(FormatError):
        CardIdentity.of(bench.station(Role.TERMINAL).certificate)


def test_a_closed_session_sends_nothing(bench: Bench) -> None:
    bench.loaded()
    with bench.session() as session:
        pass
    link = Counting(bench.link)
    session._link = link
    with pytest.raises(errors.SessionOverError):
        session.verify_pin(PIN)
    assert link.sent == []
    assert isinstance(session.state, CardState)
    assert "over" in repr(session)


def test_raw_is_for_tests_alone(bench: Bench) -> None:
    bench.loaded()
    with bench.session() as session:
        assert raw(session, "300000")[1] == 0x9000
        assert Interface.CONTACT in Interface
