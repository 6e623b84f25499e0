"""The way to a session with a card, and what a card is that gives none (PROTOCOL.md §2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from card_os.host import errors
from card_os.host.links import Link
from card_os.host.opening import CardIdentity
from card_os.host.purse import PurseSession
from keys.errors import KeysError
from terminal.guard import StoppedError, TurnedAwayError
from terminal.outcomes import Stop
from wire import cvc
from wire.errors import WireError
from wire.log import Reason

if TYPE_CHECKING:
    from terminal.engine import Credentials, Engine


def open_session(
    engine: Engine, link: Link, credentials: Credentials
) -> tuple[PurseSession, bytes]:
    """The session and the card's certificate (its bytes): SELECT to READ STATE.

    Every way a card can be another one has its own reason (TurnedAwayError); a card that refuses
    this terminal's certificate stops it (StoppedError). Other ``HostError`` pass.
    """
    env = engine.journal.station.env
    seen: list[bytes] = []

    def verify(certificate: cvc.Certificate) -> CardIdentity:
        try:
            engine.roster.trust.card_certificate(certificate)
        except (KeysError, WireError) as e:
            raise TurnedAwayError(Reason.CARD_CERTIFICATE, certificate.subject, str(e)) from e
        seen.append(certificate.raw)
        return CardIdentity.of(certificate)

    try:
        session = PurseSession.open(
            link, env=env, certificate=credentials.certificate, channel_key=credentials.key,
            verify_card_certificate=verify, random=engine.random, links=engine.roster.links(),
        )  # fmt: skip
        return session, seen[0]
    except errors.NotOurCardError as e:
        raise TurnedAwayError(_reason_of(e, ours_is_specimen=env.is_specimen), None, str(e)) from e
    except errors.NotThereError as e:
        if isinstance(e, errors.KeyUnknownError):
            raise StoppedError(Stop.CARD_REFUSES_US) from e
        raise TurnedAwayError(Reason.CARD_CERTIFICATE, None, "not personalised") from e
    except (errors.DateRefusedError, errors.SignatureRefusedError, errors.DataRefusedError) as e:
        raise StoppedError(Stop.CARD_REFUSES_US) from e


def _reason_of(error: errors.NotOurCardError, *, ours_is_specimen: bool) -> Reason:
    match error:
        case errors.MuteCardError():
            return Reason.DEAD_CARD
        case errors.OtherEnvironmentError() if error.is_specimen and not ours_is_specimen:
            return Reason.SPECIMEN_CARD
        case errors.OtherEnvironmentError() if not error.is_specimen and ours_is_specimen:
            return Reason.TRAINING_CARD
        case _:
            return Reason.FOREIGN_CARD
