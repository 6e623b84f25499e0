"""The key service's verbs about cards: sessions, certificates, the personaliser's key.

Where card keys are born (PROTOCOL.md §3): a card CA signs only what came back under R-MAC, from a
chip of the received stock.
"""

from __future__ import annotations

from enum import StrEnum

from keys import ca
from keys.cardsession import CardSession, Vault
from keys.errors import (
    BusyError,
    ChannelError,
    OrderRefusedError,
    SessionRefusedError,
    StockError,
)
from keys.issuance import IssuanceItem
from keys.securechannel import SecureChannelError
from keys.servicecore import Made, ServiceCore
from keys.state import Chip
from wire import cvc, dates
from wire.apdu import CommandApdu, ResponseApdu
from wire.chain import IssuanceKind
from wire.cose import Sign1
from wire.objects import KeyRole, Order

MAX_SESSIONS = 32
MAX_SESSION_AGE_S = 1_800  # a desk that vanished must not hold its place for ever
SESSION_ID_BYTES = 16
RENEW_BEFORE_S = 5 * ca.DAY_S


class CardStep(StrEnum):
    """Steps of the relay."""

    INITIALIZE_UPDATE = "initialize-update"
    EXTERNAL_AUTHENTICATE = "external-authenticate"
    FINISH = "finish"
    PUT_KEY = "put-key"
    WRAP = "wrap"
    UNWRAP = "unwrap"


