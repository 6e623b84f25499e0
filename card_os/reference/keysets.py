"""The security domain's SCP03 key sets: persistent, each with its own tries and sequence.

Each rule has its row in docs/foreign-clients.md#keys; AES key fields as GPC Amd D §7.2 has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from card_os.reference.errors import CardError
from card_os.reference.memory import Store
from keys.kdf import AES_KEY_BYTES, StaticKeys, kcv
from keys.scp03 import MAX_SEQUENCE, SEQUENCE_BYTES
from keys.securechannel import CardMessaging
from wire.errors import FormatError, require
from wire.tlv import encode

__all__ = ["INITIAL_KVN", "MAX_KEY_SETS", "MAX_TRIES", "KeySets", "NewKeySet"]

MAX_KEY_SETS = 8
MAX_TRIES = 10
MAX_KVN = 0x7F  # GPCS: what PUT KEY may name
INITIAL_KVN = 0xFF  # a maker's set: gone with the first PUT KEY that adds another
KEY_TYPE_AES = 0x88  # GPCS, key type coding

SW_BLOCKED = 0x6983
SW_CONDITIONS = 0x6985
SW_DATA = 0x6A80
SW_NO_SPACE = 0x6A84
SW_NOT_FOUND = 0x6A88
SW_ALGORITHM = 0x9484
SW_KCV = 0x9485


@dataclass(frozen=True, slots=True)
class NewKeySet:
    """The data of PUT KEY: a new version and three keys, ENC, MAC, DEK, in clear."""

    kvn: int
    keys: StaticKeys

    @classmethod
    def parse(cls, data: bytes, session: CardMessaging) -> Self:
        """Read the data field; raises CardError (6A80, 9484 not AES, 9485 key check value).

        Per key: 88 ‖ length ‖ [length in clear] ‖ key under the DEK ‖ KCV length (0 or 3) ‖ KCV.
        GlobalPlatform clients differ in the length in clear: without it the ciphertext is the key.
        """
        try:
            require(len(data) > 1, "no key")
            values, at = [], 1
            for _ in range(3):
                value, at = _read_key(data, at, session)
                values.append(value)
            require(at == len(data), "bytes left over behind the third key")
            require(1 <= data[0] <= MAX_KVN, "key version out of range")
            return cls(data[0], StaticKeys(*values))
        except (FormatError, ValueError, IndexError) as error:
            raise CardError(SW_DATA, str(error)) from None

    def answer(self) -> bytes:
        """Return the version and the three key check values."""
        return bytes([self.kvn]) + b"".join(map(kcv, _three(self.keys)))


def _read_key(data: bytes, at: int, session: CardMessaging) -> tuple[bytes, int]:
    if data[at] != KEY_TYPE_AES:
        raise CardError(SW_ALGORITHM, "only AES keys")
    length, at = data[at + 1], at + 2
    block, at = data[at : at + length], at + length
    require(len(block) == length, "key ends early")
    if length % 16 == 1:
        clear_bytes, block = block[0], block[1:]
    else:
        clear_bytes = length
    require(clear_bytes in AES_KEY_BYTES and len(block) == -(-clear_bytes // 16) * 16, "key length")
    key = session.decrypt_sensitive(block)[:clear_bytes]
    check_bytes, at = data[at], at + 1
    check, at = data[at : at + check_bytes], at + check_bytes
    require(check_bytes in {0, 3} and len(check) == check_bytes, "key check value length")
    if check and check != kcv(key):
        raise CardError(SW_KCV, "key check value")
    return key, at


def _three(keys: StaticKeys) -> tuple[bytes, bytes, bytes]:
    return keys.enc, keys.mac, keys.dek


class KeySets:
    """The sets in the store, in the order they were put; the first is what version 00 means."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def versions(self) -> bytes:
        """Return the key versions, one byte each, the default first."""
        return self._store.get("order") or b""

    def find(self, kvn: int) -> tuple[int, StaticKeys]:
        """Return version and keys of ``kvn`` (00: the default). Raises CardError 6A88."""
        known = self.versions()
        kvn = kvn or (known[0] if known else 0)
        raw = self._store.get(f"{kvn:02X}")
        if kvn not in known or raw is None:
            raise CardError(SW_NOT_FOUND, "no such key version")
        n = len(raw) // 3
        return kvn, StaticKeys(raw[:n], raw[n : 2 * n], raw[2 * n :])

    def tries(self, kvn: int) -> int:
        """Return how many wrong cryptograms the set still takes before it refuses."""
        raw = self._store.get(f"{kvn:02X}/tries")
        return raw[0] if raw else 0

    def sequence(self, kvn: int) -> int:
        """Return the sequence counter: how many sessions were opened with the set."""
        return int.from_bytes(self._store.get(f"{kvn:02X}/sequence") or b"", "big")

    def check_usable(self, kvn: int) -> None:
        """Raise CardError 6983 when no try is left or the sequence has come to its end."""
        if self.tries(kvn) == 0 or self.sequence(kvn) >= MAX_SEQUENCE:
            raise CardError(SW_BLOCKED, "key set blocked")

    def spend_try(self, kvn: int) -> None:
        """Take a try, before anything is compared. Raises CardError 6983 when none is left."""
        self.check_usable(kvn)
        self._store.put(f"{kvn:02X}/tries", bytes([self.tries(kvn) - 1]))

    def opened(self, kvn: int) -> None:
        """Record a session opened: tries restored, sequence stepped, at once."""
        with self._store.transaction():
            self._store.put(f"{kvn:02X}/tries", bytes([MAX_TRIES]))
            self._put_sequence(kvn, self.sequence(kvn) + 1)

    def put(self, new: NewKeySet, replaced: int) -> None:
        """Add a set (``replaced`` 0), or put it in the place of version ``replaced``, at once.

        Raises CardError: 6A88 nothing to replace, 6A80 version in use, 6A84 too many sets.
        """
        old = self.versions()
        if replaced and replaced not in old:
            raise CardError(SW_NOT_FOUND, "no such key version to replace")
        if new.kvn in old and new.kvn != replaced:
            raise CardError(SW_DATA, "key version in use")
        if replaced:
            order = old.replace(bytes([replaced]), bytes([new.kvn]))
        else:
            order = old.replace(bytes([INITIAL_KVN]), b"") + bytes([new.kvn])
        if len(order) > MAX_KEY_SETS:
            raise CardError(SW_NO_SPACE, "too many key sets")
        with self._store.transaction():
            for gone in set(old) - set(order):
                self._erase(gone)
            self._put_set(new.kvn, new.keys)
            self._store.put("order", order)

    def delete(self, kvn: int) -> None:
        """Remove a set. Raises CardError: 6A88 no such set, 6985 the last one."""
        old = self.versions()
        if kvn not in old:
            raise CardError(SW_NOT_FOUND, "no such key version")
        if len(old) == 1:
            raise CardError(SW_CONDITIONS, "the last key set")
        with self._store.transaction():
            self._erase(kvn)
            self._store.put("order", old.replace(bytes([kvn]), b""))

    def install_first(self, kvn: int, keys: StaticKeys) -> None:
        """Write the maker's transport keys into a blank card."""
        with self._store.transaction():
            self._put_set(kvn, keys)
            self._store.put("order", bytes([kvn]))

    def template(self) -> bytes:
        """Return the key information template E0: per key C0 {KID, KVN, 88, length in bytes}."""
        items = []
        for kvn in self.versions():
            size = len(self.find(kvn)[1].enc)
            items += [encode(0xC0, bytes([kid, kvn, KEY_TYPE_AES, size])) for kid in (1, 2, 3)]
        return encode(0xE0, b"".join(items))

    def _put_set(self, kvn: int, keys: StaticKeys) -> None:
        self._store.put(f"{kvn:02X}", b"".join(_three(keys)))
        self._store.put(f"{kvn:02X}/tries", bytes([MAX_TRIES]))
        self._put_sequence(kvn, 0)

    def _put_sequence(self, kvn: int, value: int) -> None:
        self._store.put(f"{kvn:02X}/sequence", value.to_bytes(SEQUENCE_BYTES, "big"))

    def _erase(self, kvn: int) -> None:
        for key in self._store.keys(f"{kvn:02X}"):
            self._store.delete(key)
