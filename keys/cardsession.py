"""The key service's end of SCP03 with a card; the desk relays APDUs (PROTOCOL.md §3, §6).

The desk never sees a management key and cannot make the session do what it likes: only the
commands of personalisation are wrapped, an instance is installed only as our purse under our
root, and a set of keys is put only by the service itself. In order: transport keys → PUT KEY;
own keys, security domain selected → INSTALL; own keys, purse selected → GENERATE KEYS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from keys.errors import OrderRefusedError, SessionRefusedError, StockError
from keys.kdf import StaticKeys, diversify, kcv
from keys.scp03 import InitializeUpdateAnswer, Scp03Host
from keys.securechannel import HostMessaging, SecurityLevel
from keys.state import Chip
from wire import tlv
from wire.apdu import CommandApdu, ResponseApdu
from wire.env import PACKAGE_AID, Environment, purse_aid
from wire.errors import FormatError, require
from wire.objects import Order
from wire.purse import CardKeys, Ins, InstallParameters

SD_AID = bytes.fromhex("A000000151000000")
OWN_KVN = 0x31
MAKER_KVN = 0xFF  # a maker's initial set: gone when the first set is added (GPCS, PUT KEY)
KEY_TYPE_AES = 0x88
INS_DELETE, INS_PUT_KEY, INS_INSTALL, INS_SET_STATUS = 0xE4, 0xD8, 0xE6, 0xF0
INS_GET_DATA, INS_GET_STATUS = 0xCA, 0xF2
SW_OK = 0x9000
_LIVES = {0x07, 0x0F}  # INITIALIZED, SECURED: forward only, never locked or terminated from here


class ChipKeySource(Protocol):
    """The maker's transport keys of a batch: ``kvn`` 0 stands for any version."""

    @property
    def kvn(self) -> int:
        """The version of the maker's set."""
        ...

    def keys(self, kdd: bytes) -> StaticKeys:
        """The keys of the chip of these 10 bytes; :class:`StockError` when not delivered."""
        ...


@dataclass(frozen=True, slots=True)
class TransportMaster:
    """A batch whose keys are diversified from one master (KDF3)."""

    kvn: int
    master: bytes = field(repr=False)

    def keys(self, kdd: bytes) -> StaticKeys:
        """See :class:`ChipKeySource`."""
        return diversify(self.master, kdd)


@dataclass(frozen=True, slots=True)
class TransportSets:
    """A batch with a set per chip, or one set for all under the name ``b""``."""

    kvn: int
    sets: Mapping[bytes, StaticKeys] = field(repr=False)

    def keys(self, kdd: bytes) -> StaticKeys:
        """See :class:`ChipKeySource`."""
        found = self.sets.get(kdd) or self.sets.get(b"")
        if found is None:
            raise StockError("no transport keys were delivered for this chip")
        return found


@dataclass(frozen=True, slots=True)
class Vault:
    """What a session takes from the service: the master, the batches, the stock, the root."""

    env: Environment
    root_key: bytes
    master: bytes = field(repr=False)
    batches: Mapping[str, ChipKeySource] = field(repr=False)
    chip: Callable[[bytes], Chip | None]


def install_command(env: Environment, root_key: bytes, module: bytes) -> CommandApdu:
    """INSTALL [for install and make selectable] of the purse, the only form that is wrapped.

    ``root_key``: the point of 65 bytes; ``module``: the AID of the applet's class in its package.
    """
    parameters = tlv.encode(0xC9, bytes(InstallParameters(env, root_key)))
    fields = (PACKAGE_AID, module, purse_aid(env), b"\x00", parameters, b"")
    data = b"".join(bytes([len(f)]) + f for f in fields)
    return CommandApdu(0x80, INS_INSTALL, 0x0C, 0x00, data, 256)


