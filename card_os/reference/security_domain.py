"""The issuer security domain (GlobalPlatform 2.3.1), with SCP03.

One table says for each INS which method answers, which security level it needs and whether a
locked card still takes it; a further command is a further row. Commands arrive unwrapped. Row by
row in docs/foreign-clients.md.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from card_os.reference import status
from card_os.reference.content import INSTALLED, LOCKED, SELECTABLE, CardContent, Instance
from card_os.reference.errors import CardError
from card_os.reference.keysets import KeySets, NewKeySet
from card_os.reference.loading import Loader, read_lvs
from card_os.reference.memory import Persistent, Transient
from card_os.reference.profiles import capability_data, recognition_data
from keys.scp03 import Scp03Card, Scp03Options
from keys.securechannel import (
    CardMessaging,
    CommandMacError,
    CryptogramError,
    ParameterError,
    SecureChannelError,
    SecurityLevel,
)
from wire.apdu import CommandApdu, ResponseApdu
from wire.errors import FormatError
from wire.tlv import encode, parse_all

__all__ = ["SD_AID", "CardLife", "SecurityDomain"]

SD_AID = bytes.fromhex("A000000151000000")
SD_PRIVILEGES = bytes.fromhex("9EFE80")
INS_LOAD = 0xE8
MAX_STORED_BYTES = 1024
PRINTABLE_TAGS = {0x42: "iin", 0x45: "cin"}  # what STORE DATA may write
# P1 of STORE DATA (GPCS): 80 the last block, 18 the data's structure: 00 not said, 10 BER-TLV.
STORE_LAST, STORE_BER_TLV = 0x80, 0x10
GLOBALPLATFORM_CLASSES = frozenset({0x00, 0x80})

SW_OK = 0x9000
SW_LOCKED_WARNING = 0x6283
SW_AUTHENTICATION_FAILED = 0x6300
SW_LENGTH = 0x6700
SW_SECURITY = 0x6982
SW_CONDITIONS = 0x6985
SW_DATA = 0x6A80
SW_P1P2 = 0x6A86
SW_NO_SPACE = 0x6A84
SW_NOT_FOUND = 0x6A88
SW_INS = 0x6D00
SW_CLA = 0x6E00


class CardLife(enum.IntEnum):
    """Card life cycle states and their coding (GPCS)."""

    OP_READY = 0x01
    INITIALIZED = 0x07
    SECURED = 0x0F
    CARD_LOCKED = 0x7F
    TERMINATED = 0xFF


# Forward only, except the lock; TERMINATED is the end (GPCS, card life cycle).
_TRANSITIONS = {
    CardLife.OP_READY: {CardLife.INITIALIZED, CardLife.TERMINATED},
    CardLife.INITIALIZED: {CardLife.SECURED, CardLife.TERMINATED},
    CardLife.SECURED: {CardLife.CARD_LOCKED, CardLife.TERMINATED},
    CardLife.CARD_LOCKED: {CardLife.SECURED, CardLife.TERMINATED},
    CardLife.TERMINATED: set(),
}

_Handler = Callable[["SecurityDomain", CommandApdu], ResponseApdu]


@dataclass(frozen=True, slots=True)
class _Row:
    """One command: who answers, the least security level (None: anyone), and where it still works.

    ``last_life``: the furthest card life cycle state that takes it.
    """

    handler: _Handler
    level: SecurityLevel | None
    last_life: CardLife


class _Ram(Transient):
    """The domain's volatile memory; see `SecurityDomain`."""


