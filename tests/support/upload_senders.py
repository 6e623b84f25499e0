"""Who sends: uploaders over HTTP and the same uploads as files, until each was acknowledged."""

from __future__ import annotations

import http.client
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from keys.signer import sign_object
from tests.support.campaign import FaultError
from tests.support.upload_story import Story
from wire.log import Record, Upload
from wire.objects import Acknowledgement, KeyRole, UploadHead, open_signed

OK, CONFLICT, LATER = 200, 409, {503, 507}
END_S = 240.0
"""Uploaders give up after so many seconds without a backend."""


Sent = tuple[int, bytes]
"""The last sequence of an upload, and its bytes."""


def uploads(story: Story, station: bytes, random: Random) -> list[Sent]:
    """One uploader's: the whole chain in parts that overlap, some of them the whole so far."""
    records, made, end = story.chains[station], [], 0
    while end < len(records):
        first = max(1, end + 1 - random.choice((0, 0, 1, 5, 5, end)))
        end = min(len(records), end + random.randrange(5, 60))
        made.append((end, _upload(story, station, records[first - 1 : end])))
    return made


def _upload(story: Story, station: bytes, part: list[Record]) -> bytes:
    head = UploadHead(station, part[0].sequence, part[-1].sequence, part[-1].hash)
    return bytes(Upload(head, sign_object(story.log_keys[station], head, story.env), tuple(part)))


@dataclass
class Office:
    """What the uploaders share: whether the backend is up, and what was acknowledged."""

    story: Story
    port: int = 0
    is_up: bool = False
    waiting: int = 0
    acks: dict[tuple[bytes, int], bytes] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    turn: threading.Condition = field(default_factory=threading.Condition)

    def wait(self) -> int:
        """The port, as soon as the backend is up; 0 when all is over."""
        with self.turn:
            self.waiting += 1
            self.turn.notify_all()
            self.turn.wait_for(lambda: self.is_up or self.faults, END_S)
            self.waiting -= 1
            return 0 if self.faults else self.port

    def set(self, *, is_up: bool, port: int = 0) -> None:
        """The backend came, or is about to be killed."""
        with self.turn:
            self.is_up, self.port = is_up, port
            self.turn.notify_all()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """What goes wrong inside ends the round."""
        try:
            yield
        except Exception as e:  # noqa: BLE001 - told by the round
            with self.turn:
                self.faults.append(f"{type(e).__name__}: {e}")
                self.turn.notify_all()

    def answered(self, station: bytes, last: int, raw: bytes) -> None:
        """An acknowledgement of an upload that ends at ``last``."""
        ack = self.story.keys.signers[KeyRole.ACK, 1].public_key
        shape = open_signed(Acknowledgement, raw, ack, self.story.env)
        if shape.station != station or shape.last < last:
            raise FaultError(f"an upload to {last} was acknowledged to {shape.last}")
        with self.turn:
            self.acks[station, shape.last] = shape.head
            self.counts["acknowledgements"] += 1
            self.turn.notify_all()


class Uploader(threading.Thread):
    """Sends its uploads in any order, some again, until each was acknowledged."""

    def __init__(self, office: Office, station: bytes, seed: int) -> None:
        super().__init__(daemon=True)
        self.office, self.station = office, station
        self.random = Random(seed)  # noqa: S311 - repeatable
        self.left = uploads(office.story, station, self.random)

    def run(self) -> None:
        """Until nothing is left."""
        with self.office.listening():
            while self.left and (port := self.office.wait()):
                self._connected(port)

    def _connected(self, port: int) -> None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            while self.left and self.office.is_up:
                self._send(line, self.random.choice(self.left))
        except (OSError, http.client.HTTPException):
            self.office.counts["lines lost"] += 1
        finally:
            line.close()

    def _send(self, line: http.client.HTTPConnection, sent: Sent) -> None:
        line.request("POST", "/v1/uploads", sent[1])
        answer = line.getresponse()
        body, code = answer.read(), answer.status
        if code == OK:
            self.office.answered(self.station, sent[0], body)
            if self.random.random() > 0.2:
                self.left.remove(sent)
        elif code == CONFLICT and b'"expected"' in body:
            self.office.counts["too early"] += 1
        elif code in LATER:
            self.office.counts["told to come later"] += 1
        else:
            raise FaultError(f"an honest upload was answered {code}: {body[:300]!r}")


class Sticks(threading.Thread):
    """The same uploads as files of two stations, again until ``ingest`` says it took them all.

    ``ingest`` takes their paths and gives the program's exit status and what it printed.
    """

    def __init__(self, office: Office, folder: Path, random: Random,
                 ingest: Callable[[list[str]], tuple[int, str]]) -> None:  # fmt: skip
        super().__init__(daemon=True)
        self.office, self.ingest = office, ingest
        self.files: list[tuple[bytes, int, Path]] = []
        for station in random.sample(sorted(office.story.chains), 2):
            for last, raw in uploads(office.story, station, random):
                path = folder / f"{station.decode()}-{len(self.files):03d}"
                path.write_bytes(raw)
                self.files.append((station, last, path))

    def run(self) -> None:
        """Until they are taken."""
        with self.office.listening():
            while not self._taken():
                self.office.counts["ingest cut off"] += 1
            self.office.counts["files taken"] += 1
            for station, last, path in self.files:
                self.office.answered(station, last, path.with_suffix(".ack").read_bytes())

    def _taken(self) -> bool:
        code, told = self.ingest([str(path) for _, _, path in self.files])
        if code not in {0, -signal.SIGKILL} and "sibuk" not in told.lower():
            raise FaultError(f"ingest of files ended with {code}: {told}")
        return code == 0
