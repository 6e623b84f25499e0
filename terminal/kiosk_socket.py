"""A served card watched without pcscd (demo only): presence is asked by connecting.

While a visit holds the card nobody else can ask, so a card that leaves then is told by the next
command.
"""

from __future__ import annotations

import time

from card_os.host.links import CardMute, Link, NoCard
from card_os.host.pcsc import Glance
from card_os.host.socketlink import SocketLink

POLL_S = 0.2


class _Held(SocketLink):
    """A link that tells its reader when it was closed."""

    is_open = True

    def close(self) -> None:
        """End the connection."""
        self.is_open = False
        super().close()


class SocketReader:
    """Stands where :class:`card_os.host.pcsc.PcscReader` does; ``address`` as for SocketLink."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._held: _Held | None = None

    def connect(self) -> Link:
        """Power the card up. Raises NoReader, NoCard, CardMute."""
        self._held = _Held(self._address)
        return self._held

    def glance(self, known: Glance | None = None, timeout_s: float = 0.0) -> Glance:
        """Whether a card is in, at the first change from ``known``. Raises NoReader."""
        deadline = time.monotonic() + timeout_s
        while True:
            card_in = self._card_in()
            if known is None or known.card_in != card_in or time.monotonic() >= deadline:
                events = 0 if known is None else known.events + (known.card_in != card_in)
                return Glance(card_in, events, 0)
            time.sleep(POLL_S)

    def _card_in(self) -> bool:
        if self._held is not None and self._held.is_open:
            return True
        try:
            SocketLink(self._address).close()
        except NoCard:
            return False
        except CardMute:
            return True
        return True
