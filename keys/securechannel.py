"""Secure messaging after the key agreement, the same for SCP03 and SCP11 (GPC Amd D §6.2).

Pure: APDUs in, APDUs out. Command and answer strictly alternate; any failed check closes the
session for good, because a channel that continues after a bad MAC is an oracle. What a refusal
means (status word, retry counters) is for the caller to decide.

The host sends no cryptogram for a command without data, as Amd D §6.2.6 says; the card end
accepts that and the enciphered padding block that yubikit sends instead. The encryption counter
steps for every command either way. The same holds for answers without data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto

from cryptography.hazmat.primitives.constant_time import bytes_eq

from keys.kdf import BLOCK_BYTES, aes_block, cbc_decrypt, cbc_encrypt, cmac
from wire.apdu import MAX_COMMAND_DATA_BYTES, MAX_RESPONSE_DATA_BYTES, CommandApdu, ResponseApdu

S8_BYTES = 8
S16_BYTES = 16
MAX_PLAIN_BYTES = 223  # fits a short APDU at every level in both modes; our objects obey it
CLA_SECURED = 0x04  # GP proprietary secure messaging, bit 3 (GPC Amd D §6.2.4)
PLAIN_CLASSES = frozenset({0x00, 0x80})  # basic channel, no chaining: nothing else is needed
SW_OK = 0x9000


class SecureChannelError(Exception):
    """Base of every refusal of a secure channel."""


class OrderError(SecureChannelError):
    """A step out of turn: the state machine does not allow it now."""


class SessionClosedError(OrderError):
    """The session was closed, by :meth:`SecureMessaging.close` or by an earlier failed check."""


class ParameterError(SecureChannelError):
    """A field, length, level or parameter that this end does not accept."""


class DataTooLongError(ParameterError):
    """The protected message would not fit a short APDU."""


class CommandMacError(SecureChannelError):
    """The command carries no C-MAC where one is due, or a wrong one."""


class ResponseMacError(SecureChannelError):
    """The answer carries no R-MAC where one is due, or a wrong one."""


class CipherError(SecureChannelError):
    """Authentic data whose ciphertext is not whole blocks or whose padding is wrong."""


class CryptogramError(SecureChannelError):
    """The other end does not know the keys (wrong card or host cryptogram, wrong receipt)."""


class SecurityLevel(IntEnum):
    """P1 of EXTERNAL AUTHENTICATE in SCP03 (GPC Amd D); SCP11 with usage 3C is FULL."""

    NONE = 0x00
    C_MAC = 0x01
    C_MAC_C_ENC = 0x03
    C_MAC_R_MAC = 0x11
    C_MAC_C_ENC_R_MAC = 0x13
    FULL = 0x33

    @classmethod
    def parse(cls, value: int) -> SecurityLevel:
        """The level coded ``value``; :class:`ParameterError` for any other code."""
        try:
            return cls(value)
        except ValueError:
            raise ParameterError(f"security level {value:02X} does not exist") from None

    @property
    def c_enc(self) -> bool:
        """Command data is enciphered."""
        return bool(self & 0x02)

    @property
    def r_mac(self) -> bool:
        """Answers carry a MAC."""
        return bool(self & 0x10)

    @property
    def r_enc(self) -> bool:
        """Answer data is enciphered."""
        return bool(self & 0x20)


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """The keys of one session. ``dek`` protects key values inside commands (PUT KEY)."""

    enc: bytes = field(repr=False)
    mac: bytes = field(repr=False)
    rmac: bytes = field(repr=False)
    dek: bytes = field(repr=False)


class _Turn(Enum):
    COMMAND = auto()
    RESPONSE = auto()
    CLOSED = auto()


def is_protected_status(sw: int) -> bool:
    """Whether answers with ``sw`` carry an R-MAC: 9000, 62xx, 63xx (GPC Amd D §6.2.5)."""
    return sw == SW_OK or sw >> 8 in {0x62, 0x63}


def mac_input(command: CommandApdu, mac_bytes: int) -> bytes:
    """What a C-MAC covers after the chaining value: header, final Lc, data (Amd D §6.2.4)."""
    return command.header + bytes([len(command.data) + mac_bytes]) + command.data


def pad(data: bytes) -> bytes:
    """Append 80 and zeros up to whole blocks (GPCS §B.2.3)."""
    return data + b"\x80" + bytes(-(len(data) + 1) % BLOCK_BYTES)


def unpad(data: bytes) -> bytes:
    """Remove the padding of the last block; :class:`CipherError` unless it is exactly that."""
    stripped = data.rstrip(b"\x00")
    if not stripped.endswith(b"\x80") or len(data) - len(stripped) >= BLOCK_BYTES:
        raise CipherError("padding is wrong")
    return stripped[:-1]


class SecureMessaging:
    """What both ends share: keys, level, MAC chaining value, encryption counter, turn.

    ``chain`` is the MAC chaining value to start from: the MAC of EXTERNAL AUTHENTICATE in SCP03,
    the receipt in SCP11. ``mac_bytes`` is 8 (S8) or 16 (S16).
    """

    def __init__(
        self, keys: SessionKeys, level: SecurityLevel, chain: bytes, mac_bytes: int = S8_BYTES
    ) -> None:
        if mac_bytes not in {S8_BYTES, S16_BYTES} or len(chain) != BLOCK_BYTES:
            raise ParameterError("neither S8 nor S16")
        self._keys: SessionKeys | None = keys
        self._level = level
        self._chain = chain
        self._mac_bytes = mac_bytes
        self._counter = 0
        self._turn = _Turn.COMMAND

    def __repr__(self) -> str:
        return f"{type(self).__name__}(level={self._level.name}, turn={self._turn.name})"

    @property
    def level(self) -> SecurityLevel:
        """The security level of this session."""
        return self._level

    @property
    def is_open(self) -> bool:
        """Whether the session can still be used."""
        return self._turn is not _Turn.CLOSED

    def close(self) -> None:
        """Forget the keys. Every later call raises :class:`SessionClosedError`."""
        self._keys = None
        self._chain = b""
        self._turn = _Turn.CLOSED

    def encrypt_sensitive(self, plain: bytes) -> bytes:
        """A key value under the DEK: AES-CBC, ICV zero, whole blocks (as PUT KEY has it)."""
        self._check_blocks(plain)
        return cbc_encrypt(self._open_keys().dek, bytes(BLOCK_BYTES), plain)

    def decrypt_sensitive(self, cipher: bytes) -> bytes:
        """Inverse of :meth:`encrypt_sensitive`."""
        self._check_blocks(cipher)
        return cbc_decrypt(self._open_keys().dek, bytes(BLOCK_BYTES), cipher)

    @staticmethod
    def _check_blocks(data: bytes) -> None:
        if not data or len(data) % BLOCK_BYTES:
            raise ParameterError("sensitive data is not whole blocks")

    def _open_keys(self) -> SessionKeys:
        if self._keys is None:
            raise SessionClosedError("the session is closed")
        return self._keys

    def _expect(self, turn: _Turn) -> SessionKeys:
        keys = self._open_keys()
        if self._turn is not turn:
            raise OrderError(f"{turn.name} out of turn")
        return keys

    def _fail(self, error: SecureChannelError) -> SecureChannelError:
        self.close()
        return error

    def _icv(self, keys: SessionKeys, *, response: bool) -> bytes:
        """The counter block enciphered; answers set its first byte to 80 (Amd D §6.2.6, §6.2.7)."""
        block = bytes([0x80 if response else 0x00]) + self._counter.to_bytes(15, "big")
        return aes_block(keys.enc, block)

    def _encrypt(self, keys: SessionKeys, data: bytes, *, response: bool) -> bytes:
        return cbc_encrypt(keys.enc, self._icv(keys, response=response), pad(data))

    def _decrypt(self, keys: SessionKeys, data: bytes, *, response: bool) -> bytes:
        if len(data) % BLOCK_BYTES:
            raise self._fail(CipherError("ciphertext is not whole blocks"))
        plain = cbc_decrypt(keys.enc, self._icv(keys, response=response), data)
        try:
            return unpad(plain)
        except CipherError as e:
            raise self._fail(e) from None

    def _response_mac(self, keys: SessionKeys, data: bytes, sw: int) -> bytes:
        message = self._chain + data + sw.to_bytes(2, "big")
        return cmac(keys.rmac, message)[: self._mac_bytes]


class HostMessaging(SecureMessaging):
    """The reader's end: :meth:`wrap` a command, then :meth:`unwrap` its answer."""

    def wrap(self, command: CommandApdu) -> CommandApdu:
        """Protect ``command`` (CLA 00 or 80) as the level demands.

        With R-MAC, Le is always 256, since every success brings at least a MAC.
        Raises :class:`DataTooLongError` and :class:`ParameterError` without any change of state.
        """
        keys = self._expect(_Turn.COMMAND)
        if command.cla not in PLAIN_CLASSES:
            raise ParameterError(f"CLA {command.cla:02X} cannot be protected")
        if self._level is SecurityLevel.NONE:
            self._turn = _Turn.RESPONSE
            return command
        enciphered = self._level.c_enc and command.data != b""
        length = len(pad(command.data)) if enciphered else len(command.data)
        if length + self._mac_bytes > MAX_COMMAND_DATA_BYTES:
            raise DataTooLongError("command data does not fit a protected short APDU")
        self._counter += 1  # also for a command without data (Amd D §6.2.6)
        data = self._encrypt(keys, command.data, response=False) if enciphered else command.data
        secured = CommandApdu(command.cla | CLA_SECURED, command.ins, command.p1, command.p2, data)
        self._chain = cmac(keys.mac, self._chain + mac_input(secured, self._mac_bytes))
        self._turn = _Turn.RESPONSE
        le = MAX_RESPONSE_DATA_BYTES if self._level.r_mac else command.le
        return CommandApdu(*secured.header_fields, data + self._chain[: self._mac_bytes], le)

    def unwrap(self, response: ResponseApdu) -> ResponseApdu:
        """The answer in clear, its MAC verified.

        An error status comes bare and proves nothing (PROTOCOL.md §4.1): it is returned without
        data and the session goes on. Raises :class:`ResponseMacError` for a success or warning
        without a right R-MAC and for data beside an error, :class:`CipherError` for bad padding;
        each closes the session. :class:`OrderError` when no command is out.
        """
        keys = self._expect(_Turn.RESPONSE)
        self._turn = _Turn.COMMAND
        if not self._level.r_mac:
            return response
        if not is_protected_status(response.sw):
            if response.data:
                raise self._fail(ResponseMacError("data beside an error status"))
            return response
        if len(response.data) < self._mac_bytes:
            raise self._fail(ResponseMacError("a successful answer without R-MAC"))
        data, mac = response.data[: -self._mac_bytes], response.data[-self._mac_bytes :]
        if not bytes_eq(mac, self._response_mac(keys, data, response.sw)):
            raise self._fail(ResponseMacError("the R-MAC is wrong"))
        if self._level.r_enc and data:
            data = self._decrypt(keys, data, response=True)
        return ResponseApdu(data, response.sw)


