"""The applet on the bench of `purse_world`: its memory read as the reference purse's records.

What two cards' `logical_state` have equal, no command can tell apart; so the applet's memory, byte
by byte as State.java saves it, becomes records, and both cards are compared by one function.
"""

from __future__ import annotations

from struct import Struct

from card_os.reference.external import AppletInstance
from card_os.reference.memory import Nvm
from card_os.reference.purse_store import Card, CardKeys, PurseStore, TrustSlot
from keys.scp11 import SoftwareEcdhKey
from tests.support.purse_world import Bench
from wire.cvc import CaKind
from wire.purse import PIN_DIGITS, TRANSPORT_CODE_DIGITS, Life

__all__ = ["AppletBench", "patched", "records_of"]

# Card.java
_CARD = Struct(">B B B B 8s 4s 4s 2s 2s 2s 2s 2s 4s 4s 32s 32s B B B B B 16s")
_WALLET_BYTES, _SHOWN_BYTES, _COUNTERS_NOT = 43, 27, 27  # Wallets.java
_ENTITLEMENT_BYTES, _STATEMENT_BYTES, _RECEIPT_BYTES = 166, 165, 210
_KINDS = (CaKind.TERMINAL_CA, CaKind.ISSUER)
_KEY_SETS, _PUBLIC_KEYS = 2, 6  # five of the slots, the root


class _Memory:
    """State.java's bytes, in order of allocation."""

    def __init__(self, state: bytes) -> None:
        self._left = state
        names = ("card", "trust", "wallets", "entitlements", "statements", "certificate", "ring")
        self.arrays = {name: self._take(int.from_bytes(self._take(2))) for name in names}
        self.pins = [(self._take(self._take(1)[0]), self._take(1)[0]) for _ in range(2)]
        self.pairs = [
            (self._take(1)[0], self._take(32), self._take(65)) for _ in range(2 * _KEY_SETS)
        ]
        self.points = [(self._take(1)[0], self._take(65)) for _ in range(_PUBLIC_KEYS)]
        assert not self._left, "bytes left over: State.java and this differ"

    def _take(self, n: int) -> bytes:
        taken, self._left = self._left[:n], self._left[n:]
        assert len(taken) == n
        return taken


def _parts(whole: bytes, size: int) -> list[bytes]:
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def _complement(a: bytes) -> bytes:
    return bytes(b ^ 0xFF for b in a)


def records_of(state: bytes, *, fresh_keys: bool = False) -> PurseStore:
    """The reference purse's records of an applet's memory.

    ``fresh_keys``: key values are left out (each run of GENERATE KEYS makes others); that private
    and public half belong together is asserted either way.
    """
    memory = _Memory(state)
    nvm = Nvm()
    life = _put_card(nvm, memory)
    for i, record in enumerate(_parts(memory.arrays["wallets"], _WALLET_BYTES)):
        assert record[_COUNTERS_NOT:] in {_complement(record[6:22]), bytes(16)}, "complement"
        nvm.put(f"wallet/{i}", record[:_SHOWN_BYTES])
    _put_trust(nvm, memory)
    for name, size in (("entitlement", _ENTITLEMENT_BYTES), ("statement", _STATEMENT_BYTES)):
        for i, body in enumerate(_parts(memory.arrays[f"{name}s"], size)):
            nvm.put(f"{name}/{i}", body)
    for i, body in enumerate(_parts(memory.arrays["ring"], _RECEIPT_BYTES)):
        nvm.put(f"ring/{i}", body)
    nvm.put("certificate", memory.arrays["certificate"])
    _put_keys(nvm, memory, life, fresh=fresh_keys)
    return PurseStore(nvm)


def _put_card(nvm: Nvm, memory: _Memory) -> Life:
    f = _CARD.unpack(memory.arrays["card"])
    life = Life(f[0])
    assert (f[0] ^ f[1], f[2] ^ f[3]) == (0xFF, 0xFF), "a value and its complement differ"
    nvm.put("card", b"".join((
        bytes([f[0], f[2]]), *f[4:12], f[12], f[13], f[14], f[15], bytes(f[16:20]),
    )))  # fmt: skip
    (pin, pin_tries), (code, code_tries) = memory.pins
    active, inert = life is Life.ACTIVE, life is Life.INERT
    nvm.put("secrets", b"".join((
        pin if active else bytes(PIN_DIGITS), bytes([pin_tries if active else 0]),
        code if inert else bytes(TRANSPORT_CODE_DIGITS), bytes([code_tries if inert else 0, f[20]]),
    )))  # fmt: skip
    return life


def _put_trust(nvm: Nvm, memory: _Memory) -> None:
    trust = memory.arrays["trust"]
    for at, slot in enumerate(_parts(trust[:12], 3)):
        version = int.from_bytes(slot[:2])
        key = memory.points[slot[2]][1]
        kept = TrustSlot(version, key) if version else TrustSlot()
        nvm.put(f"trust/{_KINDS[at // 2].name}/{at % 2}", bytes(kept))
    nvm.put("trust/highest", trust[12:])


def _put_keys(nvm: Nvm, memory: _Memory, life: Life, *, fresh: bool) -> None:
    for i in range(_KEY_SETS):
        pair = memory.pairs[2 * i : 2 * i + 2]
        if all(made for made, _, _ in pair):
            scalars = b"".join(scalar for _, scalar, _ in pair)
            if life >= Life.KEYED and memory.arrays["card"][102] == i:
                keys = CardKeys.parse(scalars)
                assert [keys.channel.public, keys.receipt.public] == [p for _, _, p in pair]
            nvm.put(f"keys/{i}", (bytes([0] * 31 + [1]) * 2) if fresh else scalars)


class AppletBench(Bench):
    """`purse_world.Bench` over an `AppletInstance`."""

    applet: AppletInstance

    @property
    def store(self) -> PurseStore:
        """The records, read anew from the applet."""
        return records_of(self.applet.state)

    @property
    def receipt_key(self) -> SoftwareEcdhKey:
        """The card's receipt key."""
        return self.store.keys(self.store.card).receipt


def patched(state: bytes, card: Card, receipt: bytes) -> bytes:
    """An applet's memory with the counts of ``card``, every ring slot filled with ``receipt``."""
    changed = bytearray(state)
    counts = (
        card.sequence.to_bytes(4, "big") + card.acknowledged.to_bytes(4, "big")
        + card.script_number.to_bytes(2, "big") + card.script_count.to_bytes(2, "big")
        + card.pin_set_count.to_bytes(2, "big")
    )  # fmt: skip
    changed[2 + 12 : 2 + 12 + len(counts)] = counts
    memory = _Memory(state)
    before = ("card", "trust", "wallets", "entitlements", "statements", "certificate")
    at = sum(2 + len(memory.arrays[name]) for name in before) + 2
    changed[at : at + 32 * _RECEIPT_BYTES] = receipt * 32
    return bytes(changed)
