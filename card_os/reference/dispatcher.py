"""GlobalPlatform's OPEN: SELECT, routing, and SCP03 around the answers.

What is selected when, and what an unknown AID gets: docs/foreign-clients.md#selection-and-data.
"""

from __future__ import annotations

from collections.abc import Callable

from card_os.reference.applets import Applet, CardContext
from card_os.reference.content import CardContent
from card_os.reference.errors import CardError
from card_os.reference.security_domain import SD_AID, CardLife, SecurityDomain
from keys.scp03 import INS_EXTERNAL_AUTHENTICATE, INS_INITIALIZE_UPDATE
from keys.securechannel import (
    CLA_SECURED,
    CardMessaging,
    DataTooLongError,
    SecureChannelError,
    SecurityLevel,
)
from wire.apdu import CommandApdu, ResponseApdu
from wire.errors import FormatError
from wire.receipt import Interface

__all__ = ["Dispatcher"]

INS_SELECT = 0xA4
SELECT_BY_NAME = 0x04
FIRST, NEXT = 0x00, 0x02  # P2 of SELECT

SW_OK = 0x9000
SW_LENGTH = 0x6700
SW_SECURITY = 0x6982
SW_SECURE_MESSAGING = 0x6988
SW_NOT_SUPPORTED = 0x6A81
SW_NO_APPLICATION = 0x6A82
SW_P1P2 = 0x6A86


class Dispatcher:
    """One logical channel. The selected AID and the SCP03 session are all its RAM."""

    def __init__(
        self,
        domain: SecurityDomain,
        content: CardContent,
        *,
        random: Callable[[int], bytes],
        interface: Interface,
    ) -> None:
        self._domain = domain
        self._content = content
        self._random = random
        self._interface = interface
        self._selected = SD_AID

    def reset(self) -> None:
        """Power came: RAM is gone and the security domain is selected again."""
        self._domain.reset()
        self._content.power_on()
        self._selected = SD_AID

    def transmit(self, raw: bytes) -> bytes:
        """Answer one whole C-APDU. Raises PowerLoss."""
        try:
            return bytes(self._answer(CommandApdu.parse(raw)))
        except FormatError:
            return bytes(ResponseApdu(b"", SW_LENGTH))
        except CardError as error:
            return bytes(ResponseApdu(error.data, error.sw))

    def _answer(self, command: CommandApdu) -> ResponseApdu:
        head = (command.cla, command.ins)
        if head == (0x00, INS_SELECT) and command.p1 == SELECT_BY_NAME:
            return self._select(command)
        if head == (0x80, INS_INITIALIZE_UPDATE):
            return self._domain.initialize_update(command)
        if head == (0x84, INS_EXTERNAL_AUTHENTICATE) and (
            self._domain.opening or (self._selected == SD_AID and self._domain.session is None)
        ):
            return self._domain.external_authenticate(command)
        session = self._domain.session
        if session is None:
            return self._run(command, None)
        if session.level is SecurityLevel.NONE or command.cla & CLA_SECURED:
            return self._run_secured(command, session)
        # A command without secure messaging ends the session; an applet may still answer it.
        self._domain.end_session()
        if self._selected == SD_AID:
            raise CardError(SW_SECURITY, "secure messaging expected")
        return self._run(command, None)

    def _run_secured(self, command: CommandApdu, session: CardMessaging) -> ResponseApdu:
        try:
            plain = session.unwrap(command)
        except SecureChannelError as error:
            self._domain.end_session()
            own = self._selected == SD_AID
            raise CardError(SW_SECURITY if own else SW_SECURE_MESSAGING, str(error)) from None
        try:
            answer = self._run(plain, session)
        except CardError as error:
            answer = ResponseApdu(b"", error.sw)
        except FormatError:
            answer = ResponseApdu(b"", SW_LENGTH)
        try:
            return session.wrap(answer)
        except DataTooLongError:
            self._domain.end_session()
            raise CardError(SW_LENGTH, "the answer does not fit") from None

    def _run(self, command: CommandApdu, session: CardMessaging | None) -> ResponseApdu:
        if self._selected == SD_AID:
            return self._domain.process(command)
        context = CardContext(self._interface, self._random, session)
        return ResponseApdu(self._applet().process(command, context), SW_OK)

    def _applet(self) -> Applet:
        return self._content.applet(self._selected)

    def _select(self, command: CommandApdu) -> ResponseApdu:
        """SELECT by AID, its beginning, or without one (the security domain).

        A failed SELECT leaves the selected application and its session as they are.
        """
        if command.p2 not in {FIRST, NEXT}:
            raise CardError(SW_P1P2)
        aid = self._find(command.data, following=command.p2 == NEXT)
        life = self._domain.life
        if aid != SD_AID and life >= CardLife.CARD_LOCKED:
            raise CardError(SW_NOT_SUPPORTED, f"the card is {life.name}")
        if self._selected != SD_AID:
            self._applet().deselect()
        self._domain.reset()
        self._selected = aid
        if aid == SD_AID:
            return self._domain.select()
        return ResponseApdu(self._applet().select(), SW_OK)

    def _find(self, beginning: bytes, *, following: bool) -> bytes:
        """Return the AID meant; the domain comes first, then instances in order of AID."""
        if not beginning:
            return SD_AID
        if len(beginning) < 5:  # ISO 7816-4: an AID has its 5-byte RID at least
            raise CardError(SW_NO_APPLICATION, "less than a RID")
        selectable = [i.aid for i in self._content.instances().values() if i.selectable]
        matches = [aid for aid in (SD_AID, *selectable) if aid.startswith(beginning)]
        if following and self._selected in matches:
            matches = matches[matches.index(self._selected) + 1 :]
        if not matches:
            raise CardError(SW_NO_APPLICATION, "no such application")
        return matches[0]
