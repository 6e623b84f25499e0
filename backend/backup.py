"""A copy of the live SQLite database, and a data folder's next trust file (docs/runbooks.md).

PostgreSQL has its own tools: ``pg_dump`` and the archive of its log.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from backend.config import ACK, KEYS, PEPPER, TRUST, Settings, load_trust
from backend.db import sqlite_url
from backend.errors import ConfigError
from keys.errors import KeysError
from keys.signer import Ed25519Signer
from keys.store import SealedStore, write_private
from keys.trust import TrustStore
from wire.chain import TrustFile
from wire.errors import WireError
from wire.objects import KeyRole

_COUNTS = {"issuance": "issuance", "ledger": "ledger", "uploads": "upload"}


@dataclass(frozen=True, slots=True)
class Copied:
    """A backup: bytes of the file, and the entries of both chains and the uploads in it."""

    size: int
    issuance: int
    ledger: int
    uploads: int


def backup(folder: Path, settings: Settings, target: Path) -> Copied:
    """Copy the database of a data folder to ``target``, whole as of one moment, while it works.

    1. nothing is overwritten; 2. the copy is made by SQLite's own backup; 3. it is checked page by
    page; 4. it is durable before it has its name. Raises :class:`ConfigError`.
    """
    url = make_url(settings.database_url or sqlite_url(folder))
    if url.get_backend_name() != "sqlite" or not url.database:
        raise ConfigError("not an SQLite file; use pg_dump (docs/runbooks.md)")
    if target.exists():  # 1
        raise ConfigError(f"{target} exists; it was left as it is")
    if not Path(url.database).exists():
        raise ConfigError(f"there is no database at {url.database}")
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        counts = _copy(Path(url.database), part)
    except (sqlite3.DatabaseError, ConfigError) as e:
        part.unlink(missing_ok=True)
        raise ConfigError(f"the database or its copy is damaged: {e}") from e
    with part.open("rb") as written:  # 4
        os.fsync(written.fileno())
    part.rename(target)
    return Copied(target.stat().st_size, **counts)


def _copy(source_file: Path, part: Path) -> dict[str, int]:
    with (
        closing(sqlite3.connect(source_file.resolve().as_uri() + "?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(part)) as copy,
    ):
        source.backup(copy)  # 2
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, no WAL beside it
        return check(copy)  # 3


def check(copy: sqlite3.Connection) -> dict[str, int]:
    """What a copy holds, when SQLite finds no fault in it; :class:`ConfigError`."""
    (verdict,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    broken = copy.execute("PRAGMA foreign_key_check").fetchone()
    if verdict != "ok" or broken is not None:
        raise ConfigError(f"integrity check: {verdict}")
    return {
        name: copy.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - above
        for name, table in _COUNTS.items()
    }


def install_trust(
    folder: Path, raw: bytes, settings: Settings, *, demo: bool, ack: bytes | None = None
) -> TrustStore:
    """Take the root's newest trust file, and with it the Ack key it states (32 private bytes).

    Same root, nothing that was held may be missing, and the newest Ack key stated must be the one
    sealed here: else the backend could not answer. Raises :class:`ConfigError`.
    """
    held = load_trust(folder, demo=demo).trust_file()
    try:
        new = TrustStore(TrustFile.parse(raw), allow_demo=demo)
    except (WireError, KeysError) as e:
        raise ConfigError(f"the trust file does not stand: {e}") from e
    file = new.trust_file()
    if (file.environment, file.root_key) != (held.environment, held.root_key):
        raise ConfigError("this trust file hangs from another root")
    if {*held.statements, *held.revocations} - {*file.statements, *file.revocations}:
        raise ConfigError("this trust file is older than the one held")
    store, passphrase = SealedStore(folder / KEYS), settings.passphrase()
    try:
        key = ack if ack is not None else store.load(ACK, passphrase)
        if Ed25519Signer.from_private_bytes(key).public_key != new.newest(KeyRole.ACK).public_key:
            raise ConfigError("the Ack key is not the newest one that the root states")
        if ack is not None:
            store.load(PEPPER, passphrase)  # both stay under one passphrase
            store.save(ACK, ack, passphrase, replace=True)
    except KeysError as e:
        raise ConfigError(f"the sealed keys do not open: {e}") from e
    write_private(folder / TRUST, raw)
    return new
