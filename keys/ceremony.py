"""The root ceremony (PROTOCOL.md §3): a wrapping key in SLIP-39 shares, 3 of 5, seals the root.

The wrapping key is an age identity (X25519), so the standard ``age -d -i`` opens the sealed root
with :func:`identity` of the recombined key. The shares are made, recombined in every combination
and counted before anything is kept; key check values are recorded so that a later recombination
is known to be right before the root is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import combinations

import pyrage
from shamir_mnemonic import MnemonicError, combine_mnemonics, generate_mnemonics

from keys.errors import CeremonyError
from keys.kdf import kcv
from keys.signer import P256Signer
from wire.env import Environment

THRESHOLD, SHARES = 3, 5
WRAPPING_BYTES = 32


@dataclass(frozen=True, slots=True)
class Record:
    """What everybody present writes down; nothing of it is secret. KCVs are 3 bytes."""

    env: Environment
    held_at_s: int
    root_key: bytes
    wrapping_kcv: bytes
    share_checks: tuple[bytes, ...]
    sealed_hash: bytes
    combinations_tested: int

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the root's public key in groups of four: the number to publish."""
        return grouped(sha256(self.root_key).hexdigest())


@dataclass(frozen=True, slots=True)
class Ceremony:
    """The outcome: five share texts for five people, the sealed root, the record."""

    shares: tuple[str, ...] = field(repr=False)
    sealed_root: bytes = field(repr=False)
    record: Record


def grouped(text: str) -> str:
    """``text`` in groups of four, to be read aloud."""
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def share_check(share: str) -> bytes:
    """Three bytes that tell a share's text from another's without giving it away."""
    return sha256(b"BTSHARE" + share.encode()).digest()[:3]


def hold(
    root: P256Signer, env: Environment, *, random: Callable[[int], bytes], now_s: int
) -> Ceremony:
    """Split, seal and test.

    1. a new wrapping key; 2. five shares of it (no passphrase, so no stretching: the key has 256
    bits); 3. the root sealed under it; 4. each of the ten
    combinations of three gives the wrapping key, and no two do; 5. the sealed file opens to the
    root with a recombined key. Raises :class:`CeremonyError`.
    """
    wrapping = random(WRAPPING_BYTES)  # 1
    (made,) = generate_mnemonics(1, [(THRESHOLD, SHARES)], wrapping, iteration_exponent=0)  # 2
    shares = tuple(made)
    recipient = pyrage.x25519.Identity.from_str(identity(wrapping)).to_public()
    sealed = pyrage.encrypt(root.private_bytes(), [recipient])  # 3
    tested = _test_combinations(shares, wrapping)  # 4
    record = Record(
        env, now_s, root.public_key, kcv(wrapping), tuple(map(share_check, shares)),
        sha256(sealed).digest(), tested,
    )  # fmt: skip
    recover(shares[-THRESHOLD:], sealed, record.root_key, record.wrapping_kcv)  # 5
    return Ceremony(shares, sealed, record)


def _test_combinations(shares: Sequence[str], wrapping: bytes) -> int:
    tested = 0
    for chosen in combinations(shares, THRESHOLD):
        if combine(chosen) != wrapping:
            raise CeremonyError("a combination of shares gives another key")
        tested += 1
    try:
        combine(shares[: THRESHOLD - 1])
    except CeremonyError:
        return tested
    raise CeremonyError("fewer shares than the threshold recombine")


def combine(shares: Sequence[str]) -> bytes:
    """The wrapping key (32 bytes) of three shares; :class:`CeremonyError` when they do not fit."""
    try:
        return bytes(combine_mnemonics(" ".join(s.split()) for s in shares))
    except MnemonicError as e:
        raise CeremonyError("the shares do not recombine") from e


def recover(
    shares: Sequence[str], sealed_root: bytes, root_key: bytes, wrapping_kcv: bytes
) -> P256Signer:
    """The root key, for one sitting.

    The wrapping key's check value is compared before the file is opened, and the public key
    after. Raises :class:`CeremonyError`.
    """
    wrapping = combine(shares)
    if kcv(wrapping) != wrapping_kcv:
        raise CeremonyError("the recombined key has another check value")
    try:
        key = pyrage.x25519.Identity.from_str(identity(wrapping))
        secret = pyrage.decrypt(sealed_root, [key])
    except pyrage.DecryptError as e:
        raise CeremonyError("the sealed root does not open") from e
    root = P256Signer.from_private_bytes(bytes(secret))
    if root.public_key != root_key:
        raise CeremonyError("the sealed root is another key")
    return root


_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_IDENTITY_PREFIX = "age-secret-key-"


def identity(wrapping: bytes) -> str:
    """The wrapping key as an age identity, ``AGE-SECRET-KEY-1…`` (Bech32, BIP 173)."""
    bits = int.from_bytes(wrapping, "big") << 4  # 256 bits are 51 groups of five and one bit
    data = [bits >> 5 * i & 31 for i in reversed(range(52))]
    prefix = [ord(c) >> 5 for c in _IDENTITY_PREFIX] + [0] + [ord(c) & 31 for c in _IDENTITY_PREFIX]
    check = _polymod([*prefix, *data, *([0] * 6)]) ^ 1
    data += [check >> 5 * i & 31 for i in reversed(range(6))]
    return (_IDENTITY_PREFIX + "1" + "".join(_BECH32[d] for d in data)).upper()


def _polymod(values: Sequence[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for i, factor in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            checksum ^= factor if top >> i & 1 else 0
    return checksum


def protocol(record: Record) -> str:
    """The printable protocol of the ceremony, Indonesian and English, with lines to sign."""
    when = datetime.fromtimestamp(record.held_at_s, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
    demo = record.env.is_demo
    warning = "\n*** DEMO: BUKAN UNTUK PENGGUNAAN NYATA / NOT FOR REAL USE ***\n" if demo else ""
    checks = "\n".join(
        f"  {n}. {check.hex().upper()}   nama/name ____________________  paraf/initials ______"
        for n, check in enumerate(record.share_checks, 1)
    )
    return f"""BERITA ACARA UPACARA KUNCI / PROTOCOL OF THE KEY CEREMONY
{warning}
Waktu / time                        {when}
Lingkungan / environment            {record.env.name} (0x{record.env:02X})
Kunci akar / root key               {grouped(record.root_key.hex())}
Sidik jari / fingerprint (SHA-256)  {record.fingerprint}
KCV kunci pembungkus / wrapping key {record.wrapping_kcv.hex().upper()}
SHA-256 berkas / of the sealed file {grouped(record.sealed_hash.hex())}

Bagian / shares: {THRESHOLD} dari/of {SHARES} (SLIP-39), nilai periksa / check values
{checks}

Uji gabung ulang / test recombination
  {record.combinations_tested} kombinasi {THRESHOLD} bagian: semua memberi kunci yang sama.
  {record.combinations_tested} combinations of {THRESHOLD} shares: all gave the same key.
  {THRESHOLD - 1} bagian tidak cukup. / {THRESHOLD - 1} shares do not suffice.
  Berkas akar dibuka dan cocok. / The sealed root was opened and matched.

Setiap pemegang menyimpan bagiannya sendiri, di tempat terpisah, dan tidak menyalinnya.
Each holder keeps their own share, in a separate place, and makes no copy.

Pemimpin / leader   ____________________    Saksi / witness  ____________________
"""
