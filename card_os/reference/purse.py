"""The purse: a Betang card's application (card_os/SPEC.md).

`PurseApplet` holds the session in RAM and refuses in SPEC.md's order; what a command then checks
and writes is its handler's (purse_commands).
"""

from __future__ import annotations

from card_os.reference.applets import CardContext, CardServices
from card_os.reference.errors import CardError
from card_os.reference.memory import Store
from card_os.reference.purse_commands import COMMANDS
from card_os.reference.purse_issue import generate_keys
from card_os.reference.purse_session import Operation, Session
from card_os.reference.purse_store import PurseStore
from card_os.reference.purse_trust import (
    apply_link,
    check_terminal_certificate,
    parse_certificate,
)
from keys.scp11 import open_card_session
from keys.securechannel import CLA_SECURED, SecureChannelError, SecurityLevel
from wire import ecdsa
from wire.apdu import CommandApdu, ResponseApdu
from wire.cvc import Certificate, LinkExtension, Role, TerminalExtension
from wire.env import purse_aid
from wire.errors import FormatError, require
from wire.purse import (
    KID_CA,
    KID_SCP11A,
    KVN_PURSE,
    SPEC_VERSION,
    Fci,
    Ins,
    InstallParameters,
    Life,
    Read,
    Sw,
)

__all__ = ["PurseApplet"]

CLA_PLAIN = 0x80
P1_P2_CERTIFICATE = (0x7F, 0x21)
_PLAIN_INS = frozenset({Ins.PSO, Ins.GET_DATA, Ins.MUTUAL_AUTHENTICATE, Ins.GENERATE_KEYS})


