"""Certificates issued: cards, terminals and officers, links (docs/wire.md#cvc).

Each function takes the CA's signer and the time now, and puts its name to no date beyond now + 1
day and to no key whose holder did not prove it (PROTOCOL.md §3).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from keys.enrol import OfficerRequest, StationRequest
from keys.errors import CertificateRefusedError, DateRefusedError
from keys.signer import Signer
from wire import cvc, dates, ecdsa
from wire.env import Environment
from wire.objects import StationKind

DAY_S = 86_400
TERMINAL_DAYS = 35
CARD_DAYS = 3650
LINK_DAYS = 3650


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA's key as certificates name it: environment, version of its yearly key, signer."""

    env: Environment
    version: int
    signer: Signer


def check_date(day: date, now_s: int) -> date:
    """``day``, unless it lies beyond now + 1 day (:class:`DateRefusedError`)."""
    if day > dates.day_of(now_s + DAY_S):
        raise DateRefusedError(f"{day} is beyond tomorrow; nothing is post-dated")
    return day


def check_time(time_s: int, now_s: int) -> int:
    """``time_s``, unless it lies beyond now + 1 day (:class:`DateRefusedError`)."""
    if time_s > now_s + DAY_S:
        raise DateRefusedError("the time is beyond tomorrow; nothing is post-dated")
    return time_s


def issue_card_certificate(
    ca: Issuer,
    *,
    serial: int,
    card_id: bytes,
    channel_key: bytes,
    receipt_key: bytes,
    now_s: int,
    effective: date | None = None,
    days: int = CARD_DAYS,
) -> cvc.Certificate:
    """The certificate of a card; both keys are 65-byte points read in the card's SCP03 session.

    Who may ask, and that the keys came from a card, is the key service's business. Raises
    :class:`DateRefusedError`, :class:`CertificateRefusedError` for a card id (8 bytes) without the
    environment's mark or one key given twice, ``FormatError`` for a point off the curve.
    """
    day = check_date(effective or dates.day_of(now_s), now_s)
    if card_id[:4] != ca.env.mark or len(card_id) != cvc.ID_BYTES:
        raise CertificateRefusedError("the card id does not carry the environment's mark")
    if channel_key == receipt_key:
        raise CertificateRefusedError("a card has two different keys")
    extension = cvc.CardExtension(ca.env, ecdsa.compress(receipt_key))
    return _issue(ca, serial, card_id, (day, days), extension, channel_key)


def issue_terminal_certificate(
    ca: Issuer,
    request: StationRequest | OfficerRequest,
    *,
    serial: int,
    now_s: int,
    effective: date | None = None,
    days: int = TERMINAL_DAYS,
) -> cvc.Certificate:
    """The certificate of a terminal or of an officer at one, for at most 35 days.

    The role is what the request may ask for: TERMINAL for a station, SUPERVISOR or HANDOVER with
    an officer's number for an officer. Raises :class:`PossessionError` without proof,
    :class:`CertificateRefusedError` for another environment, role or life,
    :class:`DateRefusedError`.
    """
    request.verify()
    if request.environment != ca.env:
        raise CertificateRefusedError("the request is for another environment")
    match request:
        case StationRequest():
            if request.kind != StationKind.TERMINAL or request.channel_key is None:
                raise CertificateRefusedError("only a terminal with a channel key gets one")
            subject, key = request.station, request.channel_key
            extension = cvc.TerminalExtension(ca.env, cvc.Role.TERMINAL, 0)
        case OfficerRequest():
            if request.role not in {cvc.Role.SUPERVISOR, cvc.Role.HANDOVER}:
                raise CertificateRefusedError("an officer is supervisor or hands cards over")
            if not request.officer:
                raise CertificateRefusedError("an officer has a number")
            subject, key = request.terminal, request.channel_key
            extension = cvc.TerminalExtension(ca.env, request.role, request.officer)
    if not 1 <= days <= TERMINAL_DAYS:
        raise CertificateRefusedError("a terminal certificate lives at most 35 days")
    day = check_date(effective or dates.day_of(now_s), now_s)
    return _issue(ca, serial, subject, (day, days), extension, key)


def issue_personaliser_certificate(
    ca: Issuer, *, subject: bytes, channel_key: bytes, serial: int, now_s: int
) -> cvc.Certificate:
    """The key service's own certificate, for 35 days; its key never leaves it, so no proof is due.

    ``subject``: 8 bytes, ``channel_key``: a point of 65.
    """
    extension = cvc.TerminalExtension(ca.env, cvc.Role.PERSONALISER, 0)
    day = check_date(dates.day_of(now_s), now_s)
    return _issue(ca, serial, subject, (day, TERMINAL_DAYS), extension, channel_key)


def issue_link(
    root: Issuer,
    *,
    kind: cvc.CaKind,
    version: int,
    public_key: bytes,
    lowest_kept: int,
    now_s: int,
    effective: date | None = None,
    may_step_back: bool = False,
) -> cvc.Certificate:
    """A link: cards take this key (65 bytes) as terminal CA or issuer key of that version.

    ``lowest_kept``, ``may_step_back``: tags C4 and C5 (SPEC.md, PSO). Raises
    :class:`CertificateRefusedError` for another kind or a link that drops its own version, and
    :class:`DateRefusedError`.
    """
    if kind not in {cvc.CaKind.TERMINAL_CA, cvc.CaKind.ISSUER}:
        raise CertificateRefusedError("cards keep terminal CA and issuer keys only")
    if not 1 <= lowest_kept <= version:
        raise CertificateRefusedError("a link keeps at least its own version")
    subject = bytes(cvc.CaId(root.env.mark, kind, version))
    extension = cvc.LinkExtension(root.env, lowest_kept, may_step_back)
    day = check_date(effective or dates.day_of(now_s), now_s)
    return _issue(root, version, subject, (day, LINK_DAYS), extension, public_key)


_KINDS: dict[type, cvc.CaKind] = {
    cvc.CardExtension: cvc.CaKind.CARD_CA,
    cvc.TerminalExtension: cvc.CaKind.TERMINAL_CA,
    cvc.LinkExtension: cvc.CaKind.ROOT,
}


def _issue(  # noqa: PLR0917 - one caller per kind, above
    ca: Issuer,
    serial: int,
    subject: bytes,
    life: tuple[date, int],
    extension: cvc.Extension,
    public_key: bytes,
) -> cvc.Certificate:
    ecdsa.p256_public_key(public_key)
    if len(public_key) != ecdsa.POINT_BYTES:
        raise CertificateRefusedError("certificates carry uncompressed points")
    effective, days = life
    unsigned = cvc.encode_unsigned(
        serial=serial,
        issuer=cvc.CaId(ca.env.mark, _KINDS[type(extension)], ca.version),
        subject=subject,
        effective=effective,
        expires=dates.add_days(effective, days),
        extension=extension,
        public_key=public_key,
    )
    return cvc.assemble(unsigned, ca.signer.sign(unsigned)).verify(ca.signer.public_key)
