"""The counter's one worker: it owns engine, store and card; a watcher tells it of the reader."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Protocol

from card_os.host.links import LinkError
from card_os.host.pcsc import Glance
from terminal.kiosk import Kiosk
from terminal.kiosk_commands import Command
from terminal.kiosk_screens import Stopped

SLICE_S = 0.5
MINUTE_S = 60
LOG = logging.getLogger(__name__)

Job = Callable[[Kiosk], None]


class Watched(Protocol):
    """A reader that can be watched (:class:`card_os.host.pcsc.PcscReader`)."""

    def glance(self, known: Glance | None = None, timeout_s: float = 0.0) -> Glance:
        """The reader at its first change; NoReader, ReaderGone."""


class KioskThread:
    """Runs a :class:`Kiosk` made by ``make`` in a thread of its own until :meth:`stop`."""

    def __init__(self, make: Callable[[], Kiosk], reader: Watched) -> None:
        self._make, self._reader = make, reader
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._end = threading.Event()
        self._started = threading.Event()
        self._fault: BaseException | None = None
        self.card_came_s = 0.0
        self._threads = [
            threading.Thread(target=self._work, name="kiosk", daemon=True),
            threading.Thread(target=self._watch, name="reader", daemon=True),
        ]

    def start(self) -> None:
        """Start; raises what opening the engine raised."""
        worker, watcher = self._threads
        worker.start()
        self._started.wait()
        if self._fault is not None:
            raise self._fault
        watcher.start()

    def stop(self) -> None:
        """Let go of the card; a step that runs is finished first."""
        self._end.set()
        self._jobs.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def command(self, number: int, command: Command) -> None:
        """Have a command done; returns at once."""
        self._jobs.put(lambda kiosk: kiosk.command(number, command))

    # --- worker ----------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            kiosk = self._make()
        except BaseException as e:  # noqa: BLE001 - raised again by start()
            self._fault = e
            return
        finally:
            self._started.set()
        try:
            while (job := self._next()) is not None:
                job(kiosk)
        except Exception:
            # Nothing is known any more: say so, touch nothing; the journal tells after a restart.
            LOG.exception("the counter has stopped")
            kiosk.show(Stopped())
        finally:
            kiosk.close()

    def _next(self) -> Job | None:
        """The next thing to do; at the turn of a minute the strip's clock."""
        try:
            return self._jobs.get(timeout=MINUTE_S - time.time() % MINUTE_S)
        except queue.Empty:
            return Kiosk.refresh

    # --- watcher ---------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Turn the reader's states into events; a card changed within a blink went and came."""
        known: Glance | None = None
        is_in, is_here = False, True
        while not self._end.is_set():
            try:
                now = self._reader.glance(known, SLICE_S)
            except LinkError:
                if is_here:
                    self._jobs.put(lambda kiosk: kiosk.reader_changed(present=False))
                if is_in:
                    self._jobs.put(Kiosk.card_went)
                known, is_in, is_here = None, False, False
                self._end.wait(SLICE_S)
                continue
            if not is_here:
                self._jobs.put(lambda kiosk: kiosk.reader_changed(present=True))
            swapped = known is not None and now.events - known.events > 1
            if is_in and (swapped or not now.card_in):
                self._jobs.put(Kiosk.card_went)
                is_in = False
            if now.card_in and not is_in:
                self.card_came_s = time.time()
                self._jobs.put(Kiosk.card_came)
            known, is_in, is_here = now, now.card_in, True
