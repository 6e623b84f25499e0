"""Sessions over SCP03 where the keys live elsewhere: the desk relays, the key service protects.

The commands are those of docs/foreign-clients.md, the channel is GPC Amd D's.
:class:`KeyServiceChannel` is the key holder's end as bytes; :class:`LocalChannel` is that end in
this process (the key service runs it, and so does an offline desk with its own keys).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from card_os.host import commands, errors
from card_os.host.commands import Command
from card_os.host.links import Link, LinkError
from card_os.host.opening import exchange, select_purse
from keys.kdf import BLOCK_BYTES, StaticKeys, kcv
from keys.scp03 import InitializeUpdateAnswer, Scp03Host
from keys.securechannel import HostMessaging, OrderError, SecureChannelError, SecurityLevel
from wire import tlv
from wire.apdu import CommandApdu, ResponseApdu
from wire.env import Environment
from wire.errors import FormatError, require
from wire.purse import CardKeys, Sw

ISD_AID = bytes.fromhex("A000000151000000")
MAX_BLOCK_BYTES = 223  # fits a protected short APDU at every level
MAX_PARTS = 64
_FOR_LOAD, _FOR_INSTALL, _LAST_BLOCK, _RELATED = 0x02, 0x0C, 0x80, 0x80
KEY_TYPE_AES = 0x88
_KEY_ROW_BYTES = 4  # of the key information template: id, version, type, length
_PUT_THREE_KEYS = 0x81  # P2 of PUT KEY: several keys, the first is key 01


class KeyServiceChannel(Protocol):
    """One SCP03 session as its key holder sees it; every argument and result is APDU bytes.

    The order is: :meth:`initialize_update`, :meth:`external_authenticate`, :meth:`finish`, then
    :meth:`wrap` (or :meth:`put_key`) and :meth:`unwrap` in turn. What it raises passes through
    the desk unchanged.
    """

    def initialize_update(self) -> bytes:
        """The C-APDU with a fresh host challenge."""
        ...

    def external_authenticate(self, response: bytes) -> bytes:
        """The next C-APDU, once the R-APDU given has proved the card's keys."""
        ...

    def finish(self, response: bytes) -> None:
        """Take the R-APDU of EXTERNAL AUTHENTICATE; raises unless the card accepted."""
        ...

    def wrap(self, command: bytes) -> bytes:
        """The C-APDU protected."""
        ...

    def unwrap(self, response: bytes) -> bytes:
        """The R-APDU in clear, its R-MAC verified."""
        ...

    def put_key(self) -> bytes:
        """PUT KEY with this card's new keys, protected; the desk never sees them in clear.

        :meth:`unwrap` then verifies the key check values, and the channel ends.
        """
        ...


@dataclass(frozen=True, slots=True)
class NewKeys:
    """A key set for PUT KEY: its version, the version it replaces (0: none), the keys."""

    kvn: int
    replaces: int
    keys: StaticKeys


