"""The command tables: per command its header, its answer's lengths and its status words.

One :class:`Command` per command of card_os/SPEC.md#commands, and of the security domain as far as
the issuer uses it. A status word that the entry does not list is an error of its own; so is an
answer of a length that the entry does not allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from card_os.host import errors as e
from wire.apdu import CommandApdu, ResponseApdu
from wire.cvc import MAX_CVC_BYTES
from wire.ecdsa import POINT_BYTES
from wire.entitlement import ENTITLEMENT_BYTES, MAX_WALLETS
from wire.purse import STATE_BYTES, WALLET_BYTES, Ins, Read, Sw
from wire.receipt import RECEIPT_BYTES, STATEMENT_BYTES

CLA_ISO = 0x00
CLA_GP = 0x80  # sent as 84 once secure messaging is on
PIN_REFERENCE = 0x80

Refusals = Mapping[int, type[e.CardRefusedError]]


@dataclass(frozen=True, slots=True)
class Command:
    """One command. ``answer`` holds the lengths in bytes that a success may have."""

    name: str
    ins: int
    answer: range
    refusals: Refusals
    p1: int = 0x00
    p2: int = 0x00
    cla: int = CLA_GP
    le: int | None = 256

    def apdu(self, data: bytes = b"", *, p1: int | None = None, p2: int = 0) -> CommandApdu:
        """The command in clear; ``p1`` stands for the entry's, ``p2`` is added to it."""
        first = self.p1 if p1 is None else p1
        return CommandApdu(self.cla, self.ins, first, self.p2 + p2, data, self.le)

    def read(self, response: ResponseApdu) -> bytes:
        """The answer's data; raises what the status word or the length stands for.

        :class:`CardRefusedError` for a listed status word, :class:`UnexpectedStatusError` for
        any other, :class:`AnswerLengthError` for a success of another length.
        """
        if response.sw == Sw.OK:
            if len(response.data) not in self.answer:
                raise e.AnswerLengthError(self.name, len(response.data))
            return response.data
        tries = response.sw & 0xFFF0 == Sw.VERIFICATION_FAILED
        refusal = self.refusals.get(Sw.VERIFICATION_FAILED if tries else response.sw)
        if refusal is None:
            raise e.UnexpectedStatusError(self.name, response.sw)
        raise refusal(self.name, response.sw)


def exactly(length_bytes: int) -> range:
    """The one length given, as :attr:`Command.answer` holds it."""
    return range(length_bytes, length_bytes + 1)


# Words any command may meet before it looks at its own data (SPEC.md, order of refusal).
_COMMON: Refusals = {
    Sw.WRONG_LENGTH: e.WrongLengthError,
    Sw.CONDITIONS_NOT_SATISFIED: e.OutOfPlaceError,
    Sw.WRONG_P1P2: e.ParametersRefusedError,
    Sw.INS_NOT_SUPPORTED: e.NotSupportedError,
    Sw.CLA_NOT_SUPPORTED: e.NotSupportedError,
}
_SECURED: Refusals = {
    **_COMMON,
    Sw.SECURE_MESSAGING_WRONG: e.SecureMessagingRefusedError,
    Sw.SECURITY_NOT_SATISFIED: e.NotPermittedError,
}
_SIGNED: Refusals = {
    **_SECURED,
    Sw.SECURITY_NOT_SATISFIED: e.SignatureRefusedError,
    Sw.WRONG_DATA: e.DataRefusedError,
    Sw.DATA_NOT_FOUND: e.KeyUnknownError,
    Sw.DATE_REFUSED: e.DateRefusedError,
    Sw.NOT_NEWER: e.NotNewerError,
}
_PIN: Refusals = {
    **_SECURED,
    Sw.WRONG_DATA: e.DataRefusedError,
    Sw.VERIFICATION_FAILED: e.WrongPinError,
    Sw.AUTHENTICATION_BLOCKED: e.PinTriesSpentError,
    Sw.CARD_INERT: e.InertError,
    Sw.CARD_BLOCKED: e.BlockedError,
}

