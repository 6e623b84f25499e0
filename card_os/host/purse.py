"""A session with the purse: verbs that return typed, verified wire objects (card_os/SPEC.md).

What the card says counts only when it is authentic (R-MAC), signed where it must be, and about
what was asked. Everything else ends the session and raises a :class:`ProtocolError`
(card_os.host.errors): every verb may, and ``links.LinkError`` besides. A status word that SPEC.md
lists is a :class:`CardRefusedError` and leaves the session open, 6988 apart. A docstring names what
is particular to its verb.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from types import TracebackType
from typing import Protocol, Self, TypeVar

from card_os.host import commands, errors
from card_os.host.commands import Command
from card_os.host.links import Link, LinkError
from card_os.host.opening import (
    CardIdentity,
    agree,
    exchange,
    present,
    read_card_certificate,
    select_purse,
    terminal_extension,
)
from keys.scp11 import EcdhKey
from keys.securechannel import HostMessaging, SecureChannelError
from wire import cvc
from wire.ecdsa import compress
from wire.entitlement import Entitlement, Script, ScriptAction
from wire.env import Environment
from wire.errors import FormatError, SignatureInvalidError, require
from wire.purse import (
    PIN_TRIES,
    TRANSPORT_CODE_DIGITS,
    TRANSPORT_CODE_TRIES,
    CardKeys,
    CardState,
    Debit,
    Flag,
    Life,
    Void,
    WalletState,
    encode_pin,
)
from wire.receipt import (
    Counters,
    PinSetPath,
    Receipt,
    ReceiptKind,
    Statement,
    StatementKind,
    Verification,
)

_NO_CARD_ID = bytes(cvc.ID_BYTES)
_NOTHING = Counters(0, 0, 0, 0)
_CODE_PATH, _RESET_PATH = 0x00, 0x01  # P1 of ACTIVATE
_WITH_PIN, _BYPASS = 0x00, 0x01  # P1 of DEBIT


class _Signed(Protocol):
    @classmethod
    def parse(cls, data: bytes) -> Self: ...
    def verify(self, receipt_key: bytes) -> Self: ...
    def __bytes__(self) -> bytes: ...


_S = TypeVar("_S", bound=_Signed)


class PurseSession:
    """An open session; use :meth:`open` in a ``with``. One thread, one session per link.

    :attr:`state` is the card's state as this session knows it: READ at the opening, then kept up
    with every verified answer; :meth:`read_state` asks the card again.
    """

    def __init__(
        self, link: Link, messaging: HostMessaging, certificate: cvc.Certificate,
        identity: CardIdentity,
    ) -> None:  # fmt: skip
        """For :meth:`open` and :meth:`open_keyed`; reads the state and checks both identities."""
        self._link = link
        self._messaging: HostMessaging | None = messaging
        self._certificate = certificate
        self._officer = terminal_extension(certificate, identity.env).officer
        self._identity = identity
        self._newest: Receipt | None = None
        self._state = self.read_state()

    @classmethod
    def open(
        cls, link: Link, *, env: Environment, certificate: cvc.Certificate, channel_key: EcdhKey,
        verify_card_certificate: Callable[[cvc.Certificate], CardIdentity],
        random: Callable[[int], bytes], links: Sequence[cvc.Certificate] = (),
    ) -> Self:  # fmt: skip
        """Open a session with a personalised card (PROTOCOL.md §4, steps 1 to 5).

        ``certificate`` and ``channel_key`` are this terminal's; ``links`` all it has, in any
        order; ``verify_card_certificate`` checks the signature under the right card CA key (and
        whatever else its caller wants) and raises or returns the identity. Raises
        :class:`NotOurCardError`, :class:`CardRefusedError`, :class:`ProtocolError`,
        ``links.LinkError`` and what ``verify_card_certificate`` raises.
        """
        terminal_extension(certificate, env)
        # 1. SELECT
        select_purse(link, env)
        # 2. links, certificate
        present(link, certificate, links)
        # 3. card certificate
        identity = read_card_certificate(link, env, verify_card_certificate)
        # 4. key agreement, 5. state
        messaging = agree(link, channel_key, identity.channel_key, random)
        return cls(link, messaging, certificate, identity)

    @classmethod
    def open_keyed(
        cls, link: Link, *, env: Environment, certificate: cvc.Certificate, channel_key: EcdhKey,
        card_keys: CardKeys, random: Callable[[int], bytes],
        links: Sequence[cvc.Certificate] = (),
    ) -> Self:  # fmt: skip
        """Open a `personaliser` session with a KEYED card, which has no certificate yet.

        ``card_keys`` came under R-MAC from GENERATE KEYS. Errors as for :meth:`open`.
        """
        terminal_extension(certificate, env)
        select_purse(link, env)
        present(link, certificate, links)
        messaging = agree(link, channel_key, card_keys.channel_key, random)
        receipt_key = compress(card_keys.receipt_key)
        blank = CardIdentity(env, _NO_CARD_ID, card_keys.channel_key, receipt_key, bytes(32))
        return cls(link, messaging, certificate, blank)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None, /,
    ) -> None:  # fmt: skip
        self.close()

    def __repr__(self) -> str:
        over = "" if self.is_open else ", over"
        return f"{type(self).__name__}({self._identity.card_id.hex()}{over})"

    def close(self) -> None:
        """Forget the session keys. The link stays with its owner; harmless twice."""
        if self._messaging is not None:
            self._messaging.close()
        self._messaging = None

    @property
    def is_open(self) -> bool:
        """False once closed, by the caller or by an error."""
        return self._messaging is not None

    @property
    def identity(self) -> CardIdentity:
        """Who the card is, by its certificate."""
        return self._identity

    @property
    def state(self) -> CardState:
        """The card's state as known now; nothing is sent."""
        return self._state

    # --- READ ---------------------------------------------------------------------------------

    def read_state(self) -> CardState:
        """READ STATE. :class:`CardIdentityError` unless it names this card and this terminal.

        :class:`AnswerMalformedError` for bytes that are no state.
        """
        raw = self._send(commands.READ_STATE)
        try:
            state = CardState.parse(raw)
        except FormatError as x:
            raise self._over(errors.AnswerMalformedError(f"state: {x}")) from x
        if state.card_id != self._identity.card_id:
            raise self._over(errors.CardIdentityError("the state names another card"))
        if state.terminal_id != self._certificate.subject:
            raise self._over(errors.CardIdentityError("the state names another terminal"))
        self._state = state
        return state

    def read_entitlement(self, index: int) -> Entitlement:
        """The entitlement in force of wallet ``index`` of the state.

        The issuer's signature is left to the caller, who holds its keys. :class:`NotThereError`.
        """
        raw = self._send(commands.READ_ENTITLEMENT, p2=index)
        try:
            entitlement = Entitlement.parse(raw)
        except FormatError as x:
            raise self._over(errors.AnswerMalformedError(f"entitlement: {x}")) from x
        if index < len(self._state.wallets):
            wallet = self._state.wallets[index]
            want = {"wallet": wallet.wallet, "sequence": wallet.entitlement_sequence}
            self._expect(commands.READ_ENTITLEMENT, entitlement, want)
        return entitlement

    def read_receipt(self, sequence: int) -> Receipt:
        """The receipt of that sequence, verified; :class:`NotThereError` once its slot is gone."""
        command = commands.READ_RECEIPT
        receipt = self._signed(command, Receipt, self._send(command, sequence.to_bytes(4, "big")))
        self._expect(command, receipt, {"sequence": sequence})
        if sequence == self._state.sequence:
            self._newest = receipt
        return receipt

    def read_pin_statement(self) -> Statement:
        """The newest ACTIVATION or PIN_SET statement, verified; :class:`NotThereError`."""
        kinds = {StatementKind.ACTIVATION, StatementKind.PIN_SET}
        return self._read_statement(commands.READ_PIN_STATEMENT, kinds)

    def read_script_statement(self) -> Statement:
        """The newest SCRIPT statement, verified; :class:`NotThereError`."""
        return self._read_statement(commands.READ_SCRIPT_STATEMENT, {StatementKind.SCRIPT})

    def _read_statement(self, command: Command, kinds: set[StatementKind]) -> Statement:
        statement = self._signed(command, Statement, self._send(command))
        self._expect(command, statement, {})
        if statement.kind not in kinds:
            raise self._over(errors.AnswerDiffersError(command.name, ("kind",), statement.raw))
        return statement

    # --- what the issuer signed ---------------------------------------------------------------

    def load(self, entitlement: Entitlement) -> Statement:
        """LOAD: the statement, verified; a repeated one is answered again and changes nothing.

        :class:`NotNewerError`, :class:`EntitlementDiffersError`,
        :class:`AcknowledgedAheadError`, :class:`NoWalletPlaceError` and the other words of
        SPEC.md's LOAD.
        """
        index, before = self._wallet(entitlement.wallet)
        repeated = before.entitlement_sequence == entitlement.sequence
        counters = before.counters if repeated else entitlement.apply(before.counters)
        day = self._state.card_date if repeated else self._later(entitlement.issued)
        raw = self._send(commands.LOAD, bytes(entitlement))
        statement = self._statement(commands.LOAD, raw, {
            "kind": StatementKind.LOAD, "wallet": entitlement.wallet, "counters": counters,
            "entitlement_sequence": entitlement.sequence, "card_date": day,
        })  # fmt: skip
        wallets = list(self._state.wallets)
        wallets[index:index + 1] = [
            WalletState(entitlement.wallet, entitlement.sequence, counters)
        ]  # fmt: skip
        s, e = self._state, entitlement
        if not repeated:
            self._state = replace(
                s, wallets=tuple(wallets), card_date=day,
                acknowledged=max(s.acknowledged, e.acknowledged),
                bypass_total=max(s.bypass_total, e.bypass_total),
            )  # fmt: skip
        return statement

    def script(self, script: Script) -> Statement:
        """SCRIPT; executed once, :class:`NotNewerError` when it was already."""
        s, day = self._state, self._later(script.issued)
        raw = self._send(commands.SCRIPT, bytes(script))
        statement = self._statement(commands.SCRIPT, raw, {
            "kind": StatementKind.SCRIPT, "detail": script.action, "number": script.number,
            "script_count": s.script_count + 1, "card_date": day,
        })  # fmt: skip
        s = replace(s, script_number=script.number, script_count=s.script_count + 1, card_date=day)
        match script.action:
            case ScriptAction.BLOCK:
                s = replace(s, flags=s.flags | Flag.BLOCKED)
            case ScriptAction.UNBLOCK:
                s = replace(s, flags=s.flags & ~Flag.BLOCKED)
            case ScriptAction.PIN_RESET:
                s = replace(s, flags=s.flags | Flag.PIN_RESET_PENDING)
            case ScriptAction.PIN_UNBLOCK:
                tries = PIN_TRIES if s.life == Life.ACTIVE else TRANSPORT_CODE_TRIES
                s = replace(s, pin_tries=tries, pin_unblocks_left=s.pin_unblocks_left - 1)
        self._state = s
        return statement

    # --- PIN ----------------------------------------------------------------------------------

    def verify_pin(self, pin: str) -> int:
        """VERIFY: the tries left after a match. :class:`WrongPinError`, :class:`BlockedError`..."""
        (tries,) = self._with_pin(commands.VERIFY, encode_pin(pin))
        self._state = replace(self._state, pin_tries=tries)
        return tries

    def change_pin(self, old: str, new: str) -> Statement:
        """CHANGE PIN; :class:`PinTooSimpleError` for a PIN the card refuses."""
        raw = self._with_pin(commands.CHANGE_PIN, encode_pin(old) + encode_pin(new))
        return self._pin_set(commands.CHANGE_PIN, raw, StatementKind.PIN_SET, PinSetPath.CHANGE)

    def activate(self, transport_code: str, pin: str) -> Statement:
        """ACTIVATE by transport code (8 digits): the family's first PIN (6 digits).

        :class:`WrongPinError` counts the code's tries; :class:`PinTooSimpleError`.
        """
        data = encode_transport_code(transport_code) + encode_pin(pin)
        raw = self._with_pin(commands.ACTIVATE, data, p1=_CODE_PATH)
        return self._pin_set(commands.ACTIVATE, raw, StatementKind.ACTIVATION, 0)

    def set_pin_after_reset(self, pin: str) -> Statement:
        """ACTIVATE while a PIN reset names this session's officer; :class:`OutOfPlaceError`."""
        raw = self._send(commands.ACTIVATE, encode_pin(pin), p1=_RESET_PATH)
        return self._pin_set(commands.ACTIVATE, raw, StatementKind.PIN_SET, PinSetPath.RESET)

    def _with_pin(self, command: Command, data: bytes, *, p1: int = 0) -> bytes:
        try:
            return self._send(command, data, p1=p1)
        except errors.WrongPinError as x:
            self._state = replace(self._state, pin_tries=x.tries_left)
            raise

    def _pin_set(self, command: Command, raw: bytes, kind: StatementKind, detail: int) -> Statement:
        count = self._state.pin_set_count + 1
        want = {"kind": kind, "detail": detail, "pin_set_count": count}
        statement = self._statement(command, raw, want)
        s = replace(self._state, pin_set_count=count, pin_tries=PIN_TRIES)
        if command is commands.ACTIVATE:
            s = replace(s, life=Life.ACTIVE, flags=s.flags & ~Flag.PIN_RESET_PENDING)
        self._state = s
        return statement

    # --- money --------------------------------------------------------------------------------

    def debit(self, debit: Debit, *, bypass: bool = False) -> Receipt:
        """DEBIT: the receipt, verified and about exactly this debit.

        ``bypass``: in a `supervisor` session, without PIN. Whatever is raised here, what the card
        did is known only from READ in a later session (PROTOCOL.md §4).
        """
        before = self._state
        index, wallet = self._wallet(debit.wallet)
        command = commands.DEBIT
        raw = self._send(command, bytes(debit), p1=_BYPASS if bypass else _WITH_PIN)
        c = wallet.counters
        counters = replace(c, debited=c.debited + debit.amount)
        receipt = self._receipt(command, raw, index, {
            "kind": ReceiptKind.DEBIT, "sequence": debit.expected_sequence + 1,
            "wallet": debit.wallet, "basket_version": debit.basket_version,
            "amount": debit.amount, "counters": counters,
            "terminal_sequence": debit.terminal_sequence,
            "terminal_time_s": debit.terminal_time_s, "intent_hash": debit.intent_hash,
            "verification": Verification.BYPASS if bypass else Verification.PIN,
            "bypass_count": before.bypass_count + bypass,
        })  # fmt: skip
        self._state = replace(self._state, bypass_count=before.bypass_count + bypass)
        return receipt

    def void(self, void: Void) -> Receipt:
        """VOID: the reversal's receipt, of the wallet and amount of the debit it names.

        The debit is read first if this session has not seen it, so that nothing stands between
        the answer and the caller.
        """
        debit = self._newest
        if debit is None or debit.sequence != void.sequence:
            debit = self.read_receipt(void.sequence)
        index, wallet = self._wallet(debit.wallet)
        raw = self._send(commands.VOID, bytes(void))
        c = wallet.counters
        counters = replace(c, reversed=c.reversed + debit.amount)
        return self._receipt(commands.VOID, raw, index, {
            "kind": ReceiptKind.REVERSAL, "sequence": void.sequence + 1, "wallet": debit.wallet,
            "basket_version": debit.basket_version, "amount": debit.amount, "counters": counters,
            "terminal_sequence": void.terminal_sequence, "terminal_time_s": void.terminal_time_s,
            "intent_hash": void.intent_hash, "bypass_count": self._state.bypass_count,
            "verification": Verification.NONE,
        })  # fmt: skip

    def confirm(self, sequence: int) -> None:
        """CONFIRM the latest receipt, which makes a debit final; again is harmless.

        :class:`OutOfPlaceError` when the latest has another sequence or terminal.
        """
        want = sequence.to_bytes(4, "big")
        answer = self._send(commands.CONFIRM, want)
        if answer != want:
            name = commands.CONFIRM.name
            raise self._over(errors.AnswerDiffersError(name, ("sequence",), answer))
        self._state = replace(self._state, flags=self._state.flags | Flag.CONFIRMED)

    # --- issue --------------------------------------------------------------------------------

    def personalise(self, transport_code: str, certificate: cvc.Certificate) -> None:
        """PERSONALISE a KEYED card; the session goes on with the identity it now has.

        ``transport_code``: eight digits. :class:`OutOfPlaceError` when the card is INERT already.
        """
        data = encode_transport_code(transport_code) + bytes(certificate)
        answer = self._send(commands.PERSONALISE, data)
        if answer != bytes([Life.INERT]):
            name = commands.PERSONALISE.name
            raise self._over(errors.AnswerDiffersError(name, ("life",), answer))
        self._identity = CardIdentity.of(certificate)
        self.read_state()

    # --- inside -------------------------------------------------------------------------------

    def _send(self, command: Command, data: bytes = b"", *, p1: int | None = None,
              p2: int = 0) -> bytes:  # fmt: skip
        """One command under secure messaging: the answer's data; a broken channel is closed."""
        messaging = self._messaging
        if messaging is None:
            raise errors.SessionOverError(command.name)
        secured = messaging.wrap(command.apdu(data, p1=p1, p2=p2))
        try:
            answer = messaging.unwrap(exchange(self._link, secured))
            return command.read(answer)
        except SecureChannelError as x:
            raise self._over(errors.UnprovenAnswerError(f"{command.name}: {x}")) from x
        except (LinkError, errors.ProtocolError, errors.SecureMessagingRefusedError):
            self.close()
            raise

    def _over(self, error: errors.CardError) -> errors.CardError:
        self.close()
        return error

    def _signed(self, command: Command, kind: type[_S], raw: bytes) -> _S:
        try:
            return kind.parse(raw).verify(self._identity.receipt_key)
        except FormatError as x:
            raise self._over(errors.AnswerMalformedError(f"{command.name}: {x}")) from x
        except SignatureInvalidError as x:
            raise self._over(errors.AnswerSignatureError(f"{command.name}: {x}")) from x

    def _expect(self, command: Command, answer: object, want: Mapping[str, object]) -> None:
        """Compare named fields, environment and card id always among them."""
        want = {"env": self._identity.env, "card_id": self._identity.card_id, **want}
        wrong = tuple(name for name, value in want.items() if getattr(answer, name) != value)
        if wrong:
            raw: bytes = getattr(answer, "raw", b"")
            raise self._over(errors.AnswerDiffersError(command.name, wrong, raw))

    def _ours(self) -> dict[str, object]:
        """What every fresh answer names besides what was asked."""
        want: dict[str, object] = {
            "terminal_id": self._certificate.subject, "terminal_serial": self._certificate.serial,
            "officer": self._officer, "script_count": self._state.script_count,
            "pin_set_count": self._state.pin_set_count, "card_date": self._state.card_date,
        }  # fmt: skip
        if self._state.sequence == 0:
            want["link"] = self._identity.certificate_digest
        elif self._newest is not None:
            want["link"] = self._newest.hash
        return want

    def _statement(self, command: Command, raw: bytes, want: Mapping[str, object]) -> Statement:
        statement = self._signed(command, Statement, raw)
        usual: dict[str, object] = {
            "sequence": self._state.sequence, "bypass_count": self._state.bypass_count,
            "wallet": 0, "counters": _NOTHING, "entitlement_sequence": 0, "detail": 0, "number": 0,
        }  # fmt: skip
        self._expect(command, statement, self._ours() | usual | dict(want))
        return statement

    def _receipt(
        self, command: Command, raw: bytes, index: int, want: Mapping[str, object]
    ) -> Receipt:
        """Check a fresh receipt and take over what it changes; ``index`` is its wallet's."""
        receipt = self._signed(command, Receipt, raw)
        s = self._state
        if index == len(s.wallets):  # a wallet that the card had not shown
            raise self._over(errors.AnswerDiffersError(command.name, ("wallet",), raw))
        entitlement = s.wallets[index].entitlement_sequence
        usual = self._ours() | {"entitlement_sequence": entitlement}
        self._expect(command, receipt, usual | dict(want))
        wallets = list(s.wallets)
        wallets[index] = replace(wallets[index], counters=receipt.counters)
        self._state = replace(
            s, sequence=receipt.sequence, wallets=tuple(wallets), flags=s.flags & ~Flag.CONFIRMED
        )
        self._newest = receipt
        return receipt

    def _wallet(self, code: int) -> tuple[int, WalletState]:
        """Index and state of a wallet; the next free index and nothing when it is unknown."""
        for index, wallet in enumerate(self._state.wallets):
            if wallet.wallet == code:
                return index, wallet
        return len(self._state.wallets), WalletState(code, 0, _NOTHING)

    def _later(self, issued: date) -> date:
        return max(self._state.card_date, issued)


def encode_transport_code(code: str) -> bytes:
    """Eight ASCII digits as bytes; a ``FormatError``'s text never repeats the code."""
    good = len(code) == TRANSPORT_CODE_DIGITS and code.isascii() and code.isdecimal()
    require(good, "transport code is not eight digits")
    return code.encode("ascii")
