"""The two doors of ``betang-backend serve``, as a process: what stations reach, and what not."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from backend.api import make_app, make_office_app
from backend.serve import DOOR
from keys import doors
from keys.hierarchy import World
from keys.issuance import HttpIssuance, IssuanceItem, encode_items
from tests.support.backend_world import BackendWorld
from tests.unit.backend.test_cli import SECRET, init, people
from tests.unit.backend.test_storage import ask
from wire.chain import IssuanceKind

__all__ = ["people"]

OFFICE = [
    ("POST", "/v1/issuance"), ("POST", "/v1/enrolments?area=*&place=x"), ("POST", "/v1/officers"),
    ("GET", "/v1/report"), ("GET", "/metrics"),
]  # fmt: skip
ITEM = IssuanceItem(IssuanceKind.OBJECT, bytes(32), note="bundle")


def routes(app: object) -> set[tuple[str, str]]:
    return {(m, r.path) for r in app.routes for m in r.methods}  # type: ignore[attr-defined]


def test_no_route_stands_at_both_doors_and_each_of_the_offices_is_tried(
    ready: BackendWorld,
) -> None:
    stations, office = routes(make_app(ready.office)), routes(make_office_app(ready.office))
    assert not stations & office
    assert office == {(method, path.split("?")[0]) for method, path in OFFICE}


@pytest.mark.parametrize(("method", "path"), OFFICE)
def test_stations_do_not_find_the_offices_routes(
    ready: BackendWorld, method: str, path: str
) -> None:
    assert ask(ready, method, path, encode_items([ITEM])).status_code == httpx.codes.NOT_FOUND


class Served:
    """The program, and both its doors."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        argv = [sys.executable, "-m", "backend.cli", "--data", str(folder), "--demo", "serve",
                "--port", str(port)]  # fmt: skip
        self.door = folder / DOOR
        self.process = subprocess.Popen(argv, env={**os.environ}, stdout=subprocess.DEVNULL)
        self.stations = doors.client_at(f"http://127.0.0.1:{port}")
        self.office = doors.client(self.door, 30)
        end = time.monotonic() + 60
        while not self.answers():
            assert self.process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)

    def answers(self) -> bool:
        try:
            return self.stations.get("/v1/health").is_success
        except httpx.TransportError:
            return False

    def issuance(self) -> int:
        return int(self.stations.get("/v1/health").json()["issuance"])

    def close(self) -> None:
        self.stations.close()
        self.office.close()
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def folder(people: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BETANG_BACKEND_PASSPHRASE", SECRET)
    monkeypatch.delenv("BETANG_DATABASE_URL", raising=False)
    assert init(tmp_path) == 0
    return tmp_path / "b"


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    with socket.socket(socket.AF_UNIX) as stale:  # what a killed program left
        stale.bind(str(folder / DOOR))
    served = Served(folder)
    yield served
    served.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_two_doors_and_one_end(served: Served, number: signal.Signals) -> None:
    assert stat.S_IMODE(served.door.stat().st_mode) == 0o600
    before = served.issuance()
    for method, path in OFFICE:
        answer = served.stations.request(method, path, content=encode_items([ITEM]))
        assert answer.status_code == httpx.codes.NOT_FOUND, path
    assert served.issuance() == before
    HttpIssuance(served.office).append_many([ITEM])
    assert served.issuance() == before + 1
    served.stations.post("/v1/uploads", content=b"junk")
    assert "betang_uploads_total" in served.office.get("/metrics").text
    assert served.office.get("/v1/report").json()["difference_minor"] == 0
    served.process.send_signal(number)
    assert served.process.wait(20) == 0
    assert not served.door.exists()


def test_a_port_that_is_taken_is_one_line(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        argv = [sys.executable, "-m", "backend.cli", "--data", str(folder), "--demo", "serve",
                "--port", str(taken.getsockname()[1])]  # fmt: skip
        done = subprocess.run(argv, env={**os.environ}, capture_output=True, text=True,
                              check=False, timeout=60)  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert not (folder / DOOR).exists()
