"""Two jobs at once, each a process of its own, neither signs what the other drafted."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from anyio import to_thread
from sqlalchemy import create_engine

from backend.errors import BusyError
from backend.turns import Turns
from keys.enrol import Provision, StationRequest
from keys.exchange import Exchange
from keys.hierarchy import World
from keys.signer import Ed25519Signer
from tests.support.backend_world import ENV
from tests.unit.backend.test_cli import SECRET, people, person, programs, run
from wire.cose import Sign1
from wire.objects import Enrolment, StationKind

__all__ = ["people"]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(
    people: World, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Start]:
    """``betang-backend`` as a process beside the served one; the two people are not there yet."""
    monkeypatch.setenv("BETANG_BACKEND_PASSPHRASE", SECRET)
    monkeypatch.setenv("BETANG_DATABASE_URL", address)
    begun: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "backend.cli", "--data", str(tmp_path / "b"), "--demo"]
        with (tmp_path / f"stderr{len(begun)}").open("w") as told:
            begun.append(subprocess.Popen([*argv, *arguments], env={**os.environ}, text=True,
                                          stdout=subprocess.DEVNULL, stderr=told))  # fmt: skip
        return begun[-1]

    with programs(people, tmp_path):
        yield start
        for process in begun:
            process.kill()
            process.wait(10)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def waits(tmp_path: Path, number: int) -> bool:
    return "another job has the turn" in (tmp_path / f"stderr{number}").read_text()


def enrolment(folder: Path, name: bytes) -> list[str]:
    rng = random.Random(name)  # noqa: S311
    request = StationRequest.make(
        ENV, name, StationKind.DESK, Ed25519Signer.generate(rng.randbytes)
    )
    (folder / name.decode()).write_bytes(bytes(request))
    return ["enrol", str(folder / name.decode()), "--area", "*", "--place", "Balai", "--out",
            str(folder / f"{name.decode()}.out")]  # fmt: skip


def test_two_enrolments_at_once(start: Start, tmp_path: Path) -> None:
    exchange = Exchange(tmp_path / "approvals")
    jobs = [start(*enrolment(tmp_path, b"TERM0001"))]
    until(exchange.names)
    jobs.append(start(*enrolment(tmp_path, b"TERM0002")))
    until(lambda: len(exchange.names()) > 1 or waits(tmp_path, 1))
    with person(tmp_path, 1, "ask"), person(tmp_path, 2, "agree"):
        told = [(job.wait(60), (tmp_path / f"stderr{n}").read_text()) for n, job in enumerate(jobs)]
    assert [code for code, _ in told] == [0, 0], told
    for name in (b"TERM0001", b"TERM0002"):
        provision = Provision.parse((tmp_path / f"{name.decode()}.out").read_bytes())
        assert Enrolment.parse(Sign1.parse(provision.enrolment).payload).station == name
    assert exchange.names() == []


def test_jobs_that_wait_leave_a_thread_for_the_one_they_wait_for(
    people: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key service appends to the log of the server whose threads all wait for their turn."""
    monkeypatch.setenv("BETANG_BACKEND_PASSPHRASE", SECRET)
    names = [f"DESK000{n}".encode() for n in range(5)]
    with (
        programs(people, tmp_path) as app,
        httpx.Client(transport=httpx.HTTPTransport(uds=str(tmp_path / "a")),
                     base_url="http://backend", timeout=30) as http,
        ThreadPoolExecutor(len(names)) as threads,
    ):  # fmt: skip

        @app.post("/narrow")
        async def narrow() -> None:
            to_thread.current_default_thread_limiter().total_tokens = 2

        http.post("/narrow")
        bodies = [(enrolment(tmp_path, name), (tmp_path / name.decode()).read_bytes())[1]
                  for name in names]  # fmt: skip
        answers = [threads.submit(http.post, "/v1/enrolments?area=*&place=Balai", content=raw)
                   for raw in bodies]  # fmt: skip
        until(Exchange(tmp_path / "approvals").names)
        with person(tmp_path, 1, "ask"), person(tmp_path, 2, "agree"):
            assert [a.result(60).status_code for a in answers] == [200] * len(names)


def test_what_a_killed_job_drafted_does_not_keep_the_turn(start: Start, tmp_path: Path) -> None:
    exchange = Exchange(tmp_path / "approvals")
    killed = start(*enrolment(tmp_path, b"TERM0001"))
    until(exchange.names)
    killed.kill()
    killed.wait(10)
    with person(tmp_path, 1, "ask"), person(tmp_path, 2, "agree"):
        assert run(tmp_path, *enrolment(tmp_path, b"TERM0002")) == 0
        assert run(tmp_path, *enrolment(tmp_path, b"TERM0001")) == 0


def test_a_turn_is_one_jobs_and_waiting_ends(address: str) -> None:
    engine = create_engine(address)
    pauses: list[float] = []
    one, two = Turns(engine), Turns(engine, wait_s=0, pause=pauses.append)
    with one.take("order"):
        with two.take("decree"):
            pass
        with pytest.raises(BusyError, match="order"), two.take("order"):
            pass
    with two.take("order"):
        pass
    with pytest.raises(ZeroDivisionError), two.take("order"):
        raise ZeroDivisionError
    with two.take("order"):
        assert pauses == []
    engine.dispose()
