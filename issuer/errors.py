"""Errors of the desk: its own storage, orders and configuration.

What happens with a card is no error but an :mod:`issuer.outcomes` value. Both with their words:
docs/errors.md#issuing-desk.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """What went wrong, as a key into :mod:`issuer.messages`."""

    ISSUER = "issuer"
    LOG = "log"
    LOG_FULL = "log-full"
    LOG_BUSY = "log-busy"
    LOG_DAMAGED = "log-damaged"
    LOG_OF_ANOTHER = "log-of-another"
    ACK_REFUSED = "ack-refused"
    ORDER_REFUSED = "order-refused"
    ORDER_DIFFERS = "order-differs"
    ORDER_UNKNOWN = "order-unknown"
    CAP = "cap"
    PROFILE = "card-profile"
    CONFIG = "config"
    NOT_PROVISIONED = "not-provisioned"
    TRANSFER = "transfer"
    MAIL = "mail"
    SCRAP = "scrap"
    SKIP = "skip"


class IssuerError(Exception):
    """Base of every error of the desk. ``code`` names its message."""

    code = Code.ISSUER


class LogError(IssuerError):
    """The desk log could not be read or written; what was there before still is."""

    code = Code.LOG


class LogFullError(LogError):
    """No room on the disk: nothing was written, and nothing may follow from it."""

    code = Code.LOG_FULL


class LogBusyError(LogError):
    """Another program holds the desk log; nothing was written."""

    code = Code.LOG_BUSY


class LogDamagedError(LogError):
    """The desk log does not hold the chain it says it holds."""

    code = Code.LOG_DAMAGED


class OtherStationError(LogError):
    """The file belongs to another station or enrolment."""

    code = Code.LOG_OF_ANOTHER


class AcknowledgementRefusedError(IssuerError):
    """The acknowledgement is not for this log; nothing was pruned."""

    code = Code.ACK_REFUSED


class OrderRefusedError(IssuerError):
    """The order does not stand, is for another desk, or has ended; it was not taken."""

    code = Code.ORDER_REFUSED


class OrderDiffersError(OrderRefusedError):
    """An order of this number is held with other bytes; the first one stays."""

    code = Code.ORDER_DIFFERS


class OrderUnknownError(IssuerError):
    """No order of this number is held."""

    code = Code.ORDER_UNKNOWN


class ScrapRefusedError(IssuerError):
    """Nothing of this order can be scrapped, or no reason was given."""

    code = Code.SCRAP


class SkipRefusedError(IssuerError):
    """The order names its family's row, or a card of it was begun: it keeps its place."""

    code = Code.SKIP


class CapFormatError(IssuerError):
    """The file is no CAP file, or not one that this program or the chosen card can take."""

    code = Code.CAP


class ProfileError(IssuerError):
    """The card profile or the transport keys cannot be used; no card was touched."""

    code = Code.PROFILE


class ConfigError(IssuerError):
    """The desk's folder does not hold what is needed, or holds it already."""

    code = Code.CONFIG


class NotProvisionedError(ConfigError):
    """The desk has not been provisioned yet."""

    code = Code.NOT_PROVISIONED


class TransferError(IssuerError):
    """The backend could not be reached, or refused; everything is kept for next time."""

    code = Code.TRANSFER


class MailError(IssuerError):
    """The mailer of a transport code could not be sealed, kept or opened."""

    code = Code.MAIL
