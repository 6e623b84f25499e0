"""``betang-backend`` as it is run: its own folder, the key service and the API on sockets."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from backend import cli
from backend.api import make_office_app
from backend.clock import system_clock
from backend.config import Settings, open_office
from backend.errors import RefusedError
from keys.describe import ACTIONS
from keys.enrol import Provision, StationRequest
from keys.hierarchy import SERVICE_ROLES, World, make_world
from keys.http import KeyClient
from keys.httpserver import make_app as keys_app
from keys.issuance import HttpIssuance
from keys.service import KeyService
from keys.servicecore import Keys
from keys.signer import Ed25519Signer, P256KeyAgreement, sign_object
from keys.state import State
from keys.store import SealedStore
from keys.trust import TrustStore
from tests.support.backend_world import ENV, _files
from wire.cose import Sign1
from wire.log import Boot, Record, Upload
from wire.objects import Decision, DecisionKind, KeyRole, StationKind, UploadHead

SECRET = "rahasia-demo"


@contextmanager
def serving(app: FastAPI, path: Path) -> Iterator[None]:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    sock.listen(16)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    yield
    server.should_exit = True
    thread.join(10)
    sock.close()


@pytest.fixture
def people(tmp_path: Path) -> World:
    """A hierarchy whose Ack and approval keys lie in sealed stores, each with its passphrase."""
    now_s = int(time.time())
    rng = random.Random(5)  # noqa: S311
    world = make_world(ENV, random=rng.randbytes, now_s=now_s, from_s=now_s - 86_400)
    (tmp_path / "trust.cbor").write_bytes(bytes(world.trust))
    (tmp_path / "pass").write_text(SECRET + "\n")
    store = SealedStore(tmp_path / "sealed", log_n=10)
    ack = world.signers[KeyRole.ACK, 1]
    assert isinstance(ack, Ed25519Signer)
    store.save("ack-1", ack.private_bytes(), SECRET)
    for number in (1, 2):
        signer, folder = world.people[number], tmp_path / f"person-{number}"
        assert isinstance(signer, Ed25519Signer)
        sealed = SealedStore(folder / "sealed", log_n=10)
        sealed.save("approval", signer.private_bytes(), f"{SECRET}-{number}")
        config = {"person": number, "actions": sorted(ACTIONS - {"decision"})}
        (folder / "config.json").write_text(json.dumps(config))
    for n, link in enumerate(world.links):
        (tmp_path / f"link{n}").write_bytes(bytes(link))
    return world


def run(folder: Path, *arguments: str, demo: bool = True) -> int:
    flags = ["--demo"] if demo else []
    return cli.main(["--data", str(folder / "b"), *flags, *arguments])


def init(folder: Path) -> int:
    sealed, secret = folder / "sealed", folder / "pass"
    return run(
        folder, "init", "--trust", str(folder / "trust.cbor"), "--ack-store", str(sealed),
        "--ack-name", "ack-1", "--ack-passphrase-file", str(secret), "--key-service",
        str(folder / "k"), "--approvals", str(folder / "approvals"),
    )  # fmt: skip


@contextmanager
def person(folder: Path, number: int, role: str) -> Iterator[Path]:
    """One person's program, as a process of its own with a passphrase of its own."""
    data = folder / f"person-{number}"
    argv = [sys.executable, "-m", "keys.approve", "serve", "--demo", "--data", str(data),
            "--trust", str(folder / "trust.cbor"), "--exchange", str(folder / "approvals"),
            "--as", role, "--unattended"]  # fmt: skip
    env = {**os.environ, "BETANG_PASSPHRASE": f"{SECRET}-{number}"}
    process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL)
    try:
        yield data
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def programs(people: World, tmp_path: Path) -> Iterator[FastAPI]:
    """The office's door (given) and the key service of a new folder, without the two people."""
    assert init(tmp_path) == 0
    trust = TrustStore(people.trust, allow_demo=True)
    signers = {n: s for n, s in people.signers.items() if n[0] in SERVICE_ROLES}
    rng = random.Random(6)  # noqa: S311
    channel = P256KeyAgreement.generate(rng.randbytes)
    keys = Keys(signers, rng.randbytes(32), {}, channel, b"DEMOPERS")
    client = httpx.Client(transport=httpx.HTTPTransport(uds=str(tmp_path / "a")),
                          base_url="http://backend", timeout=60)  # fmt: skip
    service = KeyService(trust, keys, State(":memory:", ENV), HttpIssuance(client),
                         clock=system_clock, random=rng.randbytes)  # fmt: skip
    asks = KeyClient(tmp_path / "k")
    office = open_office(tmp_path / "b", Settings(), asks, system_clock, demo=True)
    app = make_office_app(office)
    with serving(keys_app(service), tmp_path / "k"), serving(app, tmp_path / "a"):
        yield app
    asks.close()
    client.close()
    office.db.engine.dispose()


@pytest.fixture
def served(
    people: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., int]]:
    monkeypatch.setenv("BETANG_BACKEND_PASSPHRASE", SECRET)
    with (
        programs(people, tmp_path),
        person(tmp_path, 1, "ask"),
        person(tmp_path, 2, "agree"),
    ):
        yield lambda *arguments: run(tmp_path, *arguments)


