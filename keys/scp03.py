"""Opening an SCP03 session, both ends (GPC Amd D): INITIALIZE UPDATE, EXTERNAL AUTHENTICATE.

AES-128/192/256, S8 and S16. Pure: randomness and keys come in as arguments. The card end holds no
policy: it raises, and the security domain decides on status words, retry counters and the stepping
of the sequence counter. Challenges are forgotten before anything is compared with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives.constant_time import bytes_eq

from keys.kdf import BLOCK_BYTES, KDD_BYTES, Derivation, StaticKeys, cmac, derive
from keys.securechannel import (
    S8_BYTES,
    S16_BYTES,
    SW_OK,
    CardMessaging,
    CommandMacError,
    CryptogramError,
    HostMessaging,
    OrderError,
    ParameterError,
    SecureChannelError,
    SecurityLevel,
    SessionKeys,
    mac_input,
)
from wire.apdu import CommandApdu, ResponseApdu

CLA_GP = 0x80
CLA_GP_SECURED = 0x84
INS_INITIALIZE_UPDATE = 0x50
INS_EXTERNAL_AUTHENTICATE = 0x82
SCP_ID = 0x03
SEQUENCE_BYTES = 3
MAX_SEQUENCE = 0xFFFFFF

_I_S16, _I_PSEUDO_RANDOM, _I_R_MAC, _I_R_ENC = 0x01, 0x10, 0x20, 0x40


class AuthenticationRefusedError(SecureChannelError):
    """The card refused INITIALIZE UPDATE or EXTERNAL AUTHENTICATE; ``sw`` says how."""

    def __init__(self, sw: int) -> None:
        super().__init__(f"the card refused the session: {sw:04X}")
        self.sw = sw


@dataclass(frozen=True, slots=True)
class Scp03Options:
    """What a card's SCP03 can do: the parameter "i" (GPC Amd D §5.1).

    Bit 01 S16 (as GlobalPlatformPro reads it), 10 pseudo-random card challenge, 20 R-MAC,
    60 R-MAC and R-ENCRYPTION.
    """

    pseudo_random: bool = True
    r_mac: bool = True
    r_enc: bool = True
    s16: bool = False

    def __post_init__(self) -> None:
        """Refuse R-ENCRYPTION without R-MAC."""
        if self.r_enc and not self.r_mac:
            raise ParameterError("R-ENCRYPTION without R-MAC does not exist")

    @classmethod
    def parse(cls, i: int) -> Self:
        """Read the byte; unknown bits are refused with :class:`ParameterError`."""
        if i & ~(_I_S16 | _I_PSEUDO_RANDOM | _I_R_MAC | _I_R_ENC):
            raise ParameterError(f"SCP03 parameter i = {i:02X} has unknown bits")
        return cls(
            bool(i & _I_PSEUDO_RANDOM), bool(i & _I_R_MAC), bool(i & _I_R_ENC), bool(i & _I_S16)
        )

    def __int__(self) -> int:
        return (
            _I_S16 * self.s16
            | _I_PSEUDO_RANDOM * self.pseudo_random
            | _I_R_MAC * self.r_mac
            | _I_R_ENC * self.r_enc
        )

    @property
    def field_bytes(self) -> int:
        """Length of challenges, cryptograms and MACs: 8 in S8, 16 in S16."""
        return S16_BYTES if self.s16 else S8_BYTES

    def check(self, level: SecurityLevel) -> None:
        """Raise :class:`ParameterError` unless these options support ``level``."""
        if (level.r_mac and not self.r_mac) or (level.r_enc and not self.r_enc):
            raise ParameterError(f"level {level:02X} is beyond the card's options")


@dataclass(frozen=True, slots=True)
class InitializeUpdateAnswer:
    """The answer to INITIALIZE UPDATE (GPC Amd D §7.1.1.6).

    Layout: diversification data (10) ‖ KVN ‖ 03 ‖ i ‖ card challenge ‖ card cryptogram
    ‖ sequence counter (3, present exactly when the challenge is pseudo-random).
    """

    kdd: bytes
    kvn: int
    options: Scp03Options
    card_challenge: bytes
    card_cryptogram: bytes
    sequence: int | None = None

    def __post_init__(self) -> None:
        """Refuse fields that do not fit the layout."""
        n = self.options.field_bytes
        fits = (
            len(self.kdd) == KDD_BYTES
            and 0 <= self.kvn <= 0xFF
            and len(self.card_challenge) == n
            and len(self.card_cryptogram) == n
            and (self.sequence is not None) == self.options.pseudo_random
        )
        if not fits or not 0 <= (self.sequence or 0) <= MAX_SEQUENCE:
            raise ParameterError("INITIALIZE UPDATE answer does not fit its layout")

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read it; another protocol, length or option is refused with :class:`ParameterError`."""
        at = KDD_BYTES + 3
        if len(raw) < at or raw[KDD_BYTES + 1] != SCP_ID:
            raise ParameterError("not an SCP03 answer")
        options = Scp03Options.parse(raw[KDD_BYTES + 2])
        n = options.field_bytes
        tail = raw[at + 2 * n :]
        if len(tail) != (SEQUENCE_BYTES if options.pseudo_random else 0):
            raise ParameterError("INITIALIZE UPDATE answer of wrong length")
        sequence = int.from_bytes(tail, "big") if tail else None
        challenge, cryptogram = raw[at : at + n], raw[at + n : at + 2 * n]
        return cls(raw[:KDD_BYTES], raw[KDD_BYTES], options, challenge, cryptogram, sequence)

    def __bytes__(self) -> bytes:
        tail = b"" if self.sequence is None else self.sequence.to_bytes(SEQUENCE_BYTES, "big")
        head = self.kdd + bytes([self.kvn, SCP_ID, int(self.options)])
        return head + self.card_challenge + self.card_cryptogram + tail


