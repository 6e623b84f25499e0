"""What the purse trusts: certificates, links, its own date, the issuer's signature.

Every check here stands in card_os/SPEC.md#trust-on-the-card or in PERFORM SECURITY OPERATION, in
that order, and raises `CardError` with the status word given there.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from hmac import compare_digest

from card_os.reference.errors import CardError
from card_os.reference.purse_store import Card, PurseStore, TrustSlot
from wire import dates, ecdsa
from wire.cvc import CaId, CaKind, Certificate, LinkExtension, TerminalExtension
from wire.entitlement import Entitlement, Script
from wire.errors import FormatError, SignatureInvalidError
from wire.purse import DATE_STEP_MAX_DAYS, InstallParameters, Sw

__all__ = [
    "apply_link",
    "check_terminal_certificate",
    "later",
    "parse_certificate",
    "trusted_key",
    "verify_from_issuer",
]

_NO_HASH = bytes(32)


def later(own: date, other: date) -> date:
    """The own date moves forward only."""
    return max(own, other)


def _check_step(card: Card, issued: date) -> None:
    """No step of more than 400 days, once the card has a date of its own (date rule)."""
    limit = dates.add_days(card.own_date, DATE_STEP_MAX_DAYS)
    if card.personalised and issued > limit:
        raise CardError(Sw.DATE_REFUSED, "step of more than 400 days")


def trusted_key(store: PurseStore, kind: CaKind, version: int) -> bytes:
    """The key (65 bytes) of that kind and version; 6A88 when no slot has it."""
    if version != 0:  # 0 marks an empty slot
        for slot in store.trust(kind):
            if slot.version == version:
                return slot.key
    raise CardError(Sw.DATA_NOT_FOUND, "no slot of that version")


def parse_certificate(anchors: InstallParameters, data: bytes) -> Certificate:
    """A terminal certificate or link of this environment whose key is a point; else 6A80."""
    try:
        certificate = Certificate.parse(data)
        ecdsa.p256_public_key(certificate.public_key)
    except FormatError as e:
        raise CardError(Sw.WRONG_DATA, str(e)) from e
    if certificate.env != anchors.env:
        raise CardError(Sw.WRONG_DATA, "another environment")
    if not isinstance(certificate.extension, TerminalExtension | LinkExtension):
        raise CardError(Sw.WRONG_DATA, "neither terminal certificate nor link")
    return certificate


def check_terminal_certificate(store: PurseStore, certificate: Certificate) -> None:
    """Raise unless the card accepts this certificate now: 6A88, 940B, 6982; writes nothing."""
    card = store.card
    key = trusted_key(store, CaKind.TERMINAL_CA, certificate.issuer.version)
    if certificate.expires < card.own_date:
        raise CardError(Sw.DATE_REFUSED, "expired")
    _check_step(card, certificate.effective)
    cached = card.cached_certificate
    if cached != _NO_HASH and compare_digest(cached, certificate.digest):
        return
    _verify(certificate, key)


def _verify(signed: Certificate | Entitlement | Script, key: bytes) -> None:
    try:
        signed.verify(key)
    except (SignatureInvalidError, FormatError) as e:
        raise CardError(Sw.SECURITY_NOT_SATISFIED, "signature") from e


def apply_link(store: PurseStore, anchors: InstallParameters, link: Certificate) -> None:
    """Check a link (6A80, 940E, 6982) and write it at once: one transaction, or nothing."""
    extension = link.extension
    if not isinstance(extension, LinkExtension):
        raise CardError(Sw.WRONG_DATA, "not a link")
    subject = _link_subject(anchors, link)
    kind, version = subject.kind, subject.version
    if extension.lowest_kept > version:
        raise CardError(Sw.WRONG_DATA, "a link that empties its own slot")
    if version <= store.highest(kind):
        raise CardError(Sw.NOT_NEWER, "link version")
    _verify(link, anchors.root_key)
    card, slots = store.card, store.trust(kind)
    moved = link.effective if extension.may_step_back else later(card.own_date, link.effective)
    place = 0 if slots[0].version <= slots[1].version else 1  # an empty slot has version 0
    slots[place] = TrustSlot(version, link.public_key)
    with store.transaction():
        for i, slot in enumerate(slots):
            kept = slot if slot.version >= extension.lowest_kept else TrustSlot()
            store.put_trust(kind, i, kept)
        store.put_highest(kind, version)
        store.put_card(replace(card, own_date=moved, cached_certificate=_NO_HASH))


def _link_subject(anchors: InstallParameters, link: Certificate) -> CaId:
    try:
        subject = CaId.parse(link.subject)
    except FormatError as e:
        raise CardError(Sw.WRONG_DATA, str(e)) from e
    if subject.kind not in {CaKind.TERMINAL_CA, CaKind.ISSUER}:
        raise CardError(Sw.WRONG_DATA, "no slot for such a key")
    if subject.env_mark != anchors.env.mark:
        raise CardError(Sw.WRONG_DATA, "another environment's mark")
    return subject


def verify_from_issuer(store: PurseStore, order: Entitlement | Script) -> None:
    """Slot (6A88), signature (6982), date rule (940B) of an entitlement or script."""
    key = trusted_key(store, CaKind.ISSUER, order.key_version)
    _verify(order, key)
    _check_step(store.card, order.issued)
