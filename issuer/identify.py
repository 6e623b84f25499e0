"""What the card on the reader is, by what any card tells anyone: nothing is written.

SELECT the purses, SELECT the issuer security domain, GET DATA of the chip's data and its keys
(docs/desk.md#readings).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from card_os.host import commands, errors
from card_os.host.links import Link
from card_os.host.opening import CardIdentity, exchange, select_purse
from card_os.host.purse import PurseSession
from card_os.host.security_domain import ISD_AID, DataObject, get_data_clear
from keys.cardsession import OWN_KVN
from keys.relay import CardKeyVerbs, PersonaliserKey
from keys.trust import TrustStore
from wire import cvc, tlv
from wire.env import Environment
from wire.errors import FormatError
from wire.purse import CardState, Sw

_CPLC_BYTES = 42


class Kind(StrEnum):
    """What lies there."""

    FOREIGN = "foreign"  # no purse and no GlobalPlatform domain
    BLANK = "blank"  # a chip as its maker delivered it
    OWN_KEYS = "own-keys"  # our management keys, no purse yet
    PURSE = "purse"  # our purse, of this desk's world
    OTHER_WORLD = "other-world"
    UNKNOWN_VERSION = "unknown-version"


@dataclass(frozen=True, slots=True)
class Found:
    """What a card told. ``env``: of its purse; ``chip``: b"" when it names none; key versions."""

    kind: Kind
    env: Environment | None
    version: int | None
    chip: bytes
    kvns: tuple[int, ...]
    atr: bytes


def examine(link: Link, env: Environment) -> Found:
    """Look at a card as a desk of ``env``; :class:`errors.MuteCardError`, ``links.LinkError``."""
    kind, world, version = Kind.PURSE, None, None
    try:
        world = select_purse(link, env).env
    except errors.OtherEnvironmentError as x:
        kind, world = Kind.OTHER_WORLD, x.env
    except errors.UnknownVersionError as x:
        kind, version = Kind.UNKNOWN_VERSION, x.version
    except errors.ForeignCardError:
        kind = Kind.BLANK
    if exchange(link, commands.SELECT.apdu(ISD_AID)).sw != Sw.OK:
        kind = Kind.FOREIGN if kind is Kind.BLANK else kind
        return Found(kind, world, version, b"", (), link.atr)
    kvns = _key_versions(get_data_clear(link, DataObject.KEY_INFORMATION))
    if kind is Kind.BLANK and OWN_KVN in kvns:
        kind = Kind.OWN_KEYS
    return Found(
        kind, world, version, _chip_of(get_data_clear(link, DataObject.CPLC)), kvns, link.atr
    )


def chip_of(link: Link) -> bytes:
    """What names the chip (12 bytes of its CPLC data), b"" when it tells nothing.

    Selects the security domain.
    """
    if exchange(link, commands.SELECT.apdu(ISD_AID)).sw != Sw.OK:
        return b""
    return _chip_of(get_data_clear(link, DataObject.CPLC))


def look_inside(
    link: Link, keys: CardKeyVerbs, trust: TrustStore, links: Sequence[cvc.Certificate],
    random: Callable[[int], bytes],
) -> CardState:  # fmt: skip
    """The state of a card that this key service certified, read as `personaliser`.

    The card takes the date of the session's certificate, as in every session. Raises
    :class:`errors.CardError`, ``links.LinkError`` and :class:`keys.errors.KeysError`.
    """
    own = PersonaliserKey.of(keys)
    with PurseSession.open(
        link, env=trust.env, certificate=own.certificate, channel_key=own, random=random,
        links=links,
        verify_card_certificate=lambda c: CardIdentity.of(trust.card_certificate(c).certificate),
    ) as session:  # fmt: skip
        return session.state


def _chip_of(cplc: bytes) -> bytes:
    """Fabricator, type, fabrication date, serial, batch: what names one chip (GP CPLC data)."""
    return cplc[:4] + cplc[10:18] if len(cplc) == _CPLC_BYTES else b""


def _key_versions(template: bytes) -> tuple[int, ...]:
    try:
        rows = [value for tag, value in tlv.parse_all(template) if tag == 0xC0]
    except FormatError:
        return ()
    return tuple(sorted({row[1] for row in rows if len(row) > 1}))