PSO = Command("PSO", Ins.PSO, exactly(0), {
    **_COMMON,
    Sw.SECURITY_NOT_SATISFIED: e.SignatureRefusedError,
    Sw.WRONG_DATA: e.DataRefusedError,
    Sw.DATA_NOT_FOUND: e.KeyUnknownError,
    Sw.DATE_REFUSED: e.DateRefusedError,
    Sw.NOT_NEWER: e.NotNewerError,
}, p1=0x00, p2=0x10, le=None)  # fmt: skip

GET_CERTIFICATE = Command("GET DATA", Ins.GET_DATA, range(1, MAX_CVC_BYTES + 1), {
    **_COMMON, Sw.DATA_NOT_FOUND: e.NotThereError,
}, p1=0x7F, p2=0x21)  # fmt: skip

# 5F49 41 point ‖ 86 10 receipt
MUTUAL_AUTHENTICATE = Command(
    "MUTUAL AUTHENTICATE", Ins.MUTUAL_AUTHENTICATE, exactly(3 + POINT_BYTES + 18), {
        **_COMMON, Sw.WRONG_DATA: e.DataRefusedError, Sw.DATA_NOT_FOUND: e.KeyUnknownError,
    }, p1=0x01, p2=0x11)  # fmt: skip

GENERATE_KEYS = Command("GENERATE KEYS", Ins.GENERATE_KEYS, exactly(2 * POINT_BYTES), _SECURED)

_NONE_THERE: Refusals = {**_SECURED, Sw.DATA_NOT_FOUND: e.NotThereError}
READ_STATE = Command(
    "READ STATE", Ins.READ,
    range(STATE_BYTES, STATE_BYTES + MAX_WALLETS * WALLET_BYTES + 1, WALLET_BYTES),
    _SECURED, p1=Read.STATE,
)  # fmt: skip
READ_ENTITLEMENT = Command("READ ENTITLEMENT", Ins.READ, exactly(ENTITLEMENT_BYTES),
                           _NONE_THERE, p1=Read.ENTITLEMENT)  # fmt: skip
READ_RECEIPT = Command("READ RECEIPT", Ins.READ, exactly(RECEIPT_BYTES),
                       _NONE_THERE, p1=Read.RECEIPT)  # fmt: skip
READ_PIN_STATEMENT = Command("READ PIN STATEMENT", Ins.READ, exactly(STATEMENT_BYTES),
                             _NONE_THERE, p1=Read.PIN_STATEMENT)  # fmt: skip
READ_SCRIPT_STATEMENT = Command("READ SCRIPT STATEMENT", Ins.READ, exactly(STATEMENT_BYTES),
                                _NONE_THERE, p1=Read.SCRIPT_STATEMENT)  # fmt: skip

PERSONALISE = Command("PERSONALISE", Ins.PERSONALISE, exactly(1), {
    **_SECURED, Sw.WRONG_DATA: e.DataRefusedError,
})  # fmt: skip

LOAD = Command("LOAD", Ins.LOAD, exactly(STATEMENT_BYTES), {
    **_SIGNED,
    Sw.NO_SPACE: e.NoWalletPlaceError,
    Sw.ENTITLEMENT_DIFFERS: e.EntitlementDiffersError,
    Sw.ACKNOWLEDGED_AHEAD: e.AcknowledgedAheadError,
})  # fmt: skip

SCRIPT = Command("SCRIPT", Ins.SCRIPT, exactly(STATEMENT_BYTES), _SIGNED)

VERIFY = Command("VERIFY", Ins.VERIFY, exactly(1), _PIN, p2=PIN_REFERENCE)

CHANGE_PIN = Command("CHANGE PIN", Ins.CHANGE_PIN, exactly(STATEMENT_BYTES), {
    **_PIN,
    Sw.PIN_TOO_SIMPLE: e.PinTooSimpleError,
    Sw.SEQUENCE_EXHAUSTED: e.SequenceSpentError,
}, p2=PIN_REFERENCE)  # fmt: skip

ACTIVATE = Command("ACTIVATE", Ins.ACTIVATE, exactly(STATEMENT_BYTES), {
    **_SECURED,
    Sw.WRONG_DATA: e.DataRefusedError,
    Sw.VERIFICATION_FAILED: e.WrongPinError,
    Sw.AUTHENTICATION_BLOCKED: e.PinTriesSpentError,
    Sw.CARD_BLOCKED: e.BlockedError,
    Sw.PIN_TOO_SIMPLE: e.PinTooSimpleError,
    Sw.SEQUENCE_EXHAUSTED: e.SequenceSpentError,
})  # fmt: skip

