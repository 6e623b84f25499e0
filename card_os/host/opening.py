"""The way into a session with the purse: SELECT, links, certificate, key agreement.

PROTOCOL.md §4, steps 1 to 4; the session itself is :mod:`card_os.host.purse`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from card_os.host import commands, errors
from card_os.host.links import CardMute, CardRemoved, Link, LinkProtocolError
from keys.scp11 import EcdhKey, Scp11aHost
from keys.securechannel import HostMessaging, SecureChannelError
from wire import cvc
from wire.apdu import CommandApdu, ResponseApdu
from wire.env import LIVE_PURSE_AID, SPECIMEN_PURSE_AID, Environment, purse_aid
from wire.errors import FormatError
from wire.purse import SPEC_VERSION, Fci, Sw


@dataclass(frozen=True, slots=True)
class CardIdentity:
    """Who the card is, by a card certificate whose signature was verified.

    ``certificate_digest`` is the SHA-256 of the whole certificate: the first receipt's link.
    """

    env: Environment
    card_id: bytes
    channel_key: bytes
    receipt_key: bytes
    certificate_digest: bytes

    @classmethod
    def of(cls, certificate: cvc.Certificate) -> Self:
        """What a **verified** card certificate says; :class:`FormatError` for another kind."""
        extension = certificate.extension
        if not isinstance(extension, cvc.CardExtension):
            raise FormatError("not a card certificate")
        return cls(certificate.env, certificate.subject, certificate.public_key,
                   extension.receipt_key, certificate.digest)  # fmt: skip


def exchange(link: Link, command: CommandApdu) -> ResponseApdu:
    """One command over the link as it stands, whatever its status word.

    Raises ``links.LinkError``, and :class:`AnswerMalformedError` for more than 258 bytes.
    """
    try:
        return ResponseApdu.parse(link.transmit(bytes(command)))
    except FormatError as x:
        raise errors.AnswerMalformedError(str(x)) from x


def select_purse(link: Link, env: Environment) -> Fci:
    """SELECT the purse of this world; a card that is not ours is told apart, and left alone.

    Raises :class:`MuteCardError`, :class:`OtherEnvironmentError` (also when only the other
    world's purse is there), :class:`UnknownVersionError` and, whatever else the card answered,
    :class:`ForeignCardError`. Nothing but SELECT is sent.
    """
    fci, sw = _try_select(link, purse_aid(env), first=True)
    if fci is None:
        other = LIVE_PURSE_AID if env.is_specimen else SPECIMEN_PURSE_AID
        fci, _ = _try_select(link, other, first=False)
    if fci is None:
        raise errors.ForeignCardError(sw)
    if fci.env != env:
        raise errors.OtherEnvironmentError(fci.env)
    if fci.spec_version != SPEC_VERSION:
        raise errors.UnknownVersionError(fci.spec_version)
    return fci


def _try_select(link: Link, aid: bytes, *, first: bool) -> tuple[Fci | None, int]:
    try:
        answer = exchange(link, commands.SELECT.apdu(aid))
    except (CardMute, CardRemoved, LinkProtocolError) as x:
        if first:
            raise errors.MuteCardError("the card does not answer SELECT") from x
        return None, 0
    except errors.AnswerMalformedError:
        return None, 0
    try:
        return (Fci.parse(answer.data) if answer.sw == Sw.OK else None), answer.sw
    except FormatError:
        return None, answer.sw


def terminal_extension(certificate: cvc.Certificate, env: Environment) -> cvc.TerminalExtension:
    """Tag 73 of a terminal certificate of this environment; else ``ValueError``."""
    extension = certificate.extension
    if not isinstance(extension, cvc.TerminalExtension) or extension.env != env:
        raise ValueError("a session needs a terminal certificate of its own environment")
    return extension


def present(link: Link, certificate: cvc.Certificate, links: Sequence[cvc.Certificate]) -> None:
    """Send the links, versions ascending, then the certificate.

    A link that is not newer is what most cards have already; any other refusal is raised, as
    :class:`CardRefusedError` (SPEC.md, PERFORM SECURITY OPERATION).
    """
    for each in sorted(links, key=lambda c: cvc.CaId.parse(c.subject).version):
        try:
            commands.PSO.read(exchange(link, commands.PSO.apdu(bytes(each))))
        except errors.NotNewerError:
            continue
    commands.PSO.read(exchange(link, commands.PSO.apdu(bytes(certificate))))


def read_card_certificate(
    link: Link, env: Environment, verify: Callable[[cvc.Certificate], CardIdentity]
) -> CardIdentity:
    """GET DATA: the card's certificate, verified; :class:`NotThereError` before PERSONALISE.

    :class:`AnswerMalformedError` when it is none, :class:`CardIdentityError` when ``verify`` names
    another card or its environment is not ``env``; what ``verify`` raises passes.
    """
    raw = commands.GET_CERTIFICATE.read(exchange(link, commands.GET_CERTIFICATE.apdu()))
    try:
        card = cvc.Certificate.parse(raw)
        own = CardIdentity.of(card)
    except FormatError as x:
        raise errors.AnswerMalformedError(f"card certificate: {x}") from x
    identity = verify(card)
    if identity != own or identity.env != env:
        raise errors.CardIdentityError("card certificate of another environment or card")
    return identity


def agree(
    link: Link, channel_key: EcdhKey, card_key: bytes, random: Callable[[int], bytes]
) -> HostMessaging:
    """MUTUAL AUTHENTICATE: the session, once the card has proved ``card_key`` (65 bytes).

    :class:`UnprovenAnswerError` when it has not; :class:`CardRefusedError`.
    """
    try:
        host = Scp11aHost(channel_key, card_key, random)
        response = exchange(link, host.command())
        commands.MUTUAL_AUTHENTICATE.read(response)
        return host.finish(response)
    except SecureChannelError as x:
        raise errors.UnprovenAnswerError(f"MUTUAL AUTHENTICATE: {x}") from x
