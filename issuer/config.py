"""A desk's folder: config.json, its sealed log key, trust file, links, log and orders, mail.

No secret stands in config.json, and no card management key anywhere here (docs/desk.md#folder,
docs/adr/0004).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from issuer.desklog import DeskLog, Station
from issuer.errors import ConfigError, NotProvisionedError
from issuer.evidence import EvidenceBook
from issuer.mail import MailRoom, check_recipient
from issuer.orders import OrderBook
from issuer.store import connect
from issuer.tally import Tally
from keys.enrol import Provision, StationRequest
from keys.errors import KeysError, NotDemoError
from keys.signer import Ed25519Signer
from keys.store import SealedStore, write_private
from keys.trust import TrustStore, check_demo
from wire import cbor, cvc, log
from wire.chain import TrustFile
from wire.cose import Sign1
from wire.env import Environment
from wire.errors import WireError
from wire.objects import Enrolment, StationKind

CONFIG, TRUST, ENROLMENT, LINKS = "config.json", "trust.cbor", "enrolment.cbor", "links.cbor"
DATABASE, KEYS, MAIL, LOG_KEY = "desk.sqlite", "keys", "mail", "log"
SOFTWARE = "betang-issuer 0.1"


class Config(BaseModel):
    """config.json. ``reader``: a pattern, or socket:ADDRESS. ``mail``: a folder, "" for ours."""

    model_config = ConfigDict(extra="forbid")
    station: Annotated[str, Field(pattern=r"^[\x21-\x7e]{8}$")]
    environment: Environment
    mail_recipient: str
    mail: str = ""
    reader: str = ""
    backend: str = ""
    key_service: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """A desk's folder, opened: what needs neither key service nor passphrase."""

    config: Config
    trust: TrustStore
    links: tuple[cvc.Certificate, ...]
    log: DeskLog
    book: OrderBook
    mail: MailRoom
    clock: Callable[[], int]
    tally: Tally
    evidence: EvidenceBook

    @property
    def station(self) -> bytes:
        """The desk's id."""
        return self.config.station.encode()