@dataclass(frozen=True, slots=True)
class _Handshake:
    """What both ends know after the challenges: session keys and both cryptograms."""

    keys: SessionKeys
    card_cryptogram: bytes = field(repr=False)
    host_cryptogram: bytes = field(repr=False)

    @classmethod
    def derive(cls, static: StaticKeys, host_challenge: bytes, card_challenge: bytes) -> Self:
        """GPC Amd D §6.2.1, §6.2.2; the DEK is static in SCP03."""
        context, n = host_challenge + card_challenge, len(static.enc)
        keys = SessionKeys(
            enc=derive(static.enc, Derivation.S_ENC, context, n),
            mac=derive(static.mac, Derivation.S_MAC, context, n),
            rmac=derive(static.mac, Derivation.S_RMAC, context, n),
            dek=static.dek,
        )
        size = len(host_challenge)
        card = derive(keys.mac, Derivation.CARD_CRYPTOGRAM, context, size)
        host = derive(keys.mac, Derivation.HOST_CRYPTOGRAM, context, size)
        return cls(keys, card, host)

    def authenticate_chain(self, command: CommandApdu, mac_bytes: int) -> bytes:
        """C-MAC of EXTERNAL AUTHENTICATE, 16 bytes: the first link of the chain."""
        return cmac(self.keys.mac, bytes(BLOCK_BYTES) + mac_input(command, mac_bytes))


def pseudo_random_challenge(enc: bytes, sequence: int, aid: bytes, length_bytes: int) -> bytes:
    """The card challenge a counter gives: context = sequence (3) ‖ AID (GPC Amd D §6.2.2)."""
    context = sequence.to_bytes(SEQUENCE_BYTES, "big") + aid
    return derive(enc, Derivation.CARD_CHALLENGE, context, length_bytes)


class Scp03Host:
    """The off-card end, for one opening: three calls in this order, each once.

    ``key_source`` gives the card's keys once it has named itself (diversification data, KVN).
    ``aid``, if given, is the security domain's, and a pseudo-random challenge is then checked.
    """

    def __init__(
        self,
        key_source: Callable[[InitializeUpdateAnswer], StaticKeys],
        level: SecurityLevel,
        random: Callable[[int], bytes],
        *,
        kvn: int = 0,
        s16: bool = False,
        aid: bytes | None = None,
    ) -> None:
        self._key_source = key_source
        self._level = level
        self._random = random
        self._kvn = kvn
        self._field_bytes = S16_BYTES if s16 else S8_BYTES
        self._aid = aid
        self._started = False
        self._challenge: bytes | None = None
        self._session: HostMessaging | None = None

    def initialize_update(self) -> CommandApdu:
        """The first command, with a fresh host challenge; :class:`OrderError` the second time."""
        if self._started:
            raise OrderError("INITIALIZE UPDATE was sent already")
        self._started = True
        self._challenge = _fresh(self._random, self._field_bytes)
        return CommandApdu(CLA_GP, INS_INITIALIZE_UPDATE, self._kvn, 0, self._challenge, 256)

    def external_authenticate(self, response: ResponseApdu) -> CommandApdu:
        """Check the card's cryptogram and answer it with the host's.

        Raises :class:`CryptogramError` (the card does not hold these keys, or its challenge is
        not the one its counter gives), :class:`AuthenticationRefusedError`,
        :class:`ParameterError` (another KVN, mode or level than asked for) and
        :class:`OrderError`.
        """
        challenge, self._challenge = self._challenge, None
        if challenge is None:
            raise OrderError("no host challenge is outstanding")
        if response.sw != SW_OK:
            raise AuthenticationRefusedError(response.sw)
        answer = InitializeUpdateAnswer.parse(response.data)
        if self._kvn not in {0, answer.kvn}:
            raise ParameterError("the card answered for another key version")
        if answer.options.field_bytes != self._field_bytes:
            raise ParameterError("the card uses the other of S8 and S16")
        answer.options.check(self._level)
        static = self._key_source(answer)
        self._check_challenge(answer, static)
        shake = _Handshake.derive(static, challenge, answer.card_challenge)
        if not bytes_eq(shake.card_cryptogram, answer.card_cryptogram):
            raise CryptogramError("the card cryptogram is wrong")
        n = self._field_bytes
        command = CommandApdu(
            CLA_GP_SECURED, INS_EXTERNAL_AUTHENTICATE, self._level, 0, shake.host_cryptogram
        )
        chain = shake.authenticate_chain(command, n)
        self._session = HostMessaging(shake.keys, self._level, chain, n)
        return CommandApdu(*command.header_fields, command.data + chain[:n])

    def _check_challenge(self, answer: InitializeUpdateAnswer, static: StaticKeys) -> None:
        if self._aid is None or answer.sequence is None:
            return
        n = self._field_bytes
        expected = pseudo_random_challenge(static.enc, answer.sequence, self._aid, n)
        if not bytes_eq(expected, answer.card_challenge):
            raise CryptogramError("the card challenge is not the one its counter gives")

    def finish(self, response: ResponseApdu) -> HostMessaging:
        """The open session, once the card has accepted EXTERNAL AUTHENTICATE.

        The answer has no R-MAC yet; anything but a bare 9000 is refused: another status word with
        :class:`AuthenticationRefusedError`, data with :class:`ParameterError`.
        :class:`OrderError` out of turn.
        """
        session, self._session = self._session, None
        if session is None:
            raise OrderError("EXTERNAL AUTHENTICATE is not outstanding")
        if response.sw != SW_OK:
            raise AuthenticationRefusedError(response.sw)
        if response.data:
            raise ParameterError("EXTERNAL AUTHENTICATE answers without data")
        return session


