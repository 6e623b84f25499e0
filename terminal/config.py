"""A terminal's folder: config.json, sealed keys, trust file, journal and roster.

No secret stands in config.json (docs/adr/0004). The keys are sealed under the terminal's
passphrase, an officer's key under that officer's own; a wrong one is a
``keys.errors.PassphraseError``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keys.enrol import OfficerRequest, Provision, StationRequest
from keys.errors import NotDemoError
from keys.signer import Ed25519Signer, P256KeyAgreement, Signer
from keys.store import SealedStore, write_private
from keys.trust import TrustStore, check_demo
from terminal.carry import install_bundle
from terminal.engine import Engine, Officer
from terminal.errors import ConfigError, NotProvisionedError
from terminal.journal import Journal, Station
from terminal.outcomes import Event
from terminal.roster import Roster
from terminal.store import connect
from wire.chain import TrustFile
from wire.cose import Sign1
from wire.cvc import Role
from wire.env import Environment
from wire.errors import WireError
from wire.objects import Enrolment, StationKind

CONFIG, TRUST, ENROLMENT, KEYS = "config.json", "trust.cbor", "enrolment.cbor", "keys"
JOURNAL, ROSTER = "journal.sqlite", "roster.sqlite"
LOG_KEY, CHANNEL_KEY = "log", "channel"


class Config(BaseModel):
    """config.json. ``station``: 8 ASCII characters. ``reader``: a pattern, or socket:PATH."""

    model_config = ConfigDict(extra="forbid")
    station: Annotated[str, Field(pattern=r"^[\x21-\x7e]{8}$")]
    environment: Environment
    reader: str = ""
    printer: str = ""
    backend: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """A terminal ready to work."""

    engine: Engine
    config: Config
    enrolment: Enrolment
    log_key: Signer = field(repr=False)


class Folder:
    """One terminal's data folder. ``demo``: the program was started with ``--demo``."""

    def __init__(self, path: Path, *, demo: bool, log_n: int | None = None) -> None:
        self.path, self._demo = path, demo
        store = path / KEYS
        self._store = SealedStore(store) if log_n is None else SealedStore(store, log_n=log_n)

    # --- making ----------------------------------------------------------------------------------

    def create(
        self, config: Config, passphrase: str, random: Callable[[int], bytes]
    ) -> StationRequest:
        """Make the folder and the station's own keys; the request for the office.

        :class:`ConfigError` when a terminal is there; the environment as :meth:`config`.
        """
        self._check_world(config.environment)
        if (self.path / CONFIG).exists():
            raise ConfigError(f"{self.path} holds a terminal already; it was left as it is")
        log_key, channel_key = Ed25519Signer.generate(random), P256KeyAgreement.generate(random)
        # Keys without config.json are what a power cut left: no request of theirs was given out.
        is_unused = not any((self.path / name).exists() for name in (ENROLMENT, JOURNAL))
        self._store.save(LOG_KEY, log_key.private_bytes(), passphrase, replace=is_unused)
        self._store.save(CHANNEL_KEY, channel_key.private_bytes(), passphrase, replace=is_unused)
        self._write(CONFIG, config.model_dump_json(indent=1).encode() + b"\n")
        return self.request(passphrase)

    def request(self, passphrase: str) -> StationRequest:
        """The station's request: enrolment and certificate (again for a renewal)."""
        config = self.config()
        return StationRequest.make(
            config.environment, config.station.encode(), StationKind.TERMINAL,
            self._log_key(passphrase), self._channel_key(passphrase),
        )  # fmt: skip

    def make_officer(
        self, role: Role, number: int, passphrase: str, random: Callable[[int], bytes]
    ) -> OfficerRequest:
        """A key for an officer at this terminal, sealed by their passphrase; the request.

        Again, with the same passphrase, it is the request of the same key: the first one may have
        been lost in a power cut after the key was kept.
        """
        config, name = self.config(), _officer_name(role, number)
        if self._store.exists(name):
            key = P256KeyAgreement.from_private_bytes(self._store.load(name, passphrase))
        else:
            key = P256KeyAgreement.generate(random)
            self._store.save(name, key.private_bytes(), passphrase)
        station = config.station.encode()
        return OfficerRequest.make(config.environment, station, role, number, key)

    def officer(self, role: Role, number: int, passphrase: str) -> Officer:
        """The officer's key, unlocked; :class:`keys.errors.StoreError` when this holds none."""
        raw = self._store.load(_officer_name(role, number), passphrase)
        return Officer(number, P256KeyAgreement.from_private_bytes(raw))

    def provision(self, raw: bytes, passphrase: str) -> None:
        """Install what the office sent back; doing it again with the same file is harmless.

        Raises :class:`ConfigError` unless the enrolment is for this station and its log key,
        ``keys.errors.TrustError`` when it does not stand, and as :func:`install_bundle`.
        """
        config = self.config()
        try:
            answer = Provision.parse(raw)
            trust_file = TrustFile.parse(answer.trust)
            held = self.path / ENROLMENT
            own = held.read_bytes() if held.exists() else b""
            trust, enrolment = _enrolled(trust_file, answer.enrolment, own, demo=self._demo)
        except WireError as e:
            raise ConfigError(f"the provision file is not valid: {e}") from e
        mine = (config.station.encode(), self._log_key(passphrase).public_key)
        if (enrolment.station, enrolment.log_key) != mine or trust.env != config.environment:
            raise ConfigError("the provision file is for another station")
        if own and own != answer.enrolment:
            raise ConfigError("this folder is enrolled already; a new enrolment needs a new one")
        self._write(TRUST, answer.trust)
        self._write(ENROLMENT, answer.enrolment)
        opened = self.open(passphrase, clock=lambda: 0, random=os.urandom, boot=False)
        opened.engine.roster.provision(answer.certificates, answer.links)
        if answer.bundle:
            install_bundle(opened.engine, answer.bundle)

    # --- opening ---------------------------------------------------------------------------------

    def config(self) -> Config:
        """config.json; :class:`NotProvisionedError` without one, :class:`ConfigError`.

        ``keys.errors.DemoRefusedError`` and :class:`NotDemoError` when ``--demo`` does not fit.
        """
        try:
            config = Config.model_validate_json((self.path / CONFIG).read_bytes())
        except OSError as e:
            raise NotProvisionedError(f"no terminal in {self.path}") from e
        except ValidationError as e:
            raise ConfigError(f"{CONFIG} cannot be used: {e.error_count()} faults") from e
        self._check_world(config.environment)
        return config

    def open(
        self, passphrase: str, *, clock: Callable[[], int], random: Callable[[int], bytes],
        emit: Callable[[Event], None] | None = None, boot: bool = True,
    ) -> Opened:  # fmt: skip
        """Journal, roster and engine; ``boot`` writes BOOT and whatever SYNC is due.

        ``clock``: Unix seconds. Raises as :meth:`config`, :class:`NotProvisionedError` before
        :meth:`provision`, and :class:`terminal.errors.JournalError` and its kinds.
        """
        config = self.config()
        try:
            signed = Sign1.parse((self.path / ENROLMENT).read_bytes())
            trust = TrustFile.parse((self.path / TRUST).read_bytes())
        except OSError as e:
            raise NotProvisionedError("not provisioned yet") from e
        station = config.station.encode()
        roster = Roster(
            connect(self.path / ROSTER), station=station, trust=trust, allow_demo=self._demo
        )
        held = roster.trust.trust_file()
        _, enrolment = _enrolled(held, signed.raw, signed.raw, demo=self._demo)
        journal = Journal(
            connect(self.path / JOURNAL), Station(station, config.environment, signed.hash)
        )
        engine = Engine(
            journal, roster, channel_key=self._channel_key(passphrase), clock=clock,
            random=random, emit=emit or (lambda _: None),
        )  # fmt: skip
        if boot:
            engine.start()
        return Opened(engine, config, enrolment, self._log_key(passphrase))

    # --- inside ----------------------------------------------------------------------------------

    def _check_world(self, env: Environment) -> None:
        check_demo(env, allow_demo=self._demo)
        if self._demo and not env.is_demo:
            raise NotDemoError("a genuine terminal; start it without --demo")

    def _write(self, name: str, data: bytes) -> None:
        try:
            write_private(self.path / name, data)
        except OSError as e:
            raise ConfigError(f"{name} could not be written: {e}") from e

    def _log_key(self, passphrase: str) -> Ed25519Signer:
        return Ed25519Signer.from_private_bytes(self._store.load(LOG_KEY, passphrase))

    def _channel_key(self, passphrase: str) -> P256KeyAgreement:
        return P256KeyAgreement.from_private_bytes(self._store.load(CHANNEL_KEY, passphrase))


def _enrolled(
    trust_file: TrustFile, raw: bytes, own: bytes, *, demo: bool
) -> tuple[TrustStore, Enrolment]:
    """The trust store and the enrolment under it.

    ``own``, the enrolment taken here before, outlives its Registry key: it was judged when it
    came, and a terminal that refused it later would keep its log from the backend.
    """
    trust = TrustStore(trust_file, allow_demo=demo, covered=lambda _, __: bool(own) and raw == own)
    return trust, trust.verify(Enrolment, raw)


def _officer_name(role: Role, number: int) -> str:
    if role not in {Role.SUPERVISOR, Role.HANDOVER} or number < 1:
        raise ConfigError("an officer is supervisor or handover, with a number")
    return f"officer-{role.name.lower()}-{number}"