class PurseApplet:
    """One purse; the object is its RAM (see `card_os.reference.applets.Applet`)."""

    def __init__(self, store: Store, install_parameters: bytes, services: CardServices) -> None:
        """``install_parameters`` is C9 of INSTALL; raises CardError 6A80 for a bad one.

        An instance whose AID is not that of its environment's world is refused the same way.
        """
        try:
            self._anchors = InstallParameters.parse(install_parameters)
            require(self._anchors.root_key[0] == 0x04, "root key is not uncompressed")
            ecdsa.p256_public_key(self._anchors.root_key)
        except FormatError as e:
            raise CardError(Sw.WRONG_DATA, str(e)) from e
        if services.aid != purse_aid(self._anchors.env):
            raise CardError(Sw.WRONG_DATA, "AID of another world")
        self._store = PurseStore(store)
        self._certificate: Certificate | None = None
        self._session: Session | None = None

    def select(self) -> bytes:
        """Wipe RAM; the FCI says which world and which version, nothing of the card."""
        self._wipe()
        return bytes(Fci(self._anchors.env, SPEC_VERSION))

    def deselect(self) -> None:
        """Wipe RAM."""
        self._wipe()

    def process(self, command: CommandApdu, ctx: CardContext) -> bytes:
        """Answer one command; raises CardError (its ``data`` is the R-MAC of a 63Cx)."""
        if ctx.secure_channel is not None:
            self._wipe()
            return self._over_scp03(command, ctx)
        secured = command.cla & ~CLA_SECURED in {0x00, CLA_PLAIN} and command.cla & CLA_SECURED
        if secured and self._session is not None:
            return self._secured(self._session, command, ctx)
        if secured:
            raise CardError(Sw.SECURE_MESSAGING_WRONG, "no session")
        return self._plain(command, ctx)

    def _wipe(self) -> None:
        if self._session is not None:
            self._session.messaging.close()
        self._session = None
        self._certificate = None

    # Without secure messaging

    def _plain(self, command: CommandApdu, ctx: CardContext) -> bytes:
        """PSO, GET DATA, MUTUAL AUTHENTICATE; anything bare ends an open session."""
        in_session = self._session is not None
        if in_session:
            self._wipe()
            if (command.cla, command.ins) != (CLA_PLAIN, Ins.PSO):
                raise CardError(Sw.SECURE_MESSAGING_WRONG, "bare command in a session")
        if command.cla != CLA_PLAIN:
            raise CardError(Sw.CLA_NOT_SUPPORTED)
        match command.ins:
            case Ins.PSO:
                return self._perform_security_operation(command, in_session=in_session)
            case Ins.GET_DATA:
                return self._get_data(command)
            case Ins.MUTUAL_AUTHENTICATE:
                return self._mutual_authenticate(command, ctx)
            case Ins.GENERATE_KEYS:
                raise CardError(Sw.CONDITIONS_NOT_SATISFIED, "only under SCP03")
            case ins if ins in COMMANDS:
                raise CardError(Sw.SECURE_MESSAGING_WRONG, "only under secure messaging")
        raise CardError(Sw.INS_NOT_SUPPORTED)

    def _perform_security_operation(self, command: CommandApdu, *, in_session: bool) -> bytes:
        self._wipe()
        if command.p2 != KID_CA:
            raise CardError(Sw.DATA_NOT_FOUND, "P2")
        certificate = parse_certificate(self._anchors, command.data)
        if isinstance(certificate.extension, LinkExtension):
            if in_session:
                raise CardError(Sw.CONDITIONS_NOT_SATISFIED, "link within a session")
            apply_link(self._store, self._anchors, certificate)
        else:
            check_terminal_certificate(self._store, certificate)
            self._certificate = certificate
        return b""

    def _get_data(self, command: CommandApdu) -> bytes:
        if (command.p1, command.p2) != P1_P2_CERTIFICATE:
            raise CardError(Sw.DATA_NOT_FOUND)
        if command.data:
            raise CardError(Sw.WRONG_LENGTH)
        if self._certificate is None:
            raise CardError(Sw.CONDITIONS_NOT_SATISFIED, "no certificate accepted")
        if not self._store.card.personalised:
            raise CardError(Sw.DATA_NOT_FOUND)
        return self._store.certificate

    def _mutual_authenticate(self, command: CommandApdu, ctx: CardContext) -> bytes:
        if (command.p1, command.p2) != (KVN_PURSE, KID_SCP11A):
            raise CardError(Sw.DATA_NOT_FOUND, "no such key")
        card, certificate = self._store.card, self._certificate
        if card.life < Life.KEYED or certificate is None:
            raise CardError(Sw.CONDITIONS_NOT_SATISFIED)
        extension = certificate.extension
        personaliser = (
            isinstance(extension, TerminalExtension) and extension.role is Role.PERSONALISER
        )
        if not card.personalised and not personaliser:
            raise CardError(Sw.CONDITIONS_NOT_SATISFIED, "only a personaliser yet")
        channel = self._store.keys(card).channel
        try:
            answer, messaging = open_card_session(
                command, channel, certificate.public_key, ctx.random
            )
        except SecureChannelError as e:
            raise CardError(Sw.WRONG_DATA, str(e)) from e
        self._session = Session(certificate, messaging)
        return answer.data

    # Under the security domain's SCP03

    def _over_scp03(self, command: CommandApdu, ctx: CardContext) -> bytes:
        if command.cla != CLA_PLAIN:
            raise CardError(Sw.CLA_NOT_SUPPORTED)
        if command.ins not in _PLAIN_INS and command.ins not in COMMANDS:
            raise CardError(Sw.INS_NOT_SUPPORTED)
        channel = ctx.secure_channel
        full = channel is not None and channel.level is SecurityLevel.FULL
        if command.ins != Ins.GENERATE_KEYS or not full or self._store.card.personalised:
            raise CardError(Sw.CONDITIONS_NOT_SATISFIED)
        if (command.p1, command.p2) != (0, 0):
            raise CardError(Sw.WRONG_P1P2)
        if command.data:
            raise CardError(Sw.WRONG_LENGTH)
        return generate_keys(self._store, ctx.random)

    # Under our own SCP11a

    def _secured(self, session: Session, command: CommandApdu, ctx: CardContext) -> bytes:
        """Unwrap, dispatch, wrap: an error goes out bare, a 63Cx with its MAC (GPC Amd D)."""
        try:
            plain = session.messaging.unwrap(command)
        except SecureChannelError as e:
            self._wipe()
            raise CardError(Sw.SECURE_MESSAGING_WRONG, str(e)) from e
        try:
            data = self._dispatch(session, plain, ctx)
        except CardError as e:
            refused = session.messaging.wrap(ResponseApdu(b"", e.sw))
            raise CardError(e.sw, data=refused.data) from e
        return session.messaging.wrap(ResponseApdu(data, Sw.OK)).data

    def _dispatch(self, session: Session, command: CommandApdu, ctx: CardContext) -> bytes:
        """Refuse in SPEC.md's order: CLA, INS, first READ STATE, role, P1/P2, life, length."""
        if command.cla != CLA_PLAIN:
            raise CardError(Sw.CLA_NOT_SUPPORTED)
        if command.ins == Ins.GENERATE_KEYS:
            raise CardError(Sw.CONDITIONS_NOT_SATISFIED, "only under SCP03")
        entry = COMMANDS.get(command.ins)
        if entry is None:
            raise CardError(Sw.INS_NOT_SUPPORTED)
        is_read_state = (command.ins, command.p1) == (Ins.READ, Read.STATE)
        if not session.state_read and not is_read_state:
            raise CardError(Sw.CONDITIONS_NOT_SATISFIED, "READ STATE comes first")
        if session.role not in entry.roles(command.p1):
            raise CardError(Sw.SECURITY_NOT_SATISFIED, "role")
        variant = entry.variants.get(command.p1)
        if variant is None or command.p2 not in variant.p2:
            raise CardError(Sw.WRONG_P1P2)
        if self._store.card.life not in variant.lives:
            raise CardError(entry.wrong_life)
        if not variant.fits(len(command.data)):
            raise CardError(Sw.WRONG_LENGTH)
        return variant.handler(
            Operation(self._store, self._anchors, session, command, ctx.interface)
        )