class CardMessaging(SecureMessaging):
    """The card's end: :meth:`unwrap` a command, then :meth:`wrap` its answer."""

    def unwrap(self, command: CommandApdu) -> CommandApdu:
        """The command in clear (CLA 00 or 80), its MAC verified.

        Raises :class:`CommandMacError` for a command without secure messaging or with a wrong
        C-MAC, :class:`CipherError` for bad padding; each closes the session. At level 00 a CLA of
        secure messaging is a :class:`ParameterError`. Le is not covered by any MAC (Amd D §6.2.4)
        and is passed on.
        """
        keys = self._expect(_Turn.COMMAND)
        if self._level is SecurityLevel.NONE:
            if command.cla not in PLAIN_CLASSES:
                raise ParameterError("secure messaging at level 00")
            self._turn = _Turn.RESPONSE
            return command
        # The MAC covers CLA with channel 0; other channels must not pass as that (Amd D §6.2.4).
        if command.cla & ~CLA_SECURED not in PLAIN_CLASSES or not command.cla & CLA_SECURED:
            raise self._fail(CommandMacError("the command is not protected"))
        if len(command.data) < self._mac_bytes:
            raise self._fail(CommandMacError("no room for a C-MAC"))
        data, mac = command.data[: -self._mac_bytes], command.data[-self._mac_bytes :]
        secured = CommandApdu(*command.header_fields, data)
        chain = cmac(keys.mac, self._chain + mac_input(secured, self._mac_bytes))
        if not bytes_eq(mac, chain[: self._mac_bytes]):
            raise self._fail(CommandMacError("the C-MAC is wrong"))
        self._chain = chain
        self._counter += 1
        if self._level.c_enc and data:
            data = self._decrypt(keys, data, response=False)
        self._turn = _Turn.RESPONSE
        cla = command.cla & ~CLA_SECURED
        return CommandApdu(cla, command.ins, command.p1, command.p2, data, command.le)

    def wrap(self, response: ResponseApdu) -> ResponseApdu:
        """Protect ``response`` as the level demands; an error status goes out bare (§6.2.5).

        Raises :class:`ParameterError` for data beside an error status and
        :class:`DataTooLongError`, both without any change of state.
        """
        keys = self._expect(_Turn.RESPONSE)
        if not self._level.r_mac or not is_protected_status(response.sw):
            if self._level.r_mac and response.data:
                raise ParameterError("an error status carries no data")
            self._turn = _Turn.COMMAND
            return response
        enciphered = self._level.r_enc and response.data != b""
        length = len(pad(response.data)) if enciphered else len(response.data)
        if length + self._mac_bytes > MAX_RESPONSE_DATA_BYTES:
            raise DataTooLongError("answer data does not fit a protected short APDU")
        data = self._encrypt(keys, response.data, response=True) if enciphered else response.data
        self._turn = _Turn.COMMAND
        return ResponseApdu(data + self._response_mac(keys, data, response.sw), response.sw)
