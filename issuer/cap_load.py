"""Loading the applet onto a blank card, under the maker's transport keys (docs/cards.md).

Resumable by doing what is missing: a load is whole or not there (the card drops half a one), and an
instance is always made anew, as at the desk. So a card pulled at any command reaches the same end
when the program is run again. A card that holds our own keys is never touched.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from card_os.host import commands, errors
from card_os.host.links import Link, LinkError
from card_os.host.opening import select_purse
from card_os.host.security_domain import (
    ContentEntry,
    LocalChannel,
    Scope,
    SecurityDomainSession,
)
from issuer.cap import CapFile
from issuer.cardwork import MODULE_AID
from issuer.errors import CapFormatError, ProfileError
from issuer.outcomes import Outcome
from issuer.probe import Lack, examine, fit
from issuer.profiles import NEEDED_DATA_BYTES, Profile
from keys.cardsession import OWN_KVN, ChipKeySource
from keys.errors import StockError
from keys.kdf import StaticKeys
from keys.scp03 import InitializeUpdateAnswer
from keys.securechannel import CryptogramError, ParameterError, SecureChannelError
from wire import tlv
from wire.env import PACKAGE_AID, Environment, purse_aid
from wire.purse import InstallParameters

MAX_BLOCKS = 256  # a block number is one byte (GPCS, LOAD)
INITIAL_KVN = 0xFF  # a maker's first set: asked for as "the default", P1 00 (GPCS, PUT KEY)
_SELECTABLE = 0x07
# Minor version of javacard.framework 1.x → the Java Card that brought it.
_FRAMEWORK = bytes.fromhex("A0000000620101")
_JAVA_CARD = {
    0: (2, 1, 0), 1: (2, 2, 0), 2: (2, 2, 1), 3: (2, 2, 2), 4: (3, 0, 1), 5: (3, 0, 4),
    6: (3, 0, 5), 7: (3, 1, 0), 8: (3, 1, 0), 9: (3, 2, 0),
}  # fmt: skip


class LoadStep(StrEnum):
    """How far a load came; a key of :data:`issuer.cap_messages.STEPS`."""

    PROBED = "probed"
    OPENED = "opened"
    DELETED = "deleted"
    LOADING = "loading"
    LOADED = "loaded"
    INSTALLED = "installed"
    VERIFIED = "verified"


class Hitch(StrEnum):
    """Why nothing was loaded; the card is as it was."""

    OTHER_CARD = "other-card"
    LACKS = "lacks"
    CHANNEL = "channel"
    CONTENT = "content"
    NO_KEYS = "no-keys"


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """The load has come to ``step``; ``done`` of ``total`` bytes while LOADING."""

    step: LoadStep
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class AppletLoaded(Outcome):
    """Loaded, installed and found again after a power-up. ``found``: the package was there."""

    package: bytes
    instance: bytes
    found: bool

    @property
    def is_good(self) -> bool:
        """True."""
        return True


@dataclass(frozen=True, slots=True)
class NotLoaded(Outcome):
    """Nothing on the card was changed."""

    reason: Hitch
    detail: str


@dataclass(frozen=True, slots=True)
class WrongTransportKeys(Outcome):
    """The card does not know these keys. ``counted``: the card itself refused, and counted it.

    One try was made and none will follow: a card that has counted its tries out is dead for ever.
    """

    counted: bool
    detail: str

    @property
    def key(self) -> str:
        """The name of its message."""
        return f"WrongTransportKeys.{'counted' if self.counted else 'seen'}"


@dataclass(frozen=True, slots=True)
class LoadInterrupted(Outcome):
    """The card left after ``step``; put it in again and run the same command."""

    step: LoadStep | None
    detail: str

    @property
    def can_retry(self) -> bool:
        """True."""
        return True


@dataclass(frozen=True, slots=True)
class LoadFailed(Outcome):
    """The card refused, or answered what it must not, after ``step``."""

    step: LoadStep | None
    detail: str


@dataclass(frozen=True, slots=True)
class Planned:
    """One line of a plan: commands of that kind, and the bytes of data they carry."""

    command: str
    count: int
    data_bytes: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is put on which card. ``replace``: an older load file is deleted first."""

    profile: Profile
    cap: CapFile
    env: Environment
    root_key: bytes
    replace: bool = False

    def __post_init__(self) -> None:
        """Refuse what could not run there: :class:`CapFormatError`, :class:`ProfileError`."""
        _check_cap(self.cap)
        lacks = self.profile.chip_lacks(len(self.cap.load_file))
        if lacks:
            raise ProfileError(f"the purse cannot run on {self.profile.product}: {lacks[0]}")
        if self.needs_java_card > self.profile.chip.java_card:
            needs = ".".join(map(str, self.needs_java_card))
            raise CapFormatError(f"converted for Java Card {needs}, newer than the card's")
        if self.blocks > MAX_BLOCKS:
            raise ProfileError(f"{self.blocks} blocks: more than {MAX_BLOCKS}")

    @property
    def instance(self) -> bytes:
        """The AID of the purse of this world."""
        return purse_aid(self.env)

    @property
    def parameters(self) -> bytes:
        """The trust anchors: the value of C9 (card_os/SPEC.md#trust-on-the-card)."""
        return bytes(InstallParameters(self.env, self.root_key))

    @property
    def digest(self) -> bytes:
        """The load file's hash as the profile has it, b"" for none."""
        kind, data = self.profile.load.hash, self.cap.load_file
        if kind == "sha-256":
            return hashlib.sha256(data).digest()
        # SHA-1 guards nothing here: the C-MAC does. GP 2.1 cards know no other.
        return hashlib.sha1(data, usedforsecurity=False).digest() if kind == "sha-1" else b""

    @property
    def blocks(self) -> int:
        """How many LOAD commands."""
        return -(-len(tlv.encode(0xC4, self.cap.load_file)) // self.profile.load.block_bytes)

    @property
    def needs_java_card(self) -> tuple[int, int, int]:
        """The oldest Java Card that has the framework the load file imports."""
        minors = [x.version[1] for x in self.cap.imports if x.aid == _FRAMEWORK]
        return max((_JAVA_CARD.get(minor, (99, 0, 0)) for minor in minors), default=(2, 1, 0))

    def commands(self) -> tuple[Planned, ...]:
        """What would be sent, in order; nothing is."""
        channel, cap = self.profile.channel, self.cap
        length = len(tlv.encode(0xC4, cap.load_file))
        found = "what is there of ours" if self.replace else f"{self.instance.hex()}, if there"
        return (
            Planned("SELECT, GET DATA", 1, 0, f"is it a {self.profile.product}?"),
            Planned("SELECT", 1, len(channel.isd_aid), channel.isd_aid.hex()),
            Planned("INITIALIZE UPDATE", 1, channel.options.field_bytes, f"keys {channel.kvn:02X}"),
            Planned("EXTERNAL AUTHENTICATE", 1, 2 * channel.options.field_bytes,
                    f"level {channel.level:02X}; only if the card's cryptogram is right"),
            Planned("GET DATA", 1, 0, "no keys of ours among its own?"),
            Planned("GET STATUS", 2, 2 + len(cap.package), cap.package.hex()),
            Planned("DELETE", 1, 2 + len(self.instance), found),
            Planned("INSTALL [for load]", 1, 5 + len(cap.package) + len(channel.isd_aid)
                    + len(self.digest), cap.package.hex()),
            Planned("LOAD", self.blocks, length, f"{self.profile.load.block_bytes} bytes a block"),
            Planned("INSTALL [for install]", 1, len(self.parameters), self.instance.hex()),
            Planned("GET STATUS", 2, 2 + len(cap.package), "is it listed?"),
            Planned("SELECT", 1, len(self.instance), "after a power cut"),
        )  # fmt: skip


def _check_cap(cap: CapFile) -> None:
    if cap.package != PACKAGE_AID or MODULE_AID not in cap.applets:
        raise CapFormatError(f"package {cap.package.hex()} is not the purse")
    if cap.needs_int:
        raise CapFormatError("it needs 32-bit integers, which the purse does without")


def _opening_refused(e: errors.CardRefusedError | errors.UnexpectedStatusError) -> Outcome:
    """Whatever the card answers to the proof itself, it has counted it."""
    proof = commands.EXTERNAL_AUTHENTICATE.name
    if e.command == proof or isinstance(e, errors.KeyBlockedError):
        return WrongTransportKeys(counted=True, detail=str(e))
    return NotLoaded(Hitch.CHANNEL, str(e))


def _nothing(_: LoadProgress) -> None:
    """No one listens."""


@dataclass(slots=True)
class Loader:
    """One card's load. ``keys``: the maker's; :meth:`run` makes one try with them, ever."""

    plan: Plan
    keys: ChipKeySource = field(repr=False)
    random: Callable[[int], bytes] = field(repr=False)
    emit: Callable[[LoadProgress], None] = _nothing
    _step: LoadStep | None = None
    _free_bytes: int | None = None

    def run(self, link: Link) -> Outcome:
        """Load the card on the link, which stays with its owner; every end is an outcome.

        1. is it the profile's card; 2. one try with the keys; 3. load, install; 4. power cut, and
        what it holds is looked at again from outside.
        """
        self._step = None
        try:
            refused = self._look(link)  # 1
            if refused is not None:
                return refused
            with self._open(link) as domain:  # 2
                self._reach(LoadStep.OPENED)
                found = self._content(domain)  # 3
            self._verify(link)  # 4
        except _StopError as e:
            return e.outcome
        except (LinkError, errors.MuteCardError) as e:
            return LoadInterrupted(self._step, str(e))
        except (errors.CardError, SecureChannelError) as e:
            return LoadFailed(self._step, str(e))
        self._reach(LoadStep.VERIFIED)
        return AppletLoaded(self.plan.cap.package, self.plan.instance, found)

    def _reach(self, step: LoadStep, done: int = 0, total: int = 0) -> None:
        self._step = step
        self.emit(LoadProgress(step, done, total))

    # --- 1 -------------------------------------------------------------------------------------

    def _look(self, link: Link) -> Outcome | None:
        profile = self.plan.profile
        probe = examine(link, (profile.channel.isd_aid,))
        fits = fit(probe, profile)
        if not fits.is_product:
            told = probe.cplc[:6].hex() or probe.atr.hex()
            return NotLoaded(Hitch.OTHER_CARD, f"{profile.product}: {told}")
        # Memory is judged when the card's content is known: what is there already needs no more.
        self._free_bytes = probe.free_bytes
        stops = [m for m in fits.lacks if m.lack.stops_load and m.lack is not Lack.MEMORY]
        if stops:
            return NotLoaded(Hitch.LACKS, "; ".join(f"{m.lack} {m.detail}".strip() for m in stops))
        self._reach(LoadStep.PROBED)
        return None

    # --- 2 -------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _open(self, link: Link) -> Iterator[SecurityDomainSession]:
        """One try. Wrong keys show at the card's cryptogram, before it is asked to count one."""
        channel = self.plan.profile.channel
        local = LocalChannel(
            self._keys_for, self.random, kvn=0 if channel.kvn == INITIAL_KVN else channel.kvn,
            aid=channel.isd_aid, level=channel.level, s16=channel.options.s16,
        )  # fmt: skip
        try:
            session = SecurityDomainSession(link, local, aid=channel.isd_aid)
        except CryptogramError as e:
            raise _StopError(WrongTransportKeys(counted=False, detail=str(e))) from e
        except (errors.CardRefusedError, errors.UnexpectedStatusError) as e:
            raise _StopError(_opening_refused(e)) from e
        except ParameterError as e:
            raise _StopError(NotLoaded(Hitch.CHANNEL, str(e))) from e
        with session:
            yield session

    def _keys_for(self, answer: InitializeUpdateAnswer) -> StaticKeys:
        """The maker's keys for the card that named itself; nothing was counted until here."""
        channel = self.plan.profile.channel
        if answer.kvn != channel.kvn or self.keys.kvn not in {0, answer.kvn}:
            raise ParameterError(f"the card answers with keys {answer.kvn:02X}")
        try:
            keys = self.keys.keys(answer.kdd)
        except StockError as e:
            raise _StopError(NotLoaded(Hitch.NO_KEYS, answer.kdd.hex())) from e
        if len(keys.enc) not in channel.key_bytes:
            raise ParameterError(f"keys of {len(keys.enc)} bytes")
        return keys

    # --- 3 -------------------------------------------------------------------------------------

    def _content(self, domain: SecurityDomainSession) -> bool:
        """Whether the package was there already; afterwards it is, with our instance alone."""
        plan = self.plan
        package = plan.cap.package
        self._check_keys(domain)
        files = {e.aid: e for e in domain.get_status(Scope.LOAD_FILES, package)}
        instances = [e.aid for e in domain.get_status(Scope.APPLICATIONS, package)]
        there = files.get(package)
        self._check_replace(there, instances)
        self._check_memory(there, instances)
        found = there is not None and not plan.replace
        for aid in instances:
            domain.delete(aid)
        if there is not None and not found:
            domain.delete(package, related=True)
        if instances or (there is not None and not found):
            self._reach(LoadStep.DELETED)
        if not found:
            self._load(domain)
        domain.install_for_install(package, MODULE_AID, plan.instance, plan.parameters)
        self._reach(LoadStep.INSTALLED)
        self._check_there(domain)
        return found

    def _check_there(self, domain: SecurityDomainSession) -> None:
        """The card must list what it said it took."""
        package, instance = self.plan.cap.package, self.plan.instance
        files = [e.aid for e in domain.get_status(Scope.LOAD_FILES, package)]
        lives = {e.aid: e.life for e in domain.get_status(Scope.APPLICATIONS, package)}
        if package not in files or lives != {instance: _SELECTABLE}:
            raise _StopError(LoadFailed(self._step, "the card does not list what it took"))

    def _check_memory(self, there: ContentEntry | None, instances: list[bytes]) -> None:
        """What is there already, or is deleted first, needs no further place."""
        needs = 0 if instances else NEEDED_DATA_BYTES
        needs += 0 if there is not None else len(self.plan.cap.load_file)
        if self._free_bytes is not None and self._free_bytes < needs:
            detail = f"{Lack.MEMORY} {needs} bytes of {self._free_bytes}"
            raise _StopError(NotLoaded(Hitch.LACKS, detail))

    @staticmethod
    def _check_keys(domain: SecurityDomainSession) -> None:
        """Once more, now that the card may tell: beside our own keys there may be a made purse."""
        try:
            versions = {key.kvn for key in domain.key_information()}
        except errors.CardRefusedError:
            return  # it tells nobody
        if OWN_KVN in versions:
            raise _StopError(NotLoaded(Hitch.LACKS, f"{Lack.OWN_KEYS} {OWN_KVN:02X}"))

    def _check_replace(self, there: ContentEntry | None, instances: list[bytes]) -> None:
        """Without ``replace`` only our own instance goes, and only the same version stays.

        Under transport keys an instance holds nothing: cards are made under our own keys.
        """
        plan = self.plan
        if plan.replace:
            return
        others = [aid.hex() for aid in instances if aid != plan.instance]
        if there is not None and there.version not in {b"", bytes(plan.cap.version)}:
            others.append("version " + ".".join(map(str, there.version)))
        if others:
            raise _StopError(NotLoaded(Hitch.CONTENT, ", ".join(others)))

    def _load(self, domain: SecurityDomainSession) -> None:
        plan = self.plan
        total = len(tlv.encode(0xC4, plan.cap.load_file))
        domain.install_for_load(plan.cap.package, digest=plan.digest)
        self._reach(LoadStep.LOADING, 0, total)
        block_bytes = plan.profile.load.block_bytes
        for done in domain.load(plan.cap.load_file, block_bytes=block_bytes):
            self._reach(LoadStep.LOADING, done, total)
        self._reach(LoadStep.LOADED)

    # --- 4 -------------------------------------------------------------------------------------

    def _verify(self, link: Link) -> None:
        """After a power cut: the purse of our world answers SELECT, as any terminal finds it."""
        link.reset()
        select_purse(link, self.plan.env)


class _StopError(Exception):
    """The load ends here with this outcome; it is no error of the program."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.key)
        self.outcome = outcome
