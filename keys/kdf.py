"""AES key derivation for GlobalPlatform secure channels, and key check values.

Three derivations stand on one function, NIST SP 800-108 in counter mode with CMAC and a one-byte
counter: SCP03 session data (GPC Amd D §4.1.5), the card key diversification that GP clients call
KDF3, and whatever a caller builds from :func:`kbkdf_counter`. SCP11 uses X9.63 instead
(:mod:`keys.scp11`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

BLOCK_BYTES = 16
AES_KEY_BYTES = (16, 24, 32)
KCV_BYTES = 3
KDD_BYTES = 10
MAX_KDF_BLOCKS = 255  # the counter is one byte (GPC Amd D §4.1.5)


class Derivation(IntEnum):
    """Derivation constants of GPC Amd D §4.1.5, Table 4-1."""

    CARD_CRYPTOGRAM = 0x00
    HOST_CRYPTOGRAM = 0x01
    CARD_CHALLENGE = 0x02
    S_ENC = 0x04
    S_MAC = 0x06
    S_RMAC = 0x07


@dataclass(frozen=True, slots=True)
class StaticKeys:
    """One SCP03 key set of a card: three AES keys of one length (16, 24 or 32 bytes)."""

    enc: bytes = field(repr=False)
    mac: bytes = field(repr=False)
    dek: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse other lengths (``ValueError``)."""
        if len(self.enc) not in AES_KEY_BYTES or not (
            len(self.enc) == len(self.mac) == len(self.dek)
        ):
            raise ValueError("a key set is three AES keys of one length")


def cmac(key: bytes, message: bytes) -> bytes:
    """AES-CMAC (NIST SP 800-38B) of ``message``, all 16 bytes."""
    mac = CMAC(algorithms.AES(key))
    mac.update(message)
    return mac.finalize()


def kbkdf_counter(key: bytes, before: bytes, after: bytes, length_bytes: int) -> bytes:
    """NIST SP 800-108 §4.1 with CMAC: blocks ``CMAC(key, before ‖ i ‖ after)``, i one byte from 1.

    ``ValueError`` when ``length_bytes`` is not positive or needs more than 255 blocks.
    """
    blocks = -(-length_bytes // BLOCK_BYTES)
    if not 1 <= blocks <= MAX_KDF_BLOCKS:
        raise ValueError("derived length out of range")
    out = b"".join(cmac(key, before + bytes([i]) + after) for i in range(1, blocks + 1))
    return out[:length_bytes]


def derive(key: bytes, constant: Derivation, context: bytes, length_bytes: int) -> bytes:
    """SCP03 data derivation: session key, cryptogram or challenge (GPC Amd D §4.1.5).

    Fixed input: 11 bytes 00, the constant, 00, L in bits (two bytes), the counter, the context.
    """
    label = bytes(11) + bytes([constant])
    length = (length_bytes * 8).to_bytes(2, "big")
    return kbkdf_counter(key, label + b"\x00" + length, context, length_bytes)


def diversify(master: bytes, kdd: bytes) -> StaticKeys:
    """The key set of the card whose key diversification data (10 bytes) is ``kdd``.

    This is KDF3 as GlobalPlatformPro has it, so that foreign GP clients reach our cards with the
    master: each key is SP 800-108 over ``i ‖ 00 00 00 k ‖ 00 ‖ kdd``, k = 1 ENC, 2 MAC, 3 DEK,
    as long as the master. Unlike :func:`derive` it has no 11-byte label and no length field.
    ``ValueError`` for a master or diversification data of another length.
    """
    if len(master) not in AES_KEY_BYTES:
        raise ValueError("master key is not an AES key")
    if len(kdd) != KDD_BYTES:
        raise ValueError("key diversification data is not 10 bytes")
    enc, mac, dek = (
        kbkdf_counter(master, b"", bytes([0, 0, 0, k, 0]) + kdd, len(master)) for k in (1, 2, 3)
    )
    return StaticKeys(enc, mac, dek)


def kcv(key: bytes) -> bytes:
    """Key check value of an AES key: 16 bytes 01 enciphered, first 3 bytes (GPC Amd D §7.2.2)."""
    return aes_block(key, b"\x01" * BLOCK_BYTES)[:KCV_BYTES]


def aes_block(key: bytes, block: bytes) -> bytes:
    """One 16-byte block (else ``ValueError``) enciphered; ECB of a single block is AES itself."""
    if len(block) != BLOCK_BYTES:
        raise ValueError("not one AES block")
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
    return encryptor.update(block) + encryptor.finalize()


def cbc_encrypt(key: bytes, icv: bytes, plain: bytes) -> bytes:
    """AES-CBC without padding; ``icv`` 16 bytes, ``plain`` whole blocks (else ``ValueError``)."""
    encryptor = Cipher(algorithms.AES(key), modes.CBC(icv)).encryptor()
    return encryptor.update(plain) + encryptor.finalize()


def cbc_decrypt(key: bytes, icv: bytes, cipher: bytes) -> bytes:
    """Inverse of :func:`cbc_encrypt`."""
    decryptor = Cipher(algorithms.AES(key), modes.CBC(icv)).decryptor()
    return decryptor.update(cipher) + decryptor.finalize()