class Scp03Card:
    """The card's end. One instance per security domain; a new INITIALIZE UPDATE starts afresh."""

    def __init__(self, options: Scp03Options, random: Callable[[int], bytes], aid: bytes) -> None:
        self._options = options
        self._random = random
        self._aid = aid
        self._pending: _Handshake | None = None

    def reset(self) -> None:
        """Forget an opening under way (SELECT, reset)."""
        self._pending = None

    def initialize_update(
        self, command: CommandApdu, static: StaticKeys, *, kdd: bytes, kvn: int, sequence: int = 0
    ) -> InitializeUpdateAnswer:
        """Answer the host challenge.

        The caller chooses the key set by P1 (00 = its first) and gives its ``kvn``; ``sequence``
        is used, never stepped, when the challenge is pseudo-random. :class:`ParameterError` for
        another command, P2 other than 00 or a challenge of another length than this mode's.
        """
        self._pending = None
        n = self._options.field_bytes
        if (command.cla, command.ins, command.p2) != (CLA_GP, INS_INITIALIZE_UPDATE, 0):
            raise ParameterError("not an INITIALIZE UPDATE of SCP03")
        if len(command.data) != n:
            raise ParameterError("host challenge of wrong length")
        if self._options.pseudo_random:
            challenge = pseudo_random_challenge(static.enc, sequence, self._aid, n)
        else:
            challenge = _fresh(self._random, n)
        shake = _Handshake.derive(static, command.data, challenge)
        counter = sequence if self._options.pseudo_random else None
        answer = InitializeUpdateAnswer(
            kdd, kvn, self._options, challenge, shake.card_cryptogram, counter
        )
        self._pending = shake
        return answer

    def external_authenticate(self, command: CommandApdu) -> CardMessaging:
        """The open session, if the host proves the keys; its answer is a bare 9000.

        Raises :class:`OrderError`, :class:`ParameterError` (level, lengths),
        :class:`CommandMacError` and :class:`CryptogramError`. After any call a new INITIALIZE
        UPDATE is needed: the challenge is spent before it is compared.
        """
        shake, self._pending = self._pending, None
        if shake is None:
            raise OrderError("no card challenge is outstanding")
        n = self._options.field_bytes
        head = (command.cla, command.ins, command.p2)
        if head != (CLA_GP_SECURED, INS_EXTERNAL_AUTHENTICATE, 0):
            raise ParameterError("not an EXTERNAL AUTHENTICATE of SCP03")
        level = SecurityLevel.parse(command.p1)
        self._options.check(level)
        if len(command.data) != 2 * n:
            raise ParameterError("EXTERNAL AUTHENTICATE of wrong length")
        cryptogram, mac = command.data[:n], command.data[n:]
        signed = CommandApdu(*command.header_fields, cryptogram)
        chain = shake.authenticate_chain(signed, n)
        if not bytes_eq(chain[:n], mac):
            raise CommandMacError("the C-MAC of EXTERNAL AUTHENTICATE is wrong")
        if not bytes_eq(shake.host_cryptogram, cryptogram):
            raise CryptogramError("the host cryptogram is wrong")
        return CardMessaging(shake.keys, level, chain, n)


def _fresh(random: Callable[[int], bytes], length_bytes: int) -> bytes:
    challenge = random(length_bytes)
    if len(challenge) != length_bytes:
        raise ParameterError("the random source gave another length")
    return challenge