class LocalChannel:
    """A :class:`KeyServiceChannel` over :class:`keys.scp03.Scp03Host` in this process.

    ``new_keys`` gives the set for :meth:`put_key`, made for the card that named itself; ``level``
    and ``s16`` are what its maker built in. Raises ``keys.securechannel.SecureChannelError``.
    """

    def __init__(
        self,
        key_source: Callable[[InitializeUpdateAnswer], StaticKeys],
        random: Callable[[int], bytes],
        *,
        kvn: int = 0,
        aid: bytes | None = ISD_AID,
        new_keys: Callable[[InitializeUpdateAnswer], NewKeys] | None = None,
        level: SecurityLevel = SecurityLevel.FULL,
        s16: bool = False,
    ) -> None:
        self._host = Scp03Host(key_source, level, random, kvn=kvn, s16=s16, aid=aid)
        self._new_keys = new_keys
        self._card: InitializeUpdateAnswer | None = None
        self._messaging: HostMessaging | None = None
        self._check_values = b""

    def initialize_update(self) -> bytes:
        """See :class:`KeyServiceChannel`."""
        return bytes(self._host.initialize_update())

    def external_authenticate(self, response: bytes) -> bytes:
        """See :class:`KeyServiceChannel`."""
        answer = ResponseApdu.parse(response)
        command = self._host.external_authenticate(answer)
        self._card = InitializeUpdateAnswer.parse(answer.data)
        return bytes(command)

    def finish(self, response: bytes) -> None:
        """See :class:`KeyServiceChannel`."""
        self._messaging = self._host.finish(ResponseApdu.parse(response))

    def wrap(self, command: bytes) -> bytes:
        """See :class:`KeyServiceChannel`."""
        return bytes(self._open().wrap(CommandApdu.parse(command)))

    def unwrap(self, response: bytes) -> bytes:
        """See :class:`KeyServiceChannel`."""
        clear = self._open().unwrap(ResponseApdu.parse(response))
        expected, self._check_values = self._check_values, b""
        if expected and clear.sw == Sw.OK:
            self._open().close()
            if clear.data != expected:
                raise SecureChannelError("the card answers other key check values")
        return bytes(clear)

    def put_key(self) -> bytes:
        """See :class:`KeyServiceChannel`. Per key: 88, length, length in clear, key, 03, KCV."""
        if self._new_keys is None or self._card is None:
            raise OrderError("no new keys for this card")
        new, messaging = self._new_keys(self._card), self._open()
        three = (new.keys.enc, new.keys.mac, new.keys.dek)
        data = bytes([new.kvn])
        for key in three:
            padded = key + bytes(-len(key) % BLOCK_BYTES)
            block = bytes([len(key)]) + messaging.encrypt_sensitive(padded)
            data += bytes([KEY_TYPE_AES, len(block)]) + block + b"\x03" + kcv(key)
        self._check_values = bytes([new.kvn]) + b"".join(map(kcv, three))
        command = commands.PUT_KEY.apdu(data, p1=new.replaces, p2=_PUT_THREE_KEYS)
        return bytes(messaging.wrap(command))

    def _open(self) -> HostMessaging:
        if self._messaging is None:
            raise OrderError("the session is not open")
        return self._messaging


class Scope(enum.IntEnum):
    """P1 of GET STATUS."""

    DOMAIN = 0x80
    APPLICATIONS = 0x40
    LOAD_FILES = 0x20
    LOAD_FILES_AND_MODULES = 0x10


class DataObject(enum.IntEnum):
    """P1 P2 of GET DATA, as far as the issuer reads them."""

    CPLC = 0x9F7F
    KEY_INFORMATION = 0x00E0
    RECOGNITION = 0x0066
    RESOURCES = 0xFF21  # free memory, as ETSI TS 102 226 has it; few cards tell


