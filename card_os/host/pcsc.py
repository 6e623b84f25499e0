"""PC/SC through pyscard's raw functions: readers by pattern, a watchdog, no CardMonitor.

pyscard's CardMonitor dies for good when pcscd restarts, so waiting is a loop of our own over
SCardGetStatusChange that establishes its context anew. A card that never answers, and a reader
whose answer is empty, block SCardTransmit without end, so every call that reaches a card runs in
a thread with a time limit; after it the thread and its context are left behind (they end when
the card is pulled or pcscd ends).
"""

from __future__ import annotations

import contextlib
import queue
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smartcard import scard

from card_os.host.links import (
    AtrLink,
    CardMute,
    CardRemoved,
    LinkError,
    NoCard,
    NoReader,
    ReaderGone,
    UnresponsiveCard,
    complete,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Glance", "PcscLink", "PcscReader", "list_readers"]

_BOTH = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
_SLICE_MS = 500
_RETRY_S = 0.1
_COUNTER_SHIFT = 16  # pcsclite counts a reader's card events in the upper half of the state

_ERRORS: dict[int, tuple[type[LinkError], str]] = {
    scard.SCARD_W_REMOVED_CARD: (CardRemoved, "the card was removed"),
    scard.SCARD_W_RESET_CARD: (CardRemoved, "the card was reset by someone else"),
    scard.SCARD_E_NOT_TRANSACTED: (CardRemoved, "the card went away within the command"),
    scard.SCARD_E_NO_SMARTCARD: (NoCard, "no card is in the reader"),
    scard.SCARD_W_UNRESPONSIVE_CARD: (CardMute, "the card gives no ATR"),
    scard.SCARD_W_UNPOWERED_CARD: (CardMute, "the card could not be powered"),
    scard.SCARD_W_UNSUPPORTED_CARD: (CardMute, "the card's ATR fits no protocol"),
    scard.SCARD_E_PROTO_MISMATCH: (CardMute, "the card's ATR fits no protocol"),
    scard.SCARD_E_CARD_UNSUPPORTED: (CardMute, "the card's ATR fits no protocol"),
    scard.SCARD_E_UNKNOWN_READER: (ReaderGone, "the reader is gone"),
    scard.SCARD_E_READER_UNAVAILABLE: (ReaderGone, "the reader is gone"),
    scard.SCARD_E_SHARING_VIOLATION: (ReaderGone, "another program holds the card"),
    scard.SCARD_E_NO_READERS_AVAILABLE: (NoReader, "no reader is connected"),
    scard.SCARD_E_NO_SERVICE: (ReaderGone, "pcscd is not running"),
    scard.SCARD_E_SERVICE_STOPPED: (ReaderGone, "pcscd has stopped"),
    scard.SCARD_E_INVALID_HANDLE: (ReaderGone, "pcscd has restarted"),
    scard.SCARD_F_COMM_ERROR: (ReaderGone, "the connection to pcscd broke"),
}


def _check(code: int) -> None:
    if code != scard.SCARD_S_SUCCESS:
        kind, why = _ERRORS.get(code & 0xFFFFFFFF, _ERRORS.get(code, (ReaderGone, "")))
        raise kind(why or f"PC/SC error {code & 0xFFFFFFFF:08X}")


def _establish() -> Any:
    code, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    _check(code)
    return context


class _Watchdog:
    """One thread that does the calls, so that the caller can stop waiting for them."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.stuck = False
        threading.Thread(target=self._work, name="pcsc", daemon=True).start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, arguments = job
            try:
                self._results.put((function(*arguments), None))
            except Exception as error:  # noqa: BLE001 - handed to the caller's thread
                self._results.put((None, error))

    def call(self, timeout_s: float, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return the function's result; raise UnresponsiveCard after the time limit."""
        if self.stuck:
            raise UnresponsiveCard("the card did not answer in time")
        self._jobs.put((function, arguments))
        try:
            result, error = self._results.get(timeout=timeout_s)
        except queue.Empty:
            self.stuck = True
            raise UnresponsiveCard("the card did not answer in time") from None
        if error is not None:
            raise error
        return result

    def close(self, *last: tuple[Any, ...]) -> None:
        """End the thread after its present call, if ever it returns, and these last ones."""
        for function, *arguments in last:
            self._jobs.put((function, arguments))
        self._jobs.put(None)


def list_readers() -> list[str]:
    """Return the names of all readers. Raises ReaderGone when pcscd is not running."""
    context = _establish()
    try:
        return _names(context)
    finally:
        scard.SCardReleaseContext(context)


def _names(context: Any) -> list[str]:
    code, names = scard.SCardListReaders(context, [])
    if code & 0xFFFFFFFF == scard.SCARD_E_NO_READERS_AVAILABLE & 0xFFFFFFFF:
        return []
    _check(code)
    return list(names)


@dataclass(frozen=True, slots=True)
class Glance:
    """A reader at one moment: whether a card is in, and how often one came or went so far."""

    card_in: bool
    events: int
    raw: int


class PcscReader:
    """The first reader whose name matches a regular expression; found again after a restart."""

    def __init__(self, pattern: str, *, timeout_s: float = 30.0) -> None:
        """`timeout_s`: the watchdog's limit for one call. Nothing is opened yet."""
        self._pattern = re.compile(pattern)
        self._timeout_s = timeout_s
        self._context: Any = None
        self._events: int | None = None  # card events counted when we last connected

    def name(self) -> str:
        """Return the reader's name now. Raises NoReader, ReaderGone."""
        for name in self._with_context(_names):
            if self._pattern.search(name):
                return str(name)
        raise NoReader(f"no reader matches {self._pattern.pattern!r}")

    def glance(self, known: Glance | None = None, timeout_s: float = 0.0) -> Glance:
        """The reader now, or at its first change from ``known``. Raises NoReader, ReaderGone."""
        before = 0 if known is None else known.raw
        state, events, raw = self._state(self.name(), before, int(timeout_s * 1000))
        return Glance(bool(state & scard.SCARD_STATE_PRESENT), events, raw)

    def wait_for_card(self, timeout_s: float) -> bool:
        """Wait until a card is in; False when the time is over. Outlives pcscd and the reader."""
        return self._wait(timeout_s, lambda state, _: bool(state & scard.SCARD_STATE_PRESENT))

    def wait_for_removal(self, timeout_s: float) -> bool:
        """Wait until the card last connected to is out, or was changed for another meanwhile."""

        def gone(state: int, events: int) -> bool:
            changed = self._events is not None and events != self._events
            return changed or not state & scard.SCARD_STATE_PRESENT

        return self._wait(timeout_s, gone)

    def connect(self) -> PcscLink:
        """Power the card up. Raises NoReader, ReaderGone, NoCard, CardMute."""
        name = self.name()
        link = PcscLink(name, timeout_s=self._timeout_s)
        self._events = self._state(name)[1]
        return link

    def close(self) -> None:
        """Let go of pcscd."""
        context, self._context = self._context, None
        if context is not None:
            scard.SCardReleaseContext(context)

    def _with_context(self, work: Callable[[Any], Any]) -> Any:
        """Run `work` with our context; once more with a new one if pcscd was restarted."""
        for last in (False, True):
            if self._context is None:
                self._context = _establish()
            try:
                return work(self._context)
            except ReaderGone:
                self.close()
                if last:
                    raise
        return None

    def _state(self, name: str, known: int = 0, timeout_ms: int = 0) -> tuple[int, int, int]:
        """Return (state bits, event counter, raw state), waiting for a change from `known`."""

        def ask(context: Any) -> int:
            code, states = scard.SCardGetStatusChange(context, timeout_ms, [(name, known)])
            if code & 0xFFFFFFFF != scard.SCARD_E_TIMEOUT & 0xFFFFFFFF:
                _check(code)
            return int(states[0][1])

        raw = self._with_context(ask)
        return raw & 0xFFFF, raw >> _COUNTER_SHIFT, raw & ~scard.SCARD_STATE_CHANGED

    def _wait(self, timeout_s: float, done: Callable[[int, int], bool]) -> bool:
        deadline = time.monotonic() + timeout_s
        known = 0
        while True:
            left = deadline - time.monotonic()
            try:
                slice_ms = max(0, min(_SLICE_MS, int(left * 1000)))
                state, events, known = self._state(self.name(), known, slice_ms)
                if done(state, events):
                    return True
            except (NoReader, ReaderGone):
                known = 0
                # A vanished reader holds no card; a vanished pcscd may come back with it.
                time.sleep(max(0.0, min(_RETRY_S, left)))
            if left <= 0:
                return False


class PcscLink(AtrLink):
    """A card in a PC/SC reader, held exclusively; unpowered when closed."""

    def __init__(self, name: str, *, timeout_s: float = 30.0) -> None:
        """Power the card in the reader called `name` up. Raises as `PcscReader.connect`."""
        self.name = name
        self._timeout_s = timeout_s
        self._dog = _Watchdog()
        self._context: Any = None
        self._card: Any = None
        self._pci: Any = None
        try:
            self._context = self._dog.call(timeout_s, _establish)
            exclusive = scard.SCARD_SHARE_EXCLUSIVE
            code, card, protocol = self._dog.call(
                timeout_s, scard.SCardConnect, self._context, name, exclusive, _BOTH
            )
            _check(code)
            self._card = card
            self._note(protocol)
        except BaseException:
            self.close()
            raise

    @property
    def protocol(self) -> str:
        """T=0 or T=1."""
        return "T=0" if self._pci == scard.SCARD_PCI_T0 else "T=1"

    def transmit(self, command: bytes, /) -> bytes:
        """Return the R-APDU. Raises CardRemoved, ReaderGone, UnresponsiveCard."""
        return complete(self._exchange, command, t0=self._pci == scard.SCARD_PCI_T0)

    def reset(self) -> bytes:
        """Cut and restore power; return the ATR. Raises CardRemoved, ReaderGone, CardMute..."""
        if self._card is None:
            raise CardRemoved("the link is closed")
        code, protocol = self._dog.call(
            self._timeout_s,
            scard.SCardReconnect,
            self._card,
            scard.SCARD_SHARE_EXCLUSIVE,
            _BOTH,
            scard.SCARD_UNPOWER_CARD,
        )
        _check(code)
        self._note(protocol)
        return self._atr

    def close(self) -> None:
        """Unpower the card and let go of it."""
        card, context = self._card, self._context
        self._card = self._context = None
        last: list[tuple[Any, ...]] = []
        if card is not None:
            last.append((scard.SCardDisconnect, card, scard.SCARD_UNPOWER_CARD))
        if context is not None:
            last.append((scard.SCardReleaseContext, context))
        if not self._dog.stuck:
            for function, *arguments in last:
                # SystemError: pyscard's answer to a handle that died with pcscd.
                with contextlib.suppress(LinkError, SystemError):
                    self._dog.call(self._timeout_s, function, *arguments)
            last = []
        self._dog.close(*last)

    def _note(self, protocol: int) -> None:
        t0 = protocol == scard.SCARD_PROTOCOL_T0
        self._pci = scard.SCARD_PCI_T0 if t0 else scard.SCARD_PCI_T1
        code, _, _, _, atr = self._dog.call(self._timeout_s, scard.SCardStatus, self._card)
        _check(code)
        if not atr:
            raise CardMute("the card gives no ATR")
        self._atr = bytes(atr)

    def _exchange(self, command: bytes) -> bytes:
        if self._card is None:
            raise CardRemoved("the link is closed")
        code, answer = self._dog.call(
            self._timeout_s, scard.SCardTransmit, self._card, self._pci, list(command)
        )
        _check(code)
        # No bytes with SCARD_S_SUCCESS: the card was cut within the command; `complete` says so.
        return bytes(answer)
