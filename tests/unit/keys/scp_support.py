"""Sessions in process for the secure channel tests: repeatable randomness, no link."""

import hashlib

from keys.kdf import StaticKeys
from keys.scp03 import Scp03Card, Scp03Host, Scp03Options
from keys.scp11 import Scp11aHost, SoftwareEcdhKey, open_card_session
from keys.securechannel import SecurityLevel
from wire.apdu import ResponseApdu

SD_AID = bytes.fromhex("A000000151000000")
KDD = bytes.fromhex("44454D4F000000010000")
OK = ResponseApdu(b"", 0x9000)
LEVELS = list(SecurityLevel)


def stream(seed: int):
    """A repeatable source of bytes."""
    calls = 0

    def random(n: int) -> bytes:
        nonlocal calls
        calls += 1
        return hashlib.shake_256(f"{seed}/{calls}".encode()).digest(n)

    return random


def key_set(size: int) -> StaticKeys:
    return StaticKeys(*(hashlib.shake_256(name).digest(size) for name in (b"e", b"m", b"d")))


def scp03_card(*, s16=False, pseudo_random=True, r_mac=True, r_enc=True) -> Scp03Card:
    return Scp03Card(Scp03Options(pseudo_random, r_mac, r_enc, s16), stream(2), SD_AID)


def scp03_host(keys, level, *, s16=False, kvn=0x30, aid=SD_AID) -> Scp03Host:
    return Scp03Host(lambda _: keys, level, stream(1), kvn=kvn, s16=s16, aid=aid)


def begin_scp03(card, host, keys, sequence=7) -> ResponseApdu:
    """INITIALIZE UPDATE through both ends: the answer that the host has to judge."""
    answer = card.initialize_update(
        host.initialize_update(), keys, kdd=KDD, kvn=0x30, sequence=sequence
    )
    return ResponseApdu(bytes(answer), 0x9000)


def scp03_pair(size=16, level=SecurityLevel.FULL, *, s16=False, pseudo_random=True):
    """(host, card) of an open session."""
    keys = key_set(size)
    card = scp03_card(s16=s16, pseudo_random=pseudo_random)
    host = scp03_host(keys, level, s16=s16)
    command = host.external_authenticate(begin_scp03(card, host, keys))
    session = card.external_authenticate(command)
    return host.finish(OK), session


def scp11_pair():
    """(host, card) of an open SCP11a session."""
    oce, sd = SoftwareEcdhKey.generate(stream(11)), SoftwareEcdhKey.generate(stream(12))
    host = Scp11aHost(oce, sd.public, stream(13))
    answer, session = open_card_session(host.command(), sd, oce.public, stream(14))
    return host.finish(answer), session


def change(raw: bytes, at: int, mask: int) -> bytes:
    """``raw`` with one byte changed."""
    return raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :]
