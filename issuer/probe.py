"""What a blank card is, by what it tells anyone, and which profile fits it.

SELECT and GET DATA alone are sent: no key is used, no try is taken, nothing is written. What the
purse needs of a card: docs/cards.md#what-the-purse-needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from card_os.host import commands
from card_os.host.links import Link
from card_os.host.opening import exchange
from card_os.host.security_domain import (
    KEY_TYPE_AES,
    DataObject,
    KeyInformation,
    get_data_clear,
    key_information,
)
from issuer.profiles import NEEDED_DATA_BYTES, Profile
from keys.cardsession import OWN_KVN
from keys.scp03 import SCP_ID, Scp03Options
from keys.securechannel import ParameterError, SecurityLevel
from wire import tlv
from wire.errors import FormatError
from wire.purse import Sw

CPLC_BYTES = 42
SW_LOCKED = 0x6283  # SELECT of a locked card (GPCS, SELECT)
_GP_OID = bytes.fromhex("2A864886FC6B")  # 1.2.840.114283, GPCS, card recognition data
_GP_VERSION, _GP_SCP = _GP_OID + b"\x02", _GP_OID + b"\x04"


class Lack(StrEnum):
    """What stands between a card of the product and the purse; a key of :mod:`cap_messages`."""

    NO_DOMAIN = "no-domain"
    LOCKED = "locked"
    CHIP = "chip"
    OWN_KEYS = "own-keys"
    OTHER_KEYS = "other-keys"
    NO_SCP03 = "no-scp03"
    OPTIONS = "options"
    KEY_LENGTH = "key-length"
    MEMORY = "memory"
    PERSONALISE = "personalise"

    @property
    def stops_load(self) -> bool:
        """Whether the applet cannot even be loaded."""
        return self is not Lack.PERSONALISE


class Untold(StrEnum):
    """What the card keeps to itself."""

    CPLC = "cplc"
    KEYS = "keys"
    CHANNEL = "channel"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Probe:
    """What one card told. ``isd`` None: no issuer security domain answered.

    ``cplc``, ``version`` are empty and ``keys``, ``channels``, ``free_bytes`` None where it is
    silent; ``channels`` are pairs of protocol and its parameter i.
    """

    atr: bytes
    isd: bytes | None
    locked: bool = False
    cplc: bytes = b""
    version: tuple[int, ...] = ()
    keys: tuple[KeyInformation, ...] | None = None
    channels: tuple[tuple[int, int], ...] | None = None
    free_bytes: int | None = None

    @property
    def untold(self) -> tuple[Untold, ...]:
        """What it kept to itself."""
        silent = {
            Untold.CPLC: not self.cplc, Untold.KEYS: self.keys is None,
            Untold.CHANNEL: self.channels is None, Untold.MEMORY: self.free_bytes is None,
        }  # fmt: skip
        return tuple(what for what, is_silent in silent.items() if is_silent)


@dataclass(frozen=True, slots=True)
class Missing:
    """One lack, and the figures behind it."""

    lack: Lack
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fit:
    """A profile against a card. ``is_product``: CPLC data, or else the ATR, are the product's."""

    profile: str
    is_product: bool
    lacks: tuple[Missing, ...]

    @property
    def can_load(self) -> bool:
        """Whether the applet may be loaded by this profile."""
        return self.is_product and not any(m.lack.stops_load for m in self.lacks)

    @property
    def is_whole(self) -> bool:
        """Whether nothing at all is missing, as far as the card tells."""
        return self.is_product and not self.lacks


def examine(link: Link, aids: Sequence[bytes] = ()) -> Probe:
    """Ask the card: the domain that answers SELECT without a name, else the first of ``aids``.

    Raises ``links.LinkError`` and ``errors.ProtocolError``.
    """
    for aid in (b"", *dict.fromkeys(aids)):
        answer = exchange(link, commands.SELECT.apdu(aid))
        if answer.sw in {Sw.OK, SW_LOCKED}:
            isd, recognition = _fci(answer.data)
            if isd is not None:
                break
    else:
        return Probe(link.atr, None)
    cplc = get_data_clear(link, DataObject.CPLC)
    version, channels = _recognition(get_data_clear(link, DataObject.RECOGNITION) or recognition)
    return Probe(
        link.atr, isd, answer.sw == SW_LOCKED, cplc if len(cplc) == CPLC_BYTES else b"", version,
        _keys(get_data_clear(link, DataObject.KEY_INFORMATION)), channels,
        _free(get_data_clear(link, DataObject.RESOURCES)),
    )  # fmt: skip


def fit(probe: Probe, profile: Profile, code_bytes: int = 0) -> Fit:
    """Compare a card with a profile; ``code_bytes``: the load file's, 0 when it is not known."""
    if probe.isd is None:
        return Fit(profile.name, _is_product(probe, profile), (Missing(Lack.NO_DOMAIN),))
    lacks = [Missing(Lack.CHIP, detail) for detail in profile.chip_lacks(code_bytes)]
    if probe.locked:
        lacks.append(Missing(Lack.LOCKED))
    if probe.isd != profile.channel.isd_aid:
        lacks.append(Missing(Lack.NO_DOMAIN, probe.isd.hex()))
    lacks += [*_key_lacks(probe, profile), *_channel_lacks(probe, profile)]
    needs = NEEDED_DATA_BYTES + code_bytes
    if probe.free_bytes is not None and probe.free_bytes < needs:
        lacks.append(Missing(Lack.MEMORY, f"{needs} bytes of {probe.free_bytes}"))
    return Fit(profile.name, _is_product(probe, profile), tuple(lacks))