class CardVerbs(ServiceCore):
    """Verbs about cards, over :class:`ServiceCore`."""

    def _begin(self) -> None:
        """See :class:`ServiceCore`."""
        self._own_certificate: cvc.Certificate | None = None
        self._sessions: dict[bytes, CardSession] = {}
        self._opened_s: dict[bytes, int] = {}
        self._vault = Vault(
            self.env, self._trust.root_key, self._keys.master, self._keys.batches, self._state.chip
        )

    def personaliser_certificate(self) -> bytes:
        """The service's own certificate (CVC) for sessions in role personaliser.

        A new one is made when the one held ends within 5 days, and entered in the issuance log.
        """
        with self._lock:
            held, now_s = self._own_certificate, self._clock()
            if held and dates.end_of_day_s(held.expires) - RENEW_BEFORE_S > now_s:
                return bytes(held)

            def work() -> Made:
                made = ca.issue_personaliser_certificate(
                    self._ca(KeyRole.TERMINAL_CA), subject=self._keys.personaliser_id,
                    channel_key=self._keys.personaliser.public_key,
                    serial=self._state.next_number("terminal-certificate"), now_s=now_s,
                )  # fmt: skip
                return [IssuanceItem(IssuanceKind.TERMINAL_CERTIFICATE, bytes(made))], [bytes(made)]

            raw = self._release(work, None)[0]
            self._own_certificate = cvc.Certificate.parse(raw)
            return raw

    def personaliser_ecdh(self, channel_key: bytes) -> bytes:
        """The static secret (32 bytes) with a card certified here, by its channel key (65).

        :class:`StockError` for any other key, and for a scrapped card's.
        """
        with self._lock:
            card = self._state.card_by_channel_key(channel_key)
            if card is None or card.scrapped:
                raise StockError("no card with this channel key was certified here")
            return self._keys.personaliser.ecdh(channel_key)

    def open_card_session(self, order: bytes, officer: int) -> bytes:
        """The id (16 bytes) of a new session for one card under this order, as ``officer`` works.

        Raises as :meth:`keys.trust.TrustStore.verify` when the order (COSE) does not stand,
        :class:`OrderRefusedError` when it has ended, :class:`BusyError` beyond 32 open sessions.
        A session of more than half an hour is closed to make room.
        """
        with self._lock:
            now_s = self._clock()
            opened = self._trust.verify(Order, order)
            if now_s > opened.valid_until_s:
                raise OrderRefusedError("the order is no longer valid")
            for old in [k for k, t in self._opened_s.items() if now_s - t > MAX_SESSION_AGE_S]:
                self.close_card_session(old)
            if len(self._sessions) >= MAX_SESSIONS:
                raise BusyError("too many card sessions are open; close one")
            session_id = self._random(SESSION_ID_BYTES)
            self._sessions[session_id] = CardSession(
                self._vault, opened, Sign1.parse(order).hash, officer, self._random
            )
            self._opened_s[session_id] = now_s
            return session_id

    def card_session(self, session_id: bytes) -> CardSession:
        """The open session of this id; :class:`SessionRefusedError` for another."""
        with self._lock:
            session = self._sessions.get(session_id)
        if session is None:
            raise SessionRefusedError("no such card session")
        return session

    def card_step(self, session_id: bytes, step: CardStep, apdu: bytes = b"") -> bytes:
        """One step of the relay: an APDU of the desk or card in, the next one (or none) out.

        Steps as :class:`keys.cardsession.CardSession`'s methods, whose errors pass. Raises
        :class:`ChannelError` when the card fails a check of the channel, which is then closed.
        """
        with self._lock:
            session = self.card_session(session_id)
            try:
                return _step(session, step, apdu)
            except SecureChannelError as e:
                session.close()
                raise ChannelError(str(e)) from e

    def close_card_session(self, session_id: bytes) -> None:
        """Forget a session and its keys; unknown ids are ignored."""
        with self._lock:
            self._opened_s.pop(session_id, None)
            session = self._sessions.pop(session_id, None)
            if session is not None:
                session.close()

    def certify_card(self, session_id: bytes) -> bytes:
        """The card's certificate, on keys that came back under R-MAC in this session.

        1. the channel is open on our own keys and GENERATE KEYS was answered in it; 2. the chip
        has no certificate yet (:meth:`card_certificate` gives the one it has); 3. the order is
        valid and made no other card; 4. quota; 5. next card id; 6. certificate, log, release.
        Raises :class:`SessionRefusedError` (1, 2), :class:`OrderRefusedError` (3),
        :class:`keys.errors.QuotaError` (4), :class:`keys.errors.IssuanceError` (6).
        """
        with self._lock:
            session = self.card_session(session_id)
            keys, kdd = session.card_keys, session.kdd
            if not session.is_own or keys is None or kdd is None:  # 1
                raise SessionRefusedError("no keys came back under R-MAC in this session")
            chip = self._state.chip(kdd)
            if chip is None or chip.scrapped or chip.certificate is not None:  # 2
                raise SessionRefusedError("this chip was certified or scrapped before")
            if self._clock() > session.order.valid_until_s:  # 3
                raise OrderRefusedError("the order is no longer valid")
            if self._state.chip_of_order(session.order_hash) is not None:
                raise OrderRefusedError("the order made another card already")

            def work() -> Made:
                self._take("cards", 1, self._quotas.cards)  # 4
                serial = self._state.next_number("card")  # 5
                card_id = self.env.mark + serial.to_bytes(4, "big")
                made = ca.issue_card_certificate(
                    self._ca(KeyRole.CARD_CA), serial=serial, card_id=card_id,
                    channel_key=keys.channel_key, receipt_key=keys.receipt_key,
                    now_s=self._clock(),
                )  # fmt: skip
                order_hash = session.order_hash
                self._state.certify(
                    Chip(kdd, chip.batch, order_hash, card_id, bytes(made), keys.channel_key,
                         scrapped=False)
                )  # fmt: skip
                item = IssuanceItem(
                    IssuanceKind.CARD_CERTIFICATE, bytes(made), session.order.family,
                    session.order.predecessor, order_hash,
                )  # fmt: skip
                return [item], [bytes(made)]

            return self._release(work, None)[0]  # 6

    def card_certificate(self, session_id: bytes) -> bytes | None:
        """The certificate this session's chip has already, for a desk that was interrupted.

        None without one, or while no channel on our own keys is open. It is in the issuance log
        before it leaves (:class:`keys.errors.IssuanceError`).
        """
        with self._lock:
            session = self.card_session(session_id)
            chip = self._state.chip(session.kdd) if session.kdd and session.is_own else None
            if chip is None or chip.certificate is None:
                return None
            self._state.flush(self._log)  # certified, but perhaps not yet in the log
            return chip.certificate

    def scrap_card(self, card_id: bytes, reason: str) -> None:
        """The card's chip never becomes a card again; the log says why; its order is free.

        :class:`StockError` for an unknown card, one scrapped before, or without a reason.
        """
        with self._lock:
            card = self._state.card(card_id)
            if card is None or card.scrapped:
                raise StockError("no such card, or it was scrapped before")
            if not reason:
                raise StockError("scrapping needs a reason")

            def work() -> Made:
                self._state.scrap(card.kdd)
                return [IssuanceItem(IssuanceKind.SCRAPPED, card_id, note=reason)], []

            self._release(work, None)


def _step(session: CardSession, step: CardStep, apdu: bytes) -> bytes:
    match step:
        case CardStep.INITIALIZE_UPDATE:
            return bytes(session.initialize_update())
        case CardStep.EXTERNAL_AUTHENTICATE:
            return bytes(session.external_authenticate(ResponseApdu.parse(apdu)))
        case CardStep.FINISH:
            session.finish(ResponseApdu.parse(apdu))
            return b""
        case CardStep.PUT_KEY:
            return bytes(session.put_key())
        case CardStep.WRAP:
            return bytes(session.wrap(CommandApdu.parse(apdu)))
        case CardStep.UNWRAP:
            return bytes(session.unwrap(ResponseApdu.parse(apdu)))
