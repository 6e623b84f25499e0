"""Card profiles: what a product on sale is and how its security domain is opened, as data.

One TOML file a product lies beside this module; a file of one's own may be named instead. Every
table names its public source, ``assumed`` names the fields that no public source says, and nothing
here was tried on hardware. docs/cards.md says what to buy.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from issuer.errors import ProfileError
from keys.kdf import AES_KEY_BYTES
from keys.scp03 import Scp03Options
from keys.securechannel import (
    MAX_PLAIN_BYTES,
    ParameterError,
    SecurityLevel,
)

# What the purse needs of a chip (docs/applet.md, "What it needs of a card" and "Memory").
NEEDED_ALGORITHMS: Final = (
    "ALG_AES_BLOCK_128_CBC_NOPAD", "ALG_SHA_256", "ALG_ECDSA_SHA_256", "ALG_EC_SVDP_DH_PLAIN",
    "EC_FP_256",
)  # fmt: skip
NEEDED_JAVA_CARD: Final = (3, 0, 4)
NEEDED_DATA_BYTES: Final = 9_420 + 4_500 + 40  # arrays counted, keys and PINs estimated
NEEDED_TRANSIENT_BYTES: Final = 639
NEEDED_COMMIT_BYTES: Final = 384
MAX_PROFILE_BYTES = 16_384


def _from_hex(value: object) -> object:
    return bytes.fromhex(value) if isinstance(value, str) else value


def _from_dots(value: object) -> object:
    return tuple(map(int, value.split("."))) if isinstance(value, str) else value


Hex = Annotated[bytes, BeforeValidator(_from_hex)]
Two = Annotated[Hex, Field(min_length=2, max_length=2)]
Aid = Annotated[Hex, Field(min_length=5, max_length=16)]
Atr = Annotated[Hex, Field(min_length=2, max_length=33)]
Version = Annotated[tuple[int, int, int], BeforeValidator(_from_dots)]
Count = Annotated[int, Field(gt=0)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Recognise(_Table):
    """What of the chip's CPLC data (GPCS) and which ATRs are the product's."""

    ic_fabricator: Two
    ic_types: Annotated[tuple[Two, ...], Field(min_length=1)]
    operating_systems: Annotated[tuple[Two, ...], Field(min_length=1)]
    atrs: tuple[Atr, ...]


class Channel(_Table):
    """SCP03 under the transport keys.

    ``i``: the parameter of GPC Amd D §5.1; ``level``: what is opened for the load; ``key_bytes``:
    the lengths the keys may have.
    """

    isd_aid: Aid
    kvn: Annotated[int, Field(ge=1, le=0xFF)]
    i: int
    key_bytes: Annotated[tuple[int, ...], Field(min_length=1)]
    level: SecurityLevel

    @property
    def options(self) -> Scp03Options:
        """``i``, read."""
        return Scp03Options.parse(self.i)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            self.options.check(self.level)
        except ParameterError as e:
            raise ValueError(str(e)) from e
        if self.level < SecurityLevel.C_MAC or not set(self.key_bytes) <= set(AES_KEY_BYTES):
            raise ValueError("content is managed under a MAC, with AES keys")
        return self


class Load(_Table):
    """``block_bytes``: of one LOAD; ``hash``: of the load file, in INSTALL [for load]."""

    block_bytes: Annotated[int, Field(ge=16, le=MAX_PLAIN_BYTES)]
    hash: Literal["none", "sha-1", "sha-256"]


class Chip(_Table):
    """Free memory of a blank card in bytes, and what its Java Card platform offers.

    ``persistent_bytes`` None: no report says how much beyond 32,767, where their counter ends.
    """

    java_card: Version
    persistent_bytes: Count | None = None
    transient_bytes: Count
    commit_bytes: Count
    algorithms: tuple[str, ...]


class Milliseconds(_Table):
    """Public measurements on P-256, with SHA-1 where a hash is in it."""

    sign: Count
    verify: Count
    ecdh: Count
    key_generation: Count


class Words(_Table):
    """One text in both languages."""

    id: str
    en: str


class Profile(_Table):
    """One product. ``name`` is its file's."""

    name: str
    product: str
    tried_on_hardware: bool
    assumed: tuple[str, ...]
    advice: Words
    recognise: Recognise
    channel: Channel
    load: Load
    chip: Chip
    milliseconds: Milliseconds | None = None
    sources: dict[str, str]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        tables = {"recognise", "channel", "load", "chip"}
        tables |= set() if self.milliseconds is None else {"milliseconds"}
        if set(self.sources) != tables or not all(self.sources.values()):
            raise ValueError("each table of figures names its source")
        known = {
            f"{table}.{field}"
            for table in tables
            for field in getattr(self, table).model_fields_set
        }
        if not set(self.assumed) <= known:
            raise ValueError("assumed names a field that is not there")
        return self

    def chip_lacks(self, code_bytes: int = 0) -> tuple[str, ...]:
        """What the product itself lacks for the purse, a load file of ``code_bytes`` included."""
        chip = self.chip
        lacks = [name for name in NEEDED_ALGORITHMS if name not in chip.algorithms]
        if chip.java_card < NEEDED_JAVA_CARD:
            lacks.append("Java Card " + ".".join(map(str, NEEDED_JAVA_CARD)))
        for what, has, needs in (
            ("persistent", chip.persistent_bytes, NEEDED_DATA_BYTES + code_bytes),
            ("transient", chip.transient_bytes, NEEDED_TRANSIENT_BYTES),
            ("commit", chip.commit_bytes, NEEDED_COMMIT_BYTES),
        ):
            if has is not None and has < needs:
                lacks.append(f"{what}: {needs} bytes of {has}")
        return tuple(lacks)


def parse(name: str, raw: bytes) -> Profile:
    """Read one profile's TOML; :class:`ProfileError`."""
    try:
        return Profile.model_validate({"name": name, **tomllib.loads(raw.decode())})
    except (ValueError, TypeError) as e:  # UnicodeDecodeError, TOMLDecodeError, ValidationError
        why = e.errors()[0]["msg"] if isinstance(e, ValidationError) else str(e)
        raise ProfileError(f"profile {name}: {why}") from e


def names() -> tuple[str, ...]:
    """The profiles that come with the program, by name."""
    files = resources.files(__name__).iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def shipped() -> tuple[Profile, ...]:
    """Every profile that comes with the program."""
    return tuple(find(name) for name in names())


def find(name: str) -> Profile:
    """A profile by name, or of the file of that path; :class:`ProfileError`."""
    if name in names():
        return parse(name, resources.files(__name__).joinpath(f"{name}.toml").read_bytes())
    path = Path(name)
    if path.suffix != ".toml":
        raise ProfileError(f"no profile {name}; there are {', '.join(names())}")
    try:
        raw = path.read_bytes()
    except OSError as e:
        raise ProfileError(f"profile {name}: {e.strerror}") from e
    if len(raw) > MAX_PROFILE_BYTES:
        raise ProfileError(f"profile {name}: too long")
    return parse(path.stem, raw)