def best(probe: Probe, profiles: Sequence[Profile]) -> Fit | None:
    """The product's profile, the one that lacks least first; None when no profile knows it."""
    fits = [f for f in (fit(probe, p) for p in profiles) if f.is_product]
    return min(fits, key=lambda f: len(f.lacks), default=None)


def _is_product(probe: Probe, profile: Profile) -> bool:
    """By the chip's own data; the ATR, which every seller may change, only where there are none."""
    known = profile.recognise
    if not probe.cplc:
        return probe.atr in known.atrs
    fabricator, ic_type, system = probe.cplc[:2], probe.cplc[2:4], probe.cplc[4:6]
    return (
        fabricator == known.ic_fabricator
        and ic_type in known.ic_types
        and system in known.operating_systems
    )


def _key_lacks(probe: Probe, profile: Profile) -> list[Missing]:
    if probe.keys is None:
        return []
    if any(key.kvn == OWN_KVN for key in probe.keys):
        return [Missing(Lack.OWN_KEYS)]
    wanted = [key for key in probe.keys if key.kvn == profile.channel.kvn]
    if not wanted:
        held = " ".join(sorted({f"{key.kvn:02X}" for key in probe.keys}))
        return [Missing(Lack.OTHER_KEYS, f"{profile.channel.kvn:02X}: {held}")]
    aes = [key for key in wanted if key.key_type == KEY_TYPE_AES]
    if not aes:
        return [Missing(Lack.NO_SCP03, f"keys of type {wanted[0].key_type:02X}")]
    lengths = {key.length_bytes for key in aes}
    if not lengths <= set(profile.channel.key_bytes):
        return [Missing(Lack.KEY_LENGTH, " ".join(map(str, sorted(lengths))))]
    return []


def _channel_lacks(probe: Probe, profile: Profile) -> list[Missing]:
    """What the card says of SCP03; where it says nothing, what the profile says counts."""
    if probe.channels is None:
        told = [profile.channel.i]
    else:
        told = [i for scp, i in probe.channels if scp == SCP_ID]
        if not told:
            names = " ".join(f"SCP{scp:02X} i={i:02X}" for scp, i in probe.channels)
            return [Missing(Lack.NO_SCP03, names)]
    detail = " ".join(f"i={i:02X}" for i in told)
    usable = [i for i in told if _supports(i, profile.channel.level)]
    if not any(Scp03Options.parse(i).s16 == profile.channel.options.s16 for i in usable):
        return [Missing(Lack.OPTIONS, detail)]
    # The desk personalises at level 33 alone (card_os/SPEC.md#commands, GENERATE KEYS).
    if not any(_supports(i, SecurityLevel.FULL) for i in usable):
        return [Missing(Lack.PERSONALISE, detail)]
    return []


def _supports(i: int, level: SecurityLevel) -> bool:
    try:
        Scp03Options.parse(i).check(level)
    except ParameterError:
        return False
    return True


# --- what the card says --------------------------------------------------------------------------


def _fci(raw: bytes) -> tuple[bytes | None, bytes]:
    """The domain's AID, and the card recognition data if they stand in the FCI."""
    try:
        (fci,) = tlv.parse_sequence(raw, (0x6F,))
        parts = dict(tlv.parse_all(fci))
        recognition = dict(tlv.parse_all(parts.get(0xA5, b""))).get(0x73, b"")
    except FormatError:
        return None, b""
    return parts.get(0x84), tlv.encode(0x73, recognition) if recognition else b""


def _recognition(raw: bytes) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...] | None]:
    """GlobalPlatform version, and the secure channels told (GPCS, card recognition data)."""
    try:
        items = tlv.parse_all(dict(tlv.parse_all(raw)).get(0x73, b""))
        oids = [dict(tlv.parse_all(v)).get(0x06, b"") for t, v in items if t in {0x60, 0x64}]
    except FormatError:
        return (), None
    versions = [tuple(oid[len(_GP_VERSION) :]) for oid in oids if oid.startswith(_GP_VERSION)]
    channels = tuple(
        (oid[-2], oid[-1])
        for oid in oids
        if oid.startswith(_GP_SCP) and len(oid) == len(_GP_SCP) + 2
    )
    return versions[0] if versions else (), channels or None


def _keys(raw: bytes) -> tuple[KeyInformation, ...] | None:
    try:
        return key_information(raw) or None
    except FormatError:
        return None


def _free(raw: bytes) -> int | None:
    try:
        free = dict(tlv.parse_all(raw)).get(0x82, b"")
    except FormatError:
        return None
    return int.from_bytes(free, "big") if free else None