class CardSession:
    """One card on one desk's reader, under one order.

    A check that the card fails closes the channel.
    Steps out of turn raise :class:`SessionRefusedError`, what the card fails
    ``keys.securechannel.SecureChannelError``.
    """

    def __init__(
        self,
        vault: Vault,
        order: Order,
        order_hash: bytes,
        officer: int,
        random: Callable[[int], bytes],
    ) -> None:
        self.order, self.order_hash, self.officer = order, order_hash, officer
        self.kdd: bytes | None = None
        self.card_keys: CardKeys | None = None
        self._vault = vault
        self._random = random
        self._host: Scp03Host | None = None
        self._channel: HostMessaging | None = None
        self._kvn = 0
        self._sent = 0

    @property
    def is_own(self) -> bool:
        """Whether the open channel stands on our own keys."""
        return self._channel is not None and self._channel.is_open and self._kvn == OWN_KVN

    def initialize_update(self) -> CommandApdu:
        """Begin (again): nothing of an earlier channel counts any more."""
        self.close()
        self.kdd = None
        self._host = Scp03Host(self._keys_for, SecurityLevel.FULL, self._random, aid=SD_AID)
        return self._host.initialize_update()

    def external_authenticate(self, response: ResponseApdu) -> CommandApdu:
        """Judge INITIALIZE UPDATE's answer.

        :class:`StockError` for a chip never received or scrapped, or without keys of that
        version; :class:`OrderRefusedError` for a chip of another order.
        """
        if self._host is None:
            raise SessionRefusedError("INITIALIZE UPDATE comes first")
        return self._host.external_authenticate(response)

    def finish(self, response: ResponseApdu) -> None:
        """Judge EXTERNAL AUTHENTICATE's answer: the channel is open."""
        host, self._host = self._host, None
        if host is None:
            raise SessionRefusedError("EXTERNAL AUTHENTICATE comes first")
        self._channel = host.finish(response)

    def _keys_for(self, answer: InitializeUpdateAnswer) -> StaticKeys:
        chip = self._vault.chip(answer.kdd)
        if chip is None:
            raise StockError(f"chip {answer.kdd.hex()} is not in the received stock")
        if chip.scrapped:
            raise StockError("this chip was scrapped")
        if chip.order_hash not in {None, self.order_hash}:
            raise OrderRefusedError("this chip became a card under another order")
        self.kdd, self._kvn = answer.kdd, answer.kvn
        if answer.kvn == OWN_KVN:
            return diversify(self._vault.master, answer.kdd)
        source = self._vault.batches.get(chip.batch)
        if source is None or source.kvn not in {0, answer.kvn}:
            raise StockError(f"no transport keys of version {answer.kvn} for {chip.batch}")
        return source.keys(answer.kdd)

    def put_key(self) -> CommandApdu:
        """PUT KEY of our own set for this chip, protected; only in a transport session."""
        channel = self._open()
        if self._kvn == OWN_KVN or self.kdd is None:
            raise SessionRefusedError("this chip has our own keys already")
        keys = diversify(self._vault.master, self.kdd)
        data = bytes([OWN_KVN])
        for key in (keys.enc, keys.mac, keys.dek):  # GPC Amd D §7.2.1.1
            sealed = bytes([len(key)]) + channel.encrypt_sensitive(key)
            data += bytes([KEY_TYPE_AES, len(sealed)]) + sealed + b"\x03" + kcv(key)
        replaced = 0 if self._kvn == MAKER_KVN else self._kvn
        self._sent = INS_PUT_KEY
        return channel.wrap(CommandApdu(0x80, INS_PUT_KEY, replaced, 0x81, data, 256))

    def wrap(self, command: CommandApdu) -> CommandApdu:
        """Protect a command of personalisation; :class:`SessionRefusedError` for any other."""
        channel = self._open()
        self._check(command)
        self._sent = command.ins
        return channel.wrap(command)

    def unwrap(self, response: ResponseApdu) -> ResponseApdu:
        """The answer in clear; takes the card's keys, and the proof of PUT KEY, from it.

        :class:`SessionRefusedError` for other key check values than those put.
        """
        channel, sent = self._open(), self._sent
        answer = channel.unwrap(response)
        if answer.sw != SW_OK:
            return answer
        if sent == Ins.GENERATE_KEYS:
            self.card_keys = CardKeys.parse(answer.data)
        if sent == INS_PUT_KEY:
            self._check_put(answer.data)
            self.close()  # the set this channel stood on is gone
        return answer

    def _check_put(self, answer: bytes) -> None:
        keys = diversify(self._vault.master, self.kdd or b"")
        checks = b"".join(map(kcv, (keys.enc, keys.mac, keys.dek)))
        if answer != bytes([OWN_KVN]) + checks:
            self.close()
            raise SessionRefusedError("the card answers with other key check values")

    def _open(self) -> HostMessaging:
        if self._channel is None or not self._channel.is_open:
            raise SessionRefusedError("no channel to the card is open")
        return self._channel

    def close(self) -> None:
        """Forget the channel's keys and what came through it."""
        if self._channel is not None:
            self._channel.close()
        self._channel = self._host = self.card_keys = None
        self._kvn = self._sent = 0

    def _check(self, command: CommandApdu) -> None:
        if command.cla == 0x80 and command.ins in {INS_GET_DATA, INS_GET_STATUS}:
            return
        if not self.is_own:
            raise SessionRefusedError("under transport keys only our own keys are put")
        chip = self._vault.chip(self.kdd or b"")
        fresh = chip is not None and chip.card_id is None
        head = (command.cla, command.ins, command.p1)
        allowed = {
            (0x80, INS_INSTALL, 0x0C): self._is_purse(command),
            (0x80, INS_DELETE, 0x00): fresh and self._is_purse_deletion(command),
            (0x80, INS_SET_STATUS, 0x80): command.p2 in _LIVES and not command.data,
            (0x80, int(Ins.GENERATE_KEYS), 0x00): fresh and not (command.p2 or command.data),
        }
        if not allowed.get(head, False):
            raise SessionRefusedError(f"command {command.ins:02X} has no place here")

    def _is_purse(self, command: CommandApdu) -> bool:
        try:
            module = _second_field(command.data)
            wanted = install_command(self._vault.env, self._vault.root_key, module)
        except FormatError:
            return False
        return module.startswith(PACKAGE_AID) and (command.data, command.p2) == (wanted.data, 0)

    def _is_purse_deletion(self, command: CommandApdu) -> bool:
        return command.data == tlv.encode(0x4F, purse_aid(self._vault.env)) and command.p2 == 0


def _second_field(data: bytes) -> bytes:
    require(len(data) > 1 and len(data) > 1 + data[0], "no second field")
    start = 2 + data[0]
    end = start + data[start - 1]
    return data[start:end]
