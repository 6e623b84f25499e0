"""Sealed software keystore: one file per key, scrypt and ChaCha20-Poly1305 under a passphrase.

File: ``BTSEAL1`` ‖ log₂N(1) ‖ salt(16) ‖ nonce(12) ‖ ciphertext; the head and the key's name are
authenticated, so a file renamed to another key's name does not open. PKCS#8's own encryption is
too weak for files that may be copied. scrypt is RFC 7914, the cipher RFC 8439.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from keys.errors import PassphraseError, StoreError

MAGIC = b"BTSEAL1"
SALT_BYTES, NONCE_BYTES, KEY_BYTES = 16, 12, 32
DEFAULT_LOG_N = 16
MIN_LOG_N, MAX_LOG_N = 10, 20  # a hostile file must not make the reader run out of memory
MAX_FILE_BYTES = 1 << 20
_HEAD_BYTES = len(MAGIC) + 1 + SALT_BYTES + NONCE_BYTES
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class SealedStore:
    """A folder of sealed keys. ``random`` gives salts and nonces; ``log_n`` is scrypt's cost."""

    def __init__(
        self,
        path: Path,
        random: Callable[[int], bytes] = os.urandom,
        *,
        log_n: int = DEFAULT_LOG_N,
    ) -> None:
        if not MIN_LOG_N <= log_n <= MAX_LOG_N:
            raise ValueError("scrypt cost out of range")
        self._path = path
        self._random = random
        self._log_n = log_n

    def names(self) -> tuple[str, ...]:
        """The names held, sorted."""
        return tuple(sorted(p.stem for p in self._path.glob("*.sealed")))

    def exists(self, name: str) -> bool:
        """Whether a key of this name is held."""
        return self._file(name).exists()

    def save(self, name: str, secret: bytes, passphrase: str, *, replace: bool = False) -> None:
        """Seal ``secret`` under ``name``, durably; :class:`StoreError` if the name is taken."""
        target = self._file(name)
        if target.exists() and not replace:
            raise StoreError(f"a key named {name} exists; it was left as it is")
        write_private(target, self.seal(name, secret, passphrase))

    def load(self, name: str, passphrase: str) -> bytes:
        """The secret of this name.

        Raises :class:`StoreError` when there is none and :class:`PassphraseError` for a wrong
        passphrase or a damaged file, which look alike.
        """
        target = self._file(name)
        if not target.exists():
            raise StoreError(f"no key named {name}")
        if target.stat().st_size > MAX_FILE_BYTES:
            raise PassphraseError(f"{name} is no sealed key")
        return self.unseal(name, target.read_bytes(), passphrase)

    def seal(self, name: str, secret: bytes, passphrase: str) -> bytes:
        """The bytes of a sealed file."""
        head = MAGIC + bytes([self._log_n]) + self._random(SALT_BYTES + NONCE_BYTES)
        cipher = ChaCha20Poly1305(_derive(passphrase, head))
        return head + cipher.encrypt(head[-NONCE_BYTES:], secret, head + name.encode())

    @staticmethod
    def unseal(name: str, raw: bytes, passphrase: str) -> bytes:
        """Inverse of :meth:`seal`; :class:`PassphraseError` for anything else."""
        head, body = raw[:_HEAD_BYTES], raw[_HEAD_BYTES:]
        if len(head) != _HEAD_BYTES or head[: len(MAGIC)] != MAGIC:
            raise PassphraseError(f"{name} is no sealed key")
        if not MIN_LOG_N <= head[len(MAGIC)] <= MAX_LOG_N:
            raise PassphraseError(f"{name} is sealed at a cost out of range")
        try:
            cipher = ChaCha20Poly1305(_derive(passphrase, head))
            return cipher.decrypt(head[-NONCE_BYTES:], body, head + name.encode())
        except InvalidTag:
            raise PassphraseError(f"{name} does not open") from None

    def _file(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise StoreError("a key's name is a-z, 0-9, dot, dash, underscore")
        return self._path / f"{name}.sealed"


def _derive(passphrase: str, head: bytes) -> bytes:
    salt = head[len(MAGIC) + 1 : len(MAGIC) + 1 + SALT_BYTES]
    kdf = Scrypt(salt=salt, length=KEY_BYTES, n=1 << head[len(MAGIC)], r=8, p=1)
    return kdf.derive(passphrase.encode())


def write_private(target: Path, data: bytes) -> None:
    """Write a file that only its owner reads; after a crash it is the old one or the new."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = target.with_suffix(target.suffix + ".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
    part.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
