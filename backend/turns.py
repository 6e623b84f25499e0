"""One job at a time drafts objects of one kind and has them signed, whatever process it runs in.

docs/ledger.md#one-job-at-a-time.
A job drafts, waits for two people with no transaction open, and enters what was signed. Two at
once would sign each other's drafts with each other's request. A turn is a lock that dies with its
holder: a locked file beside a SQLite database, an advisory lock of a PostgreSQL session.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Engine, text

from backend import notes
from backend.errors import BusyError

POLL_S = 0.02
WAIT_S = 120.0


class Turns:
    """Turns by name on one database; a job waits ``wait_s`` for another's, then is refused."""

    def __init__(
        self, engine: Engine, wait_s: float = WAIT_S, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._engine, self._wait_s, self._pause = engine, wait_s, pause

    @contextmanager
    def take(self, name: str) -> Iterator[None]:
        """Hold the turn ``name``; :class:`BusyError` when another job keeps it too long.

        Not to be taken again by its holder, and never with a transaction open.
        """
        release = self._acquire(name)
        try:
            yield
        finally:
            release()

    def _acquire(self, name: str) -> Callable[[], None]:
        release = self._try(name)
        if release is not None:
            return release
        notes.log().info("another job has the turn", turn=name)
        end = time.monotonic() + self._wait_s
        while release is None:
            if time.monotonic() >= end:
                raise BusyError(f"another job has worked on {name} for {self._wait_s:.0f} s")
            self._pause(POLL_S)
            release = self._try(name)
        return release

    def _try(self, name: str) -> Callable[[], None] | None:
        if self._engine.dialect.name == "postgresql":
            return self._try_session(int.from_bytes(sha256(name.encode()).digest()[:8], "big",
                                                    signed=True))  # fmt: skip
        return self._try_file(name)

    def _try_file(self, name: str) -> Callable[[], None] | None:
        folder = Path(f"{self._engine.url.database}-turns")
        folder.mkdir(mode=0o700, exist_ok=True)
        file = (folder / name).open("ab")
        try:
            # Two descriptors exclude each other within one process too: threads wait as well.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        except BaseException:
            file.close()
            raise
        return file.close

    def _try_session(self, key: int) -> Callable[[], None] | None:
        # A connection is kept only while the lock is held: those who wait leave the pool free.
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            is_ours = connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key})
        except BaseException:
            connection.close()
            raise
        if not is_ours:
            connection.close()
            return None

        def release() -> None:
            with connection:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})

        return release
