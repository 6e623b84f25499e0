"""Errors of the reader's side (card_os.host).

A status word is never evidence (PROTOCOL.md §4.1): a :class:`CardRefusedError` says what the card
answered, not what the card did. What it did is known from READ in a later session.
No error here repeats a PIN, a transport code or a key.
"""

from __future__ import annotations

from card_os.host.links import HostError
from wire.env import Environment


class CardError(HostError):
    """Base of every error of a session; those of the way to the card are ``links.LinkError``."""


# --- which card lies on the reader -------------------------------------------------------------


class NotOurCardError(CardError):
    """Base: this card is not for this program; nothing but SELECT was sent to it."""


class ForeignCardError(NotOurCardError):
    """A card without our applet, as those in circulation are assumed to be.

    ``sw`` is its answer to SELECT (0x9000 when it answered with something that is not our FCI).
    """

    def __init__(self, sw: int) -> None:
        super().__init__(f"no Betang purse on this card: {sw:04X}")
        self.sw = sw


class OtherEnvironmentError(NotOurCardError):
    """Our applet, of another world (PROTOCOL.md §2); ``env`` is the one its FCI names."""

    def __init__(self, env: Environment) -> None:
        super().__init__(f"card of another environment: {env.name}")
        self.env = env

    @property
    def is_specimen(self) -> bool:
        """True for "kartu contoh"."""
        return self.env.is_specimen


class UnknownVersionError(NotOurCardError):
    """Our applet, of a SPEC version that this program does not know."""

    def __init__(self, version: int) -> None:
        super().__init__(f"purse of unknown specification version {version}")
        self.version = version


class MuteCardError(NotOurCardError):
    """A card that gave no answer to the first command."""


# --- the card broke the protocol ---------------------------------------------------------------


class ProtocolError(CardError):
    """The answer cannot come from a card that obeys SPEC.md; the session is over."""


class UnexpectedStatusError(ProtocolError):
    """A status word that SPEC.md does not list for this command."""

    def __init__(self, command: str, sw: int) -> None:
        super().__init__(f"{command}: unlisted status word {sw:04X}")
        self.command = command
        self.sw = sw


class AnswerLengthError(ProtocolError):
    """An answer of a length that SPEC.md does not allow for this command."""

    def __init__(self, command: str, length_bytes: int) -> None:
        super().__init__(f"{command}: answer of {length_bytes} bytes")
        self.command = command
        self.length_bytes = length_bytes


class UnprovenAnswerError(ProtocolError):
    """An answer without a right R-MAC: it counts as no answer at all."""


class AnswerMalformedError(ProtocolError):
    """An authentic answer that is not the object it should be."""


class AnswerSignatureError(ProtocolError):
    """A receipt or statement that the card's receipt key did not sign."""


class AnswerDiffersError(ProtocolError):
    """A signed answer that names something else than was asked.

    ``fields`` are the names of what differs, ``answer`` the signed bytes: evidence, to be kept.
    """

    def __init__(self, command: str, fields: tuple[str, ...], answer: bytes) -> None:
        super().__init__(f"{command}: the card answered for another {', '.join(fields)}")
        self.command = command
        self.fields = fields
        self.answer = answer


class CardIdentityError(ProtocolError):
    """Card certificate or state of another environment, card or terminal than this session's."""


class SessionOverError(CardError):
    """A verb after the session ended (closed, or closed by an error before)."""


# --- the card refused ---------------------------------------------------------------------------


class CardRefusedError(CardError):
    """A status word listed in SPEC.md; ``command`` names the command, ``sw`` is the word."""

    def __init__(self, command: str, sw: int) -> None:
        super().__init__(f"{command}: {sw:04X}")
        self.command = command
        self.sw = sw


class WrongLengthError(CardRefusedError):
    """6700."""


class NotPermittedError(CardRefusedError):
    """6982: the session's role may not do this, or no PIN was verified in it."""


class SignatureRefusedError(NotPermittedError):
    """6982: the card did not accept the signature of what was sent."""


class PinTriesSpentError(CardRefusedError):
    """6983: no tries are left; a PIN_UNBLOCK or PIN_RESET script is needed."""


class KeyBlockedError(CardRefusedError):
    """6983 or 6300 at the opening of SCP03: the key set takes no more, or not this proof."""


class OutOfPlaceError(CardRefusedError):
    """6985: not in this life state, or not now."""


class SecureMessagingRefusedError(CardRefusedError):
    """6988: the card could not verify the command; it has ended the session."""


class DataRefusedError(CardRefusedError):
    """6A80: malformed, of another environment or for another card."""


class NoWalletPlaceError(CardRefusedError):
    """6A84: the card already has eight wallets."""


class NoSpaceError(CardRefusedError):
    """6A84 or 6581 of the security domain: no memory or no place."""


class ParametersRefusedError(CardRefusedError):
    """6A86: P1/P2."""


class NotThereError(CardRefusedError):
    """6A88: the card has no such object."""


class KeyUnknownError(NotThereError):
    """6A88: the card has no key of that version (links may be missing)."""


class NotSupportedError(CardRefusedError):
    """6D00 or 6E00: the card does not know the command."""


class WrongPinError(CardRefusedError):
    """63Cx: the PIN (or the transport code) does not match; ``tries_left`` is x."""

    def __init__(self, command: str, sw: int) -> None:
        super().__init__(command, sw)
        self.tries_left = sw & 0x0F


class BalanceTooLowError(CardRefusedError):
    """9400."""


class WalletUnknownError(CardRefusedError):
    """9401."""


class SequenceDiffersError(CardRefusedError):
    """9402: the card's sequence is not the expected one."""


class RingFullError(CardRefusedError):
    """9403: the card's memory of receipts has no room before an acknowledgement."""


class CapExceededError(CardRefusedError):
    """9404: more than one DEBIT of this wallet may take."""


class InertError(CardRefusedError):
    """9405: the card was not activated."""


class BlockedError(CardRefusedError):
    """9406: the card is blocked."""


class BypassSpentError(CardRefusedError):
    """9407: no PIN bypass is left."""


class EntitlementDiffersError(CardRefusedError):
    """9408: the card holds another entitlement of the same sequence; to be reported."""


class AcknowledgedAheadError(CardRefusedError):
    """9409: the entitlement acknowledges receipts that the card never made; to be reported."""


class VoidNotPossibleError(CardRefusedError):
    """940A: not this terminal's latest, unconfirmed debit."""


class DateRefusedError(CardRefusedError):
    """940B: before the card's own date, or too far after it."""


class SequenceSpentError(CardRefusedError):
    """940C: the card's sequence has reached its end."""


class PinTooSimpleError(CardRefusedError):
    """940D: choose another PIN."""


class NotNewerError(CardRefusedError):
    """940E: the card already has this one or a newer one."""
