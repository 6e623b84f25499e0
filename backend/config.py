"""What a backend's data folder says: settings that are no secrets, and the keys beside them.

``config.json`` holds the settings; ``trust.cbor`` the trust file; ``keys/`` the sealed Ack key and
pepper; ``backend.sqlite`` the database, unless ``BETANG_DATABASE_URL`` names another. Passphrases
come from the environment or from files that only their owner reads, never from config.json
(docs/adr/0004).
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend.clock import Clock
from backend.db import Database, connect, sqlite_url
from backend.errors import ConfigError
from backend.office import Office
from backend.signing import Authority, KeyVerbs, NoAuthority, TwoPeople
from keys.errors import KeysError
from keys.exchange import Exchange
from keys.signer import Ed25519Signer, Signer
from keys.store import SealedStore, write_private
from keys.trust import TrustStore
from wire.chain import TrustFile
from wire.errors import WireError
from wire.objects import KeyRole

CONFIG, TRUST, KEYS = "config.json", "trust.cbor", "keys"
ACK, PEPPER = "ack", "pepper"
PEPPER_BYTES = 32
POLL_S = 0.02
TURN_MARGIN_S = 60


class Config(BaseModel):
    """config.json."""

    model_config = ConfigDict(extra="forbid")
    epoch: Annotated[int, Field(gt=0)] = 1
    key_service: str = ""
    """Socket of the key service (path), empty when this backend only ingests and reads."""
    approvals: str = ""
    """Folder in which two people are asked (path); empty when nothing here needs them."""
    approval_wait_s: Annotated[int, Field(gt=0, le=86_400)] = 60
    """How long a job waits for both before it gives up; it can be run again."""
    listen: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8620


def _environment(name: str) -> str:
    return os.environ.get(f"BETANG_{name}", "")


class Settings(BaseModel):
    """From the environment: where the database is, and what opens the sealed keys."""

    database_url: str = Field(default_factory=lambda: _environment("DATABASE_URL"))
    backend_passphrase: str = Field(
        default_factory=lambda: _environment("BACKEND_PASSPHRASE"), repr=False
    )
    backend_passphrase_file: str = Field(
        default_factory=lambda: _environment("BACKEND_PASSPHRASE_FILE")
    )

    def passphrase(self) -> str:
        """What unseals the backend's own keys."""
        if self.backend_passphrase_file:
            return read_passphrase(Path(self.backend_passphrase_file))
        return self.backend_passphrase


def read_passphrase(path: Path) -> str:
    """The first line of a file; :class:`ConfigError` when it cannot be read."""
    try:
        return path.read_text("utf-8").split("\n", 1)[0]
    except OSError as e:
        raise ConfigError(f"passphrase file {path} cannot be read") from e


def load_config(folder: Path) -> Config:
    """config.json of a data folder; :class:`ConfigError`."""
    try:
        return Config.model_validate_json((folder / CONFIG).read_bytes())
    except (OSError, ValidationError) as e:
        raise ConfigError(f"{folder / CONFIG} cannot be used: {type(e).__name__}") from e


def load_trust(folder: Path, *, demo: bool) -> TrustStore:
    """The trust store of a data folder; a DEMO root only with ``demo``, and only that then.

    :class:`ConfigError`.
    """
    try:
        trust = TrustStore(TrustFile.parse((folder / TRUST).read_bytes()), allow_demo=demo)
    except (OSError, WireError, KeysError) as e:
        raise ConfigError(f"{folder / TRUST}: {e}") from e
    if demo and not trust.env.is_demo:
        raise ConfigError("--demo, but this trust file is not a demonstration's")
    return trust


def initialise(folder: Path, trust: bytes, ack: bytes, config: Config, passphrase: str) -> None:
    """Make a data folder: config, trust file, Ack key (32 bytes) and a new pepper, sealed.

    :class:`ConfigError` when there is one already.
    """
    if (folder / CONFIG).exists():
        raise ConfigError(f"{folder} is a backend's already; it was left as it is")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = SealedStore(folder / KEYS)
    store.save(ACK, ack, passphrase)
    store.save(PEPPER, os.urandom(PEPPER_BYTES), passphrase)
    (folder / TRUST).write_bytes(trust)
    write_private(folder / CONFIG, config.model_dump_json(indent=1).encode())


class Sealed:
    """The Ack key (a :class:`keys.signer.Signer`) and the pepper, each unsealed at its first use.

    Opening a seal is slow on purpose, and most commands need only one of the two or neither.
    Raises :class:`ConfigError`.
    """

    def __init__(self, store: SealedStore, settings: Settings, public_key: bytes) -> None:
        self._store, self._settings = store, settings
        self.public_key = public_key
        self._ack: Signer | None = None
        self._pepper: bytes | None = None

    def open(self) -> Signer:
        """The Ack key, if it is the one that the root states; else :class:`ConfigError`."""
        if self._ack is None:
            ack = Ed25519Signer.from_private_bytes(self._load(ACK))
            if ack.public_key != self.public_key:
                raise ConfigError("the Ack key is not the one the root states")
            self._ack = ack
        return self._ack

    def sign(self, message: bytes) -> bytes:
        """By the Ack key."""
        return self.open().sign(message)

    def pepper(self) -> bytes:
        """What makes pseudonyms, 32 bytes (docs/import.md)."""
        if self._pepper is None:
            self._pepper = self._load(PEPPER)
        return self._pepper

    def _load(self, name: str) -> bytes:
        try:
            return self._store.load(name, self._settings.passphrase())
        except KeysError as e:
            raise ConfigError(f"the sealed keys do not open: {e}") from e


def database(folder: Path, settings: Settings, config: Config) -> Database:
    """The database of a data folder, or the one the setting names.

    A job waits for another's turn as long as that may wait for its two people, and a minute.
    """
    engine = connect(settings.database_url or sqlite_url(folder))
    return Database(engine, config.approval_wait_s + TURN_MARGIN_S)


def open_office(
    folder: Path, settings: Settings, keys: KeyVerbs, clock: Clock, *, demo: bool,
    unseal: bool = True,
) -> Office:  # fmt: skip
    """The backend of a data folder, its database migrated.

    ``unseal``: open the Ack key now, so that a wrong passphrase is told before anything is done.
    :class:`ConfigError` for what of the folder cannot be used, ``BusyError`` and ``FullError`` of
    the database.
    """
    config, trust = load_config(folder), load_trust(folder, demo=demo)
    sealed = Sealed(SealedStore(folder / KEYS), settings, trust.newest(KeyRole.ACK).public_key)
    if unseal:
        sealed.open()
    db = database(folder, settings, config)
    db.found(trust.env, config.epoch)
    authority: Authority = NoAuthority()
    if config.approvals:
        authority = TwoPeople(trust.env, Exchange(Path(config.approvals)), clock,
                              lambda: time.sleep(POLL_S),
                              int(config.approval_wait_s / POLL_S))  # fmt: skip
    return Office(db, trust, keys, authority, sealed, clock, sealed.pepper)