class SecurityDomain:
    """The domain's commands on plain APDUs, its SCP03 session, and the card life cycle.

    ``session`` is the SCP03 session open to the selected application (the domain or an applet), or
    None; the dispatcher unwraps and wraps with it.
    """

    def __init__(
        self, store: Persistent, content: CardContent, random: Callable[[int], bytes]
    ) -> None:
        self._store = store
        self._content = content
        self.keys = KeySets(store)
        self._options = Scp03Options.parse(self._record("i")[0])
        self._scp03 = Scp03Card(self._options, random, SD_AID)
        self._ram = _Ram()  # kvn of an opening; listing; data blocks
        memory_bytes = int.from_bytes(self._record("memory"), "big")
        self._loader = Loader(content, SD_AID, memory_bytes)
        self.session: CardMessaging | None = None

    # -- life ---------------------------------------------------------------------------------

    @property
    def life(self) -> CardLife:
        """The card's life cycle state."""
        return CardLife(self._record("life")[0])

    def reset(self) -> None:
        """Wipe all volatile state: power-on, SELECT."""
        self.end_session()
        self._scp03.reset()
        self._ram.clear()
        self._loader.abort()

    def end_session(self) -> None:
        """Close the SCP03 session, if one is open."""
        if self.session is not None:
            self.session.close()
        self.session = None

    def select(self) -> ResponseApdu:
        """Return the FCI; 6283 tells that the card is locked. CardError 6985 when TERMINATED."""
        if self.life is CardLife.TERMINATED:
            raise CardError(SW_CONDITIONS, "the card is terminated")
        proprietary = encode(0x73, recognition_data(int(self._options))) + encode(0x9F65, b"\xff")
        fci = encode(0x6F, encode(0x84, SD_AID) + encode(0xA5, proprietary))
        locked = self.life is CardLife.CARD_LOCKED
        return ResponseApdu(fci, SW_LOCKED_WARNING if locked else SW_OK)

    # -- SCP03 --------------------------------------------------------------------------------

    @property
    def opening(self) -> bool:
        """Whether an EXTERNAL AUTHENTICATE is awaited."""
        return "kvn" in self._ram

    def initialize_update(self, command: CommandApdu) -> ResponseApdu:
        """Answer a host challenge under key version P1 (00: the default); ends an open session.

        Raises CardError: 6A88 no such version, 6983 no try left, 6A86 P2, 6700 challenge length.
        """
        self.reset()
        if self.life is CardLife.TERMINATED:
            raise CardError(SW_CONDITIONS, "the card is terminated")
        if command.p2:
            raise CardError(SW_P1P2)
        kvn, static = self.keys.find(command.p1)
        self.keys.check_usable(kvn)
        try:
            answer = self._scp03.initialize_update(
                command, static, kdd=self._record("kdd"), kvn=kvn, sequence=self.keys.sequence(kvn)
            )
        except ParameterError as error:
            raise CardError(SW_LENGTH, str(error)) from None
        self._ram["kvn"] = kvn
        return ResponseApdu(bytes(answer), SW_OK)

    def external_authenticate(self, command: CommandApdu) -> ResponseApdu:
        """Open the session. A try is taken before anything is compared and given back on success.

        Raises CardError: 6985 no challenge, 6A86 level, 6700 length, 6983 no try left, 6300 wrong
        MAC or cryptogram.
        """
        self.end_session()
        if not self.opening:
            raise CardError(SW_CONDITIONS, "no challenge is outstanding")
        kvn = self._ram.pop("kvn")
        try:
            self._check_level(command)
        except CardError:
            self._scp03.reset()
            raise
        self.keys.spend_try(kvn)
        try:
            session = self._scp03.external_authenticate(command)
        except (CommandMacError, CryptogramError):  # another key makes both wrong
            raise CardError(SW_AUTHENTICATION_FAILED, "wrong MAC or host cryptogram") from None
        except SecureChannelError as error:
            raise CardError(SW_SECURITY, str(error)) from None
        self.keys.opened(kvn)
        self.session = session
        return ResponseApdu(b"", SW_OK)

    def _check_level(self, command: CommandApdu) -> None:
        try:
            self._options.check(SecurityLevel.parse(command.p1))
        except ParameterError as error:
            raise CardError(SW_P1P2, str(error)) from None
        if command.p2:
            raise CardError(SW_P1P2)
        if len(command.data) != 2 * self._options.field_bytes:
            raise CardError(SW_LENGTH, "cryptogram and MAC")

    # -- commands -----------------------------------------------------------------------------

    def process(self, command: CommandApdu) -> ResponseApdu:
        """Answer one plain command; raises CardError, 6E00, 6D00, life 6985, level 6982 first."""
        if command.cla not in GLOBALPLATFORM_CLASSES:
            raise CardError(SW_CLA)
        row = self._ROWS.get(command.ins)
        if row is None:
            raise CardError(SW_INS)
        if self.life > row.last_life:
            raise CardError(SW_CONDITIONS, f"the card is {self.life.name}")
        if row.level is not None and (self.session is None or self.session.level < row.level):
            raise CardError(SW_SECURITY, "not authenticated")
        if command.ins != INS_LOAD:
            self._loader.abort()
        try:
            return row.handler(self, command)
        except FormatError as error:
            raise CardError(SW_DATA, str(error)) from None

    def _get_data(self, command: CommandApdu) -> ResponseApdu:
        tag = command.p1 << 8 | command.p2
        if tag == 0x9F7F:
            return _ok(encode(tag, self._record("cplc")))
        if tag == 0x66:
            return _ok(encode(tag, encode(0x73, recognition_data(int(self._options)))))
        if tag == 0x67:
            sizes = self._record("keybytes")
            return _ok(encode(tag, capability_data(int(self._options), sizes)))
        if tag == 0xCF:  # what INITIALIZE UPDATE begins with, for those who diversify keys by it
            return _ok(encode(tag, self._record("kdd")))
        if tag == 0xE0:
            return _ok(self.keys.template())
        if tag in PRINTABLE_TAGS:
            return _ok(encode(tag, self._record(PRINTABLE_TAGS[tag])))
        if tag == 0xC1:  # of the default key set
            kvn, _ = self.keys.find(0)
            return _ok(encode(tag, self.keys.sequence(kvn).to_bytes(3, "big")))
        if tag == 0xDF01:  # ours: per key set {version, tries left}
            pairs = (bytes([kvn, self.keys.tries(kvn)]) for kvn in self.keys.versions())
            return _ok(encode(tag, b"".join(pairs)))
        if tag == 0xFF21 and any(self._record("memory")):  # ETSI TS 102 226: free memory
            return _ok(encode(tag, self._resources()))
        raise CardError(SW_NOT_FOUND, "no such data object")

    def _resources(self) -> bytes:
        """Applications, free bytes for load files, free RAM (the card does not count it)."""
        applications = bytes([len(self._content.instances())])
        free = self._loader.free_bytes().to_bytes(4, "big")
        return encode(0x81, applications) + encode(0x82, free) + encode(0x83, b"\xff\xff")

    def _get_status(self, command: CommandApdu) -> ResponseApdu:
        if command.p2 not in {0, 1, 2, 3}:
            raise CardError(SW_P1P2)
        if not command.p2 & status.NEXT:
            query = status.Query.parse(command)
            found = status.entries(query, self._content, (SD_AID, self.life, SD_PRIVILEGES))
            self._ram["listing"] = (command.p1, command.p2, found)
        p1, p2, rest = self._ram.pop("listing", (None, None, []))
        if (p1, p2) != (command.p1, command.p2 & ~status.NEXT):
            raise CardError(SW_CONDITIONS, "no listing to continue")
        page, rest = status.page(rest)
        if rest:
            self._ram["listing"] = (p1, p2, rest)
        return ResponseApdu(page, status.SW_MORE if rest else SW_OK)

    def _set_status(self, command: CommandApdu) -> ResponseApdu:
        if command.p1 & 0xE0 == 0x80:
            return self._set_card_life(command.p2)
        if command.p1 & 0xE0 != 0x40:
            raise CardError(SW_P1P2)
        instance = self._content.instances().get(command.data)
        if instance is None:
            raise CardError(SW_NOT_FOUND, "no such instance")
        # Only the lock bit is the issuer's; unlocking returns to the state before (GPCS).
        lock = command.p2 & LOCKED
        if lock == instance.life & LOCKED:
            raise CardError(SW_CONDITIONS, "no change")
        self._content.set_life(instance.aid, instance.life & ~LOCKED | lock)
        return _ok(b"")

    def _set_card_life(self, value: int) -> ResponseApdu:
        try:
            wanted = CardLife(value)
        except ValueError:
            raise CardError(SW_P1P2, "no such card life cycle state") from None
        if wanted not in _TRANSITIONS[self.life]:
            raise CardError(SW_CONDITIONS, f"not from {self.life.name}")
        self._store.put("life", bytes([wanted]))
        return _ok(b"")

    def _install(self, command: CommandApdu) -> ResponseApdu:
        if command.p2:
            raise CardError(SW_P1P2)
        if command.p1 == 0x02:
            self._loader.begin(command.data)
        elif command.p1 in {0x04, 0x0C}:
            self._install_instance(command.data, selectable=bool(command.p1 & 0x08))
        elif command.p1 == 0x08:
            self._make_selectable(command.data)
        else:
            raise CardError(SW_P1P2, "INSTALL purpose not supported")
        return _ok(b"\x00")

    def _install_instance(self, data: bytes, *, selectable: bool) -> None:
        package, module, aid, privileges, parameters, token = read_lvs(data, 6)
        if token or not 5 <= len(aid) <= 16 or aid == SD_AID:
            raise CardError(SW_DATA, "AID or token")
        _refuse_privileges(privileges)
        applet_parameters = dict(parse_all(parameters)).get(0xC9, b"")
        life = SELECTABLE if selectable else INSTALLED
        self._content.install(Instance(aid, package, module, bytes(3), life, 0, applet_parameters))

    def _make_selectable(self, data: bytes) -> None:
        _, _, aid, privileges, _, token = read_lvs(data, 6)
        instance = self._content.instances().get(aid)
        if instance is None or token:
            raise CardError(SW_DATA if token else SW_NOT_FOUND)
        _refuse_privileges(privileges)
        if instance.life != INSTALLED:
            raise CardError(SW_CONDITIONS, "not INSTALLED")
        self._content.set_life(aid, SELECTABLE)

    def _load(self, command: CommandApdu) -> ResponseApdu:
        self._loader.block(command)
        return _ok(b"\x00")

    def _delete(self, command: CommandApdu) -> ResponseApdu:
        if command.p1 or command.p2 not in {0x00, 0x80}:
            raise CardError(SW_P1P2)
        objects = parse_all(command.data)
        # One object a command: of two, the answer could not tell which is gone. A key set goes
        # whole (D2 alone): half a set opens nothing.
        if len(objects) != 1:
            raise CardError(SW_DATA, "one AID, or one key version")
        tag, name = objects[0]
        if tag == 0x4F:
            if name == SD_AID:
                raise CardError(SW_CONDITIONS, "the issuer security domain stays")
            self._content.delete(name, related=bool(command.p2))
        elif tag == 0xD2 and len(name) == 1:
            self.keys.delete(name[0])
        else:
            raise CardError(SW_DATA, "neither an AID nor a key version")
        return _ok(b"\x00")

    def _put_key(self, command: CommandApdu) -> ResponseApdu:
        if command.p1 & 0x80 or command.p2 != 0x81 or self.session is None:
            raise CardError(SW_P1P2, "three keys in one command, from key 01")
        new = NewKeySet.parse(command.data, self.session)
        if len(new.keys.enc) not in self._record("keybytes"):
            raise CardError(SW_DATA, "key length")
        self.keys.put(new, command.p1)
        return _ok(new.answer())

    def _store_data(self, command: CommandApdu) -> ResponseApdu:
        """Blocks P2 = 00, 01, ...; the last has P1 80. Plain TLVs only, written together."""
        number, so_far = self._ram.pop("store", (0, b""))
        if command.p2 == 0:
            number, so_far = 0, b""
        whole = so_far + command.data
        if command.p1 & ~(STORE_LAST | STORE_BER_TLV) or command.p2 != number:
            raise CardError(SW_P1P2, "block out of order, or a format not supported")
        if len(whole) > MAX_STORED_BYTES:
            raise CardError(SW_NO_SPACE, "too much data")
        if not command.p1 & STORE_LAST:
            self._ram["store"] = (number + 1, whole)
            return _ok(b"")
        objects = parse_all(whole)
        if any(tag not in PRINTABLE_TAGS or len(value) > 32 for tag, value in objects):
            raise CardError(SW_DATA, "data object not supported")
        with self._store.transaction():
            for tag, value in objects:
                self._store.put(PRINTABLE_TAGS[tag], value)
        return _ok(b"")

    def _record(self, name: str) -> bytes:
        return self._store.get(name) or b""

    # A locked card lets no content, key or data be changed (GPCS, CARD_LOCKED).
    _ROWS: ClassVar[dict[int, _Row]] = {
        0xCA: _Row(_get_data, None, CardLife.TERMINATED),
        0xF2: _Row(_get_status, SecurityLevel.NONE, CardLife.CARD_LOCKED),
        0xF0: _Row(_set_status, SecurityLevel.C_MAC, CardLife.CARD_LOCKED),
        0xE6: _Row(_install, SecurityLevel.C_MAC, CardLife.SECURED),
        INS_LOAD: _Row(_load, SecurityLevel.C_MAC, CardLife.SECURED),
        0xE4: _Row(_delete, SecurityLevel.C_MAC, CardLife.SECURED),
        0xD8: _Row(_put_key, SecurityLevel.C_MAC, CardLife.SECURED),
        0xE2: _Row(_store_data, SecurityLevel.C_MAC, CardLife.SECURED),
    }


def _refuse_privileges(coded: bytes) -> None:
    """Take one or three bytes of zero: no default selection, delegation or further domains here."""
    if len(coded) not in {1, 3} or any(coded):
        raise CardError(SW_DATA, "privilege not supported")


def _ok(data: bytes) -> ResponseApdu:
    return ResponseApdu(data, SW_OK)
