"""The desk's side of the key service: relay APDUs, use the personaliser's key (PROTOCOL.md §6).

Works on :class:`keys.service.KeyService` in process and on :class:`keys.http.KeyClient` alike.
The desk carries APDUs and learns no management key.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from keys.cardservice import CardStep
from wire import cvc
from wire.apdu import CommandApdu, ResponseApdu


class CardKeyVerbs(Protocol):
    """What a desk uses of the key service."""

    def open_card_session(self, order: bytes, officer: int) -> bytes:
        """See :class:`keys.cardservice.CardVerbs`."""
        ...

    def card_step(self, session_id: bytes, step: CardStep, apdu: bytes = b"") -> bytes:
        """See :class:`keys.cardservice.CardVerbs`."""
        ...

    def close_card_session(self, session_id: bytes) -> None:
        """See :class:`keys.cardservice.CardVerbs`."""
        ...

    def certify_card(self, session_id: bytes) -> bytes:
        """See :class:`keys.cardservice.CardVerbs`."""
        ...

    def card_certificate(self, session_id: bytes) -> bytes | None:
        """See :class:`keys.cardservice.CardVerbs`."""
        ...

    def scrap_card(self, card_id: bytes, reason: str) -> None:
        """See :class:`keys.cardservice.CardVerbs`."""
        ...

    def personaliser_certificate(self) -> bytes:
        """See :class:`keys.cardservice.CardVerbs`."""
        ...

    def personaliser_ecdh(self, channel_key: bytes) -> bytes:
        """See :class:`keys.cardservice.CardVerbs`."""
        ...


class CardRelay:
    """One card's session at the service; a context manager that closes it.

    Per channel: :meth:`initialize_update` → card → :meth:`external_authenticate` → card →
    :meth:`finish`; then :meth:`wrap` → card → :meth:`unwrap` for each command. With transport
    keys only :meth:`put_key` (and reading) works; afterwards open a channel again.
    """

    def __init__(self, verbs: CardKeyVerbs, order: bytes, officer: int) -> None:
        self._verbs = verbs
        self.session_id = verbs.open_card_session(order, officer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session; twice does no harm."""
        self._verbs.close_card_session(self.session_id)

    def _command(self, step: CardStep, apdu: bytes = b"") -> CommandApdu:
        return CommandApdu.parse(self._verbs.card_step(self.session_id, step, apdu))

    def initialize_update(self) -> CommandApdu:
        """The first command of a channel; an earlier channel is closed."""
        return self._command(CardStep.INITIALIZE_UPDATE)

    def external_authenticate(self, response: ResponseApdu) -> CommandApdu:
        """The second, from the card's answer to the first."""
        return self._command(CardStep.EXTERNAL_AUTHENTICATE, bytes(response))

    def finish(self, response: ResponseApdu) -> None:
        """Give the card's answer to the second: the channel is open."""
        self._verbs.card_step(self.session_id, CardStep.FINISH, bytes(response))

    def put_key(self) -> CommandApdu:
        """PUT KEY with our own keys; give its answer to :meth:`unwrap`, then open anew."""
        return self._command(CardStep.PUT_KEY)

    def wrap(self, command: CommandApdu) -> CommandApdu:
        """Protect one command of personalisation."""
        return self._command(CardStep.WRAP, bytes(command))

    def unwrap(self, response: ResponseApdu) -> ResponseApdu:
        """The answer in clear, its MAC verified by the service."""
        raw = self._verbs.card_step(self.session_id, CardStep.UNWRAP, bytes(response))
        return ResponseApdu.parse(raw)

    def certify(self) -> cvc.Certificate:
        """The certificate for the keys that GENERATE KEYS gave in this channel."""
        return cvc.Certificate.parse(self._verbs.certify_card(self.session_id))

    def certificate(self) -> cvc.Certificate | None:
        """The certificate this chip has already, in a channel under our own keys."""
        raw = self._verbs.card_certificate(self.session_id)
        return None if raw is None else cvc.Certificate.parse(raw)


@dataclass(frozen=True, slots=True)
class PersonaliserKey:
    """The personaliser's key agreement, done by the service (:class:`keys.scp11.EcdhKey`)."""

    verbs: CardKeyVerbs
    certificate: cvc.Certificate

    @classmethod
    def of(cls, verbs: CardKeyVerbs) -> Self:
        """The key with its certificate of today."""
        return cls(verbs, cvc.Certificate.parse(verbs.personaliser_certificate()))

    @property
    def public_key(self) -> bytes:
        """The public point, 65 bytes."""
        return self.certificate.public_key

    def ecdh(self, peer_public: bytes) -> bytes:
        """The static secret with a card certified by the service."""
        return self.verbs.personaliser_ecdh(peer_public)