DEBIT = Command("DEBIT", Ins.DEBIT, exactly(RECEIPT_BYTES), {
    **_SECURED,
    Sw.WRONG_DATA: e.DataRefusedError,
    Sw.AMOUNT_EXCEEDS_BALANCE: e.BalanceTooLowError,
    Sw.WALLET_UNKNOWN: e.WalletUnknownError,
    Sw.SEQUENCE_DIFFERS: e.SequenceDiffersError,
    Sw.RING_FULL: e.RingFullError,
    Sw.AMOUNT_EXCEEDS_CAP: e.CapExceededError,
    Sw.CARD_INERT: e.InertError,
    Sw.CARD_BLOCKED: e.BlockedError,
    Sw.BYPASS_EXHAUSTED: e.BypassSpentError,
    Sw.SEQUENCE_EXHAUSTED: e.SequenceSpentError,
})  # fmt: skip

VOID = Command("VOID", Ins.VOID, exactly(RECEIPT_BYTES), {
    **_SECURED,
    Sw.SEQUENCE_DIFFERS: e.SequenceDiffersError,
    Sw.RING_FULL: e.RingFullError,
    Sw.VOID_NOT_POSSIBLE: e.VoidNotPossibleError,
    Sw.SEQUENCE_EXHAUSTED: e.SequenceSpentError,
})  # fmt: skip

CONFIRM = Command("CONFIRM", Ins.CONFIRM, exactly(4), _SECURED)

PURSE_COMMANDS = (
    PSO, GET_CERTIFICATE, MUTUAL_AUTHENTICATE, GENERATE_KEYS, READ_STATE, READ_ENTITLEMENT,
    READ_RECEIPT, READ_PIN_STATEMENT, READ_SCRIPT_STATEMENT, PERSONALISE, LOAD, SCRIPT, VERIFY,
    CHANGE_PIN, ACTIVATE, DEBIT, VOID, CONFIRM,
)  # fmt: skip


# --- the security domain (GlobalPlatform Card Specification) ------------------------------------

SW_MORE_DATA = 0x6310  # GET STATUS: not everything fitted; ask for the next part

_SD: Refusals = {
    **_SECURED,
    Sw.WRONG_DATA: e.DataRefusedError,
    Sw.FILE_NOT_FOUND: e.NotThereError,
    Sw.NO_SPACE: e.NoSpaceError,
    Sw.DATA_NOT_FOUND: e.NotThereError,
    0x6581: e.NoSpaceError,
    0x9484: e.DataRefusedError,  # algorithm not supported
    0x9485: e.DataRefusedError,  # key check value
}
_OPENING: Refusals = {
    **_SD,
    0x6300: e.KeyBlockedError,
    Sw.SECURITY_NOT_SATISFIED: e.KeyBlockedError,
    Sw.AUTHENTICATION_BLOCKED: e.KeyBlockedError,
}
_ANY = range(257)

SELECT = Command("SELECT", Ins.SELECT, _ANY, _SD, p1=0x04, cla=CLA_ISO)
INITIALIZE_UPDATE = Command("INITIALIZE UPDATE", 0x50, range(29, 49), _OPENING)
EXTERNAL_AUTHENTICATE = Command("EXTERNAL AUTHENTICATE", 0x82, exactly(0), _OPENING)
GET_STATUS = Command("GET STATUS", 0xF2, _ANY, _SD, p2=0x02)
GET_DATA = Command("GET DATA", 0xCA, range(1, 257), _SD)
INSTALL = Command("INSTALL", 0xE6, range(2), _SD)
LOAD_BLOCK = Command("LOAD", 0xE8, range(2), _SD)
DELETE = Command("DELETE", 0xE4, range(2), _SD)
PUT_KEY = Command("PUT KEY", 0xD8, range(1, 20), _SD)
SET_STATUS = Command("SET STATUS", 0xF0, exactly(0), _SD)