def test_from_init_to_export(
    served: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        served("setup", "--link", str(tmp_path / "link0"), "--link", str(tmp_path / "link1")) == 0
    )
    for name, data in _files(62, 6).items():
        (tmp_path / name).write_bytes(data)
    assert served(
        "import", "--households", str(tmp_path / "dtsen.csv"), "--programmes",
        str(tmp_path / "programmes.json"), "--verifications", str(tmp_path / "verifikasi.csv"),
        "--decree", str(tmp_path / "sk.json"), "--funds", str(tmp_path / "funds.json"),
    ) == 0  # fmt: skip
    capsys.readouterr()
    rng = random.Random(7)  # noqa: S311
    log_key = Ed25519Signer.generate(rng.randbytes)
    request = StationRequest.make(ENV, b"TERM0001", StationKind.TERMINAL, log_key,
                                  P256KeyAgreement.generate(rng.randbytes))  # fmt: skip
    (tmp_path / "request").write_bytes(bytes(request))
    assert served("enrol", str(tmp_path / "request"), "--area", "*", "--place", "Balai", "--out",
                  str(tmp_path / "provision")) == 0  # fmt: skip
    provision = Provision.parse((tmp_path / "provision").read_bytes())
    assert provision.bundle
    enrolment = Sign1.parse(provision.enrolment).hash
    boot = Record.make(1, enrolment, int(time.time()), Boot("x"))
    head = UploadHead(b"TERM0001", 1, 1, boot.hash)
    upload = Upload(head, sign_object(log_key, head, ENV), (boot,))
    (tmp_path / "a.upload").write_bytes(bytes(upload))
    for outcome in ("accepted", "exists"):
        capsys.readouterr()
        assert served("ingest", str(tmp_path / "a.upload")) == 0
        assert json.loads(capsys.readouterr().out) == {"uploads": {"a.upload": outcome}}
    assert served("orders", "--desk", "DESK0001", "--out", str(tmp_path / "orders")) == 0
    assert served("entitle") == 0
    assert served("settle") == 0
    capsys.readouterr()
    assert served("report", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["difference_minor"], report["counts"]["families"]) == (0, 6)
    assert served("report") == 0
    assert "SELISIH: Rp0" in capsys.readouterr().out
    assert served("export", "--out", str(tmp_path / "export")) == 0
    assert (tmp_path / "export/objects/decree.cbor").stat().st_size
    for number in (1, 2):
        journal = (tmp_path / f"person-{number}" / "signed.jsonl").read_text().splitlines()
        signed = [json.loads(line) for line in journal]
        assert {"parameters", "decree", "funds", "enrolment"} <= {x["action"] for x in signed}
        decree = next(x for x in signed if x["action"] == "decree")
        assert any("baris / rows" in line for line in decree["summary"])
    assert list((tmp_path / "approvals").iterdir()) == []
    # The backend's folder opens with its own passphrase, and holds nobody's key.
    assert sorted(p.stem for p in (tmp_path / "b/keys").iterdir()) == ["ack", "pepper"]


def test_what_a_person_does_not_sign_for_is_refused_and_forgotten(
    served: Callable[..., int], tmp_path: Path
) -> None:
    keys = KeyClient(tmp_path / "k")
    office = open_office(tmp_path / "b", Settings(), keys, system_clock, demo=True)
    payload = bytes(Decision("K-1", DecisionKind.PAY, bytes(8), 1, 1, 1, 1, None, "x", 1))
    with pytest.raises(RefusedError, match="does not sign for decision"):
        office.authority.allow("decision", [payload])
    assert list((tmp_path / "approvals").iterdir()) == []
    keys.close()
    office.db.engine.dispose()


def test_errors_are_one_line_in_the_users_language(
    served: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "junk").write_bytes(b"junk")
    assert served("ingest", str(tmp_path / "junk")) == 1
    assert "Unggahan tidak sah" in capsys.readouterr().err
    assert run(tmp_path, "--lang", "en", "reserve", "DEMO0001") == 1
    assert "was not found" in capsys.readouterr().err


def test_a_demo_root_is_refused_without_demo(
    people: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("BETANG_BACKEND_PASSPHRASE", SECRET)
    assert init(tmp_path) == 0
    assert run(tmp_path, "report", demo=False) == 1
    assert "DEMO" in capsys.readouterr().err


def test_a_wrong_passphrase_is_told_before_anything_is_done(
    people: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("BETANG_BACKEND_PASSPHRASE", SECRET)
    assert init(tmp_path) == 0
    monkeypatch.setenv("BETANG_BACKEND_PASSPHRASE", "wrong")
    for command in (["settle"], ["entitle"], ["export", "--out", str(tmp_path / "x")]):
        assert run(tmp_path, *command) == 1
        assert "sealed keys do not open" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    assert run(tmp_path, "report") == 0  # signs nothing, and needs no key


def test_another_ack_key_than_the_roots_is_refused(
    people: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("BETANG_BACKEND_PASSPHRASE", SECRET)
    assert init(tmp_path) == 0
    (tmp_path / "b/keys/ack.sealed").unlink()
    SealedStore(tmp_path / "b/keys", log_n=10).save("ack", bytes(range(32)), SECRET)
    assert run(tmp_path, "settle") == 1
    assert "not the one the root states" in capsys.readouterr().err


def test_a_report_loads_no_server_no_client_and_no_migrations(
    people: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BETANG_BACKEND_PASSPHRASE", SECRET)
    assert init(tmp_path) == 0
    assert run(tmp_path, "report") == 0  # the first makes the tables
    code = (
        "import sys; from backend import cli; assert cli.main(sys.argv[1:]) == 0;"
        "print(sorted({'alembic', 'fastapi', 'httpx', 'rich', 'structlog', 'uvicorn'}"
        " & sys.modules.keys()))"
    )
    argv = [sys.executable, "-c", code, "--data", str(tmp_path / "b"), "--demo", "report"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.splitlines()[-1] == "[]"
