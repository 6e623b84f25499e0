"""The card on the reader, one after the other: PC/SC by pattern, or a served card's socket."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from card_os.host.links import Link, LinkError, NoCard
from issuer.identify import chip_of

if TYPE_CHECKING:
    from card_os.host.pcsc import PcscReader

SOCKET = "socket:"
_POLL_S = 0.1


class Stack(Protocol):
    """Gives one card at a time."""

    def next(self, timeout_s: float) -> Link | None:
        """The next card, powered; None when none came in time. Raises ``links.LinkError``."""
        ...

    def again(self) -> Link:
        """The card that :meth:`next` gave, once more, its link closed. Raises ``LinkError``."""
        ...

    def is_out(self, timeout_s: float) -> bool:
        """Whether that card is out, or was changed for another, within the time."""
        ...

    def name(self) -> str:
        """The reader's name. Raises ``links.NoReader``, ``links.ReaderGone``."""
        ...


def open_stack(reader: str) -> Stack:
    """The stack of a reader: a pattern of its PC/SC name, or ``socket:ADDRESS``."""
    return SocketStack(reader[len(SOCKET) :]) if reader.startswith(SOCKET) else PcscStack(reader)


class PcscStack:
    """Cards in the PC/SC reader whose name matches."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._reader = self._find()
        self._lies = False  # the last card, as far as its removal was not seen

    def _find(self) -> PcscReader:
        from card_os.host.pcsc import PcscReader  # noqa: PLC0415 - needs libpcsclite

        return PcscReader(self._pattern)

    def next(self, timeout_s: float) -> Link | None:
        """See :class:`Stack`: the last card must be out, or changed, before the next counts."""
        if self._lies and not self.is_out(timeout_s):
            return None
        if not self._reader.wait_for_card(timeout_s):
            return None
        self._lies = True
        try:
            return self._reader.connect()
        except LinkError as e:
            # A card never connected to is told from the next one by its removal alone; where
            # none was, the one that is there at last counts.
            self._reader.close()
            self._reader = self._find()
            self._lies = not isinstance(e, NoCard)
            raise

    def again(self) -> Link:
        """See :class:`Stack`."""
        return self._reader.connect()

    def is_out(self, timeout_s: float) -> bool:
        """See :class:`Stack`."""
        is_out = self._reader.wait_for_removal(timeout_s)
        self._lies = self._lies and not is_out
        return is_out

    def name(self) -> str:
        """See :class:`Stack`."""
        return self._reader.name()


class SocketStack:
    """Cards served on a socket (``--demo`` without pcscd): another chip counts as the next."""

    def __init__(
        self, address: str, clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._address, self._clock, self._pause = address, clock, pause
        self._last: bytes | None = None

    def next(self, timeout_s: float) -> Link | None:
        """See :class:`Stack`."""
        from card_os.host.socketlink import SocketLink  # noqa: PLC0415 - one of two ways

        end = self._clock() + timeout_s
        while True:
            try:
                link = SocketLink(self._address)
            except NoCard:
                self._last = None
            else:
                chip = self._chip(link)
                if self._last is None or chip != self._last:
                    self._last = chip
                    return link
                link.close()
            if self._clock() >= end:
                return None
            self._pause(_POLL_S)

    def again(self) -> Link:
        """See :class:`Stack`."""
        from card_os.host.socketlink import SocketLink  # noqa: PLC0415 - one of two ways

        return SocketLink(self._address)

    def is_out(self, timeout_s: float) -> bool:
        """See :class:`Stack`."""
        end = self._clock() + timeout_s
        while True:
            try:
                link = self.again()
            except NoCard:
                return True
            except LinkError:
                pass  # a mute one lies there still
            else:
                chip = self._chip(link)
                link.close()
                if chip != self._last:
                    return True
            if self._clock() >= end:
                return False
            self._pause(_POLL_S)

    def name(self) -> str:
        """See :class:`Stack`."""
        return self._address

    @staticmethod
    def _chip(link: Link) -> bytes:
        try:
            return link.atr + chip_of(link)
        except LinkError:
            return link.atr