@dataclass(frozen=True, slots=True)
class ContentEntry:
    """One E3 template of GET STATUS; ``modules`` are AIDs, ``load_file`` the one it runs from.

    ``version`` is a load file's, major and minor; b"" where the card keeps it to itself.
    """

    aid: bytes
    life: int
    privileges: bytes
    load_file: bytes
    modules: tuple[bytes, ...]
    version: bytes = b""

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the value of one E3; unknown tags are the card's own and are passed over.

        :class:`FormatError` without an AID (4F) or a life cycle of 1 or 2 bytes (9F70).
        """
        items = tlv.parse_all(raw)
        first = dict(reversed(items))  # the first of each tag counts
        if 0x4F not in first or len(first.get(0x9F70, b"")) not in {1, 2}:
            raise FormatError("GET STATUS entry without AID or life cycle")
        modules = tuple(value for tag, value in items if tag == 0x84)
        return cls(first[0x4F], first[0x9F70][0], first.get(0xC5, b""), first.get(0xC4, b""),
                   modules, first.get(0xCE, b""))  # fmt: skip


@dataclass(frozen=True, slots=True)
class KeyInformation:
    """One C0 of the key information template: key id, version, type (88 AES), length in bytes."""

    kid: int
    kvn: int
    key_type: int
    length_bytes: int


def key_information(template: bytes) -> tuple[KeyInformation, ...]:
    """Read the value of E0; :class:`FormatError`.

    A row of another form is refused: a key set that is not understood must not go unseen.
    """
    rows = [value for tag, value in tlv.parse_all(template) if tag == 0xC0]
    require(all(len(row) == _KEY_ROW_BYTES for row in rows), "key information of another form")
    return tuple(KeyInformation(*row) for row in rows)


def get_data_clear(link: Link, what: DataObject) -> bytes:
    """The value of a data object outside a session; b"" when the card keeps it to itself.

    ``links.LinkError``; nothing else a card answers is an error here.
    """
    answer = exchange(link, commands.GET_DATA.apdu(p1=what >> 8, p2=what & 0xFF))
    if answer.sw != Sw.OK:
        return b""
    try:
        (value,) = tlv.parse_sequence(answer.data, (int(what),))
    except FormatError:
        return b""
    return value


class _Scp03Session:
    """Opens SCP03 to whatever is selected, relaying; commands go through the key service."""

    def __init__(self, link: Link, channel: KeyServiceChannel) -> None:
        self._link = link
        self._channel = channel
        self._is_open = False

    def _authenticate(self) -> None:
        """1. INITIALIZE UPDATE. 2. EXTERNAL AUTHENTICATE. 3. the key service hears the outcome."""
        # 1.
        first = self._transmit(self._channel.initialize_update())
        commands.INITIALIZE_UPDATE.read(first)
        # 2.
        second = self._transmit(self._channel.external_authenticate(bytes(first)))
        commands.EXTERNAL_AUTHENTICATE.read(second)
        # 3.
        self._channel.finish(bytes(second))
        self._is_open = True

    def _transmit(self, command: bytes) -> ResponseApdu:
        return exchange(self._link, CommandApdu.parse(command))

    def _send(self, command: Command, data: bytes = b"", *, p1: int = 0, p2: int = 0) -> bytes:
        return command.read(self._relay(command, data, p1=p1, p2=p2))

    def _relay(self, command: Command, data: bytes, *, p1: int, p2: int) -> ResponseApdu:
        self._check_open(command)
        apdu = command.apdu(data, p1=p1, p2=p2)
        try:
            answer = self._transmit(self._channel.wrap(bytes(apdu)))
            return ResponseApdu.parse(self._channel.unwrap(bytes(answer)))
        except SecureChannelError as x:
            self.close()
            raise errors.UnprovenAnswerError(f"{command.name}: {x}") from x
        except (LinkError, errors.ProtocolError):
            self.close()
            raise

    def _check_open(self, command: Command) -> None:
        if not self._is_open:
            raise errors.SessionOverError(command.name)

    def close(self) -> None:
        """End the session on this side; the link stays with its owner."""
        self._is_open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self.close()


class SecurityDomainSession(_Scp03Session):
    """The issuer security domain, opened at level 33; use it in a ``with``.

    Raises :class:`CardRefusedError`, :class:`ProtocolError`, ``links.LinkError`` and what the
    channel raises while opening. So does every verb, with ``UnprovenAnswerError`` for an answer
    that the channel refuses and ``SessionOverError`` after the end.
    """

    def __init__(self, link: Link, channel: KeyServiceChannel, *, aid: bytes = ISD_AID) -> None:
        super().__init__(link, channel)
        self._aid = aid
        commands.SELECT.read(exchange(link, commands.SELECT.apdu(aid)))
        self._authenticate()

    def get_status(self, scope: Scope, aid: bytes = b"") -> tuple[ContentEntry, ...]:
        """What the card holds of that kind, AIDs beginning with ``aid``; empty when nothing.

        :class:`AnswerMalformedError`, for more than 64 parts too.
        """
        search, raw = tlv.encode(0x4F, aid), b""
        for part in range(MAX_PARTS):
            answer = self._relay(commands.GET_STATUS, search, p1=scope, p2=int(part > 0))
            if answer.sw == commands.SW_MORE_DATA:
                raw += answer.data
                continue
            try:
                raw += commands.GET_STATUS.read(answer)
            except errors.NotThereError:
                return ()
            return self._entries(raw)
        raise errors.AnswerMalformedError("GET STATUS without end")

    @staticmethod
    def _entries(raw: bytes) -> tuple[ContentEntry, ...]:
        try:
            items = tlv.parse_all(raw)
            return tuple(ContentEntry.parse(value) for tag, value in items if tag == 0xE3)
        except FormatError as x:
            raise errors.AnswerMalformedError(f"GET STATUS: {x}") from x

    def get_data(self, what: DataObject) -> bytes:
        """The value of a data object; :class:`NotThereError`, :class:`AnswerMalformedError`."""
        raw = self._send(commands.GET_DATA, p1=what >> 8, p2=what & 0xFF)
        try:
            (value,) = tlv.parse_sequence(raw, (int(what),))
        except FormatError as x:
            raise errors.AnswerMalformedError(f"GET DATA: {x}") from x
        return value

    def key_information(self) -> tuple[KeyInformation, ...]:
        """Which keys the domain has; :class:`AnswerMalformedError` for rows of another form."""
        raw = self.get_data(DataObject.KEY_INFORMATION)
        try:
            return key_information(raw)
        except FormatError as x:
            raise errors.AnswerMalformedError(f"key information: {x}") from x

    def install_for_load(self, package: bytes, *, digest: bytes = b"") -> None:
        """INSTALL [for load]; ``digest``: the load file's hash, if it is to be checked."""
        fields = (package, self._aid, digest, b"", b"")
        self._send(commands.INSTALL, _lv(fields), p1=_FOR_LOAD)

    def load(self, load_file: bytes, *, block_bytes: int = MAX_BLOCK_BYTES) -> Iterator[int]:
        """LOAD the file block by block; yields the bytes sent so far after each block."""
        body = tlv.encode(0xC4, load_file)
        parts = [body[at : at + block_bytes] for at in range(0, len(body), block_bytes)]
        sent = 0
        for number, part in enumerate(parts):
            last = _LAST_BLOCK if number == len(parts) - 1 else 0
            self._send(commands.LOAD_BLOCK, part, p1=last, p2=number)
            sent += len(part)
            yield sent

    def install_for_install(
        self, package: bytes, module: bytes, instance: bytes, parameters: bytes
    ) -> None:
        """INSTALL [for install and make selectable]; ``parameters`` is the value of C9."""
        c9 = tlv.encode(0xC9, parameters)
        fields = (package, module, instance, b"\x00", c9, b"")
        self._send(commands.INSTALL, _lv(fields), p1=_FOR_INSTALL)

    def delete(self, aid: bytes, *, related: bool = False) -> None:
        """DELETE an instance, or a load file (``related``: and its instances)."""
        p2 = _RELATED if related else 0
        self._send(commands.DELETE, tlv.encode(0x4F, aid), p2=p2)

    def put_key(self) -> None:
        """PUT KEY with the keys the key service has for this card; the session ends with it.

        :class:`UnprovenAnswerError` also for other key check values than those put.
        """
        command = commands.PUT_KEY
        self._check_open(command)
        try:
            answer = self._transmit(self._channel.put_key())
            command.read(ResponseApdu.parse(self._channel.unwrap(bytes(answer))))
        except SecureChannelError as x:
            raise errors.UnprovenAnswerError(f"{command.name}: {x}") from x
        finally:
            self.close()


class PurseKeySession(_Scp03Session):
    """SCP03 of the security domain opened to the selected purse, for GENERATE KEYS alone."""

    def __init__(self, link: Link, channel: KeyServiceChannel, env: Environment) -> None:
        """Select the purse of ``env``; errors as for ``opening.select_purse``."""
        super().__init__(link, channel)
        select_purse(link, env)
        self._authenticate()

    def generate_keys(self) -> CardKeys:
        """GENERATE KEYS: both public keys, as the card gave them under R-MAC.

        :class:`AnswerMalformedError` for a point off the curve.
        """
        raw = self._send(commands.GENERATE_KEYS)
        try:
            return CardKeys.parse(raw)
        except FormatError as x:
            self.close()
            raise errors.AnswerMalformedError(f"GENERATE KEYS: {x}") from x


def _lv(fields: Sequence[bytes]) -> bytes:
    """Length-value fields, lengths below 128 in one byte."""
    return b"".join(bytes([len(f)]) + f for f in fields)