class Folder:
    """One desk's data folder. ``demo``: the program was started with ``--demo``."""

    def __init__(self, path: Path, *, demo: bool, log_n: int | None = None) -> None:
        self.path, self._demo = path, demo
        store = path / KEYS
        self._store = SealedStore(store) if log_n is None else SealedStore(store, log_n=log_n)

    def create(
        self, config: Config, passphrase: str, random: Callable[[int], bytes]
    ) -> StationRequest:
        """Make the folder and the desk's log key; the request for the office.

        :class:`ConfigError` when a desk is there, :class:`issuer.errors.MailError` for a
        recipient that is none; the environment as :meth:`config`.
        """
        self._check_world(config.environment)
        check_recipient(config.mail_recipient)
        if (self.path / CONFIG).exists():
            raise ConfigError(f"{self.path} holds a desk already; it was left as it is")
        key = Ed25519Signer.generate(random)
        self._store.save(LOG_KEY, key.private_bytes(), passphrase)
        self._write(CONFIG, config.model_dump_json(indent=1).encode() + b"\n")
        return self.request(passphrase)

    def request(self, passphrase: str) -> StationRequest:
        """The desk's request to be enrolled."""
        config = self.config()
        return StationRequest.make(
            config.environment, config.station.encode(), StationKind.DESK,
            self.log_key(passphrase),
        )  # fmt: skip

    def provision(self, raw: bytes, passphrase: str) -> None:
        """Install what the office sent back; again is harmless, and renews trust and links.

        1. trust; 2. enrolment of this desk and its log key; 3. links; 4. kept. Raises
        :class:`ConfigError`.
        """
        config = self.config()
        try:
            answer = Provision.parse(raw)
            trust = TrustStore(TrustFile.parse(answer.trust), allow_demo=self._demo)  # 1
            held = self.path / ENROLMENT
            own = held.read_bytes() if held.exists() else b""
            enrolment = _enrolled(trust, answer.enrolment, own)
            _check_links(trust, answer.links)  # 3
        except (WireError, KeysError) as e:
            raise ConfigError(f"the provision file is not valid: {e}") from e
        mine = (config.station.encode(), StationKind.DESK, self.log_key(passphrase).public_key)
        named = (enrolment.station, enrolment.kind, enrolment.log_key)
        if named != mine or trust.env != config.environment:  # 2
            raise ConfigError("the provision file is for another station")
        if own and Sign1.parse(own).hash != Sign1.parse(answer.enrolment).hash:
            raise ConfigError("this folder is enrolled already; a new enrolment needs a new one")
        self._write(LINKS, cbor.encode_sequence([*answer.links]))  # 4
        self._write(TRUST, answer.trust)
        self._write(ENROLMENT, answer.enrolment)

    def config(self) -> Config:
        """config.json; :class:`NotProvisionedError` without one, :class:`ConfigError`.

        ``keys.errors.DemoRefusedError`` and :class:`NotDemoError` when ``--demo`` does not fit.
        """
        try:
            config = Config.model_validate_json((self.path / CONFIG).read_bytes())
        except OSError as e:
            raise NotProvisionedError(f"no desk in {self.path}") from e
        except ValidationError as e:
            raise ConfigError(f"{CONFIG} cannot be used: {e.error_count()} faults") from e
        self._check_world(config.environment)
        return config

    def open(self, clock: Callable[[], int], *, boot: bool = True) -> Opened:
        """The desk's log and orders; ``boot`` writes BOOT. Needs no passphrase.

        ``clock``: Unix seconds. :class:`NotProvisionedError` before :meth:`provision`,
        :class:`ConfigError` for a trust file of another environment or links that lack a kind,
        ``keys.errors.TrustError`` for what no longer stands, ``LogError`` of the store.
        """
        config = self.config()
        try:
            enrolled = Sign1.parse((self.path / ENROLMENT).read_bytes())
            trust_file = TrustFile.parse((self.path / TRUST).read_bytes())
            raws = list(cbor.decode_sequence((self.path / LINKS).read_bytes()))
        except OSError as e:
            raise NotProvisionedError("not provisioned yet") from e
        trust = TrustStore(trust_file, allow_demo=self._demo)
        if trust.env != config.environment:
            raise ConfigError("the trust file is of another environment than config.json")
        _enrolled(trust, enrolled.raw, enrolled.raw)
        links = _check_links(trust, raws)
        db = connect(self.path / DATABASE)
        station = config.station.encode()
        desk_log = DeskLog(db, Station(station, config.environment, enrolled.hash))
        mail_path = Path(config.mail) if config.mail else self.path / MAIL
        mail = MailRoom(mail_path, config.mail_recipient, config.environment)
        if boot:
            desk_log.append(clock(), log.Boot(SOFTWARE))
        book = OrderBook(db, trust, station, clock)
        return Opened(config, trust, links, desk_log, book, mail, clock, Tally(db),
                      EvidenceBook(db, trust))  # fmt: skip

    def log_key(self, passphrase: str) -> Ed25519Signer:
        """The desk's log key, unlocked for one upload or request; ``PassphraseError``."""
        return Ed25519Signer.from_private_bytes(self._store.load(LOG_KEY, passphrase))

    def _check_world(self, env: Environment) -> None:
        check_demo(env, allow_demo=self._demo)
        if self._demo and not env.is_demo:
            raise NotDemoError("a genuine desk; start it without --demo")

    def _write(self, name: str, data: bytes) -> None:
        try:
            write_private(self.path / name, data)
        except OSError as e:
            raise ConfigError(f"{name} could not be written: {e}") from e


def _enrolled(trust: TrustStore, raw: bytes, own: bytes) -> Enrolment:
    """The enrolment; ``own``, taken here before, outlives its Registry key: it was judged then."""
    if own and raw == own:
        trust = TrustStore(trust.trust_file(), allow_demo=trust.env.is_demo,
                           covered=lambda _, __: True)  # fmt: skip
    return trust.verify(Enrolment, raw)


def _check_links(
    trust: TrustStore, raws: list[bytes] | tuple[bytes, ...]
) -> tuple[cvc.Certificate, ...]:
    """The links, each by the root and fitting the key statements; both kinds must be there."""
    links = tuple(trust.link(cvc.Certificate.parse(raw)) for raw in raws)
    kinds = {cvc.CaId.parse(each.subject).kind for each in links}
    if kinds != {cvc.CaKind.TERMINAL_CA, cvc.CaKind.ISSUER}:
        raise ConfigError("a desk needs links for the terminal CA and for the issuer")
    return links
