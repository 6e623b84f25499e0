"""Uploads, acknowledgements and bundles: the same bytes over HTTP and as a file."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from keys.signer import sign_object
from terminal import sync
from terminal.carry import apply_acknowledgement, build_upload, install_bundle
from terminal.errors import (
    AcknowledgementRefusedError,
    BundleRefusedError,
    RestoredImageError,
    TransferError,
)
from terminal.outcomes import Stop, TerminalRefused
from tests.support.terminal_world import START_S, Issuer, at_work, entry
from wire.log import Upload
from wire.objects import Acknowledgement, KeyRole, UploadHead, open_signed

ROOT = Path(__file__).parents[3]


def acknowledgement(terminal, upload=None, **changes):
    upload = upload or Upload.parse(bytes(build_upload(terminal.journal, terminal.log_key)))
    values = {"station": upload.head.station, "last": upload.head.last, "head": upload.head.head,
              "arrived_s": START_S} | changes  # fmt: skip
    signer = terminal.issuer.world.signer(KeyRole.ACK)
    return bytes(sign_object(signer, Acknowledgement(**values), terminal.issuer.env))


class Backend:
    """The backend's two routes as contracts say, over httpx's transport in memory."""

    def __init__(self, terminal):
        self.terminal, self.uploads, self.bundle, self.queries = terminal, [], None, []
        self.status = 200

    def __call__(self, request):
        if request.method == "POST":
            assert request.url.path == "/v1/uploads"
            self.uploads.append(request.content)
            if self.status != 200:
                return httpx.Response(self.status)
            upload = Upload.parse(request.content)
            return httpx.Response(200, content=acknowledgement(self.terminal, upload))
        assert request.url.path == f"/v1/bundles/{self.terminal.station.hex()}"
        self.queries.append(dict(request.url.params))
        raw, self.bundle = self.bundle, None
        return httpx.Response(204) if raw is None else httpx.Response(200, content=raw)

    def client(self):
        return httpx.Client(transport=httpx.MockTransport(self), base_url="http://backend")


def test_the_upload_is_bound_and_signed_by_the_log_key():
    terminal, _ = at_work()
    upload = Upload.parse(bytes(build_upload(terminal.journal, terminal.log_key)))
    head = open_signed(
        UploadHead, upload.signed_head.raw, terminal.log_key.public_key, terminal.issuer.env
    )
    assert (head.first, head.last) == (1, 3)
    assert head.head == terminal.journal.head().hash


def test_over_http_uploads_prunes_installs_and_tells_the_sync_at_once():
    terminal, card = at_work()
    backend = Backend(terminal)
    backend.bundle = terminal.bundle(entry(card))
    with backend.client() as client:
        done = sync.over_http(terminal.engine, terminal.log_key, client)
        assert (done.uploaded, done.pruned, done.version.counter) == (4, 4, 2)
        assert backend.queries == [{"epoch": "1", "counter": "1"}]
        assert len(backend.uploads) == 2
        again = sync.over_http(terminal.engine, terminal.log_key, client)
        assert (again.uploaded, again.version) == (0, None)
    terminal.journal.check()


def test_the_same_bytes_by_file(tmp_path):
    terminal, _ = at_work()
    target = tmp_path / "up.cbor"
    assert sync.export_file(terminal.engine, terminal.log_key, target) == 3
    backend = Backend(terminal)
    with backend.client() as client:
        sync.over_http(terminal.engine, terminal.log_key, client)
    assert target.read_bytes() == backend.uploads[0]


def test_acknowledgement_and_bundle_by_file(tmp_path):
    terminal, card = at_work()
    (tmp_path / "ack").write_bytes(acknowledgement(terminal))
    (tmp_path / "bundle").write_bytes(terminal.bundle(entry(card)))
    assert sync.import_file(terminal.engine, tmp_path / "ack").pruned == 3
    assert sync.import_file(terminal.engine, tmp_path / "bundle").version.counter == 2
    with pytest.raises(TransferError):
        sync.import_file(terminal.engine, tmp_path / "nothing")
    (tmp_path / "noise").write_bytes(b"noise")
    with pytest.raises(BundleRefusedError):
        sync.import_file(terminal.engine, tmp_path / "noise")


def test_acknowledgements_in_a_bundle_prune():
    terminal, card = at_work()
    file = terminal.bundle(entry(card), acknowledgements=(acknowledgement(terminal),))
    assert install_bundle(terminal.engine, file).pruned == 3
    assert install_bundle(terminal.engine, file).version is None


@pytest.mark.parametrize("failure", ["refused", "gone"])
def test_a_transfer_that_fails_keeps_everything(failure):
    terminal, _ = at_work()
    backend = Backend(terminal)
    backend.status = 409

    def gone(request):
        raise httpx.ConnectError("no route")

    transport = httpx.MockTransport(backend if failure == "refused" else gone)
    with httpx.Client(transport=transport, base_url="http://b") as client, \
            pytest.raises(TransferError):  # fmt: skip
        sync.over_http(terminal.engine, terminal.log_key, client)
    assert len(terminal.journal.records(0, 99)) == 3


@pytest.mark.parametrize("fault", ["signature", "other root", "station"])
def test_acknowledgements_that_prune_nothing(fault):
    terminal, _ = at_work()
    raw = acknowledgement(terminal)
    match fault:
        case "signature":
            raw = raw[:-1] + bytes([raw[-1] ^ 1])
        case "other root":
            other = Issuer(seed=99).world.signer(KeyRole.ACK)
            raw = bytes(sign_object(other, Acknowledgement(terminal.station, 3, bytes(32), 1),
                                    terminal.issuer.env))  # fmt: skip
        case _:
            raw = acknowledgement(terminal, station=b"TERM0002")
    with pytest.raises(AcknowledgementRefusedError):
        apply_acknowledgement(terminal.engine, raw)
    assert len(terminal.journal.records(0, 99)) == 3
    assert not terminal.journal.stopped


@pytest.mark.parametrize(
    "shown", [{"last": 99}, {"head": bytes(32)}, {"last": 2}], ids=["beyond", "end", "within"]
)
def test_an_acknowledgement_of_records_not_held_stops_the_terminal(shown):
    """A second image of this terminal has sent its own records; one of the two was restored."""
    terminal, card = at_work()
    raw = acknowledgement(terminal, **shown)
    for _ in range(2):
        with pytest.raises(RestoredImageError):
            apply_acknowledgement(terminal.engine, raw)
    assert terminal.kinds().count("REJECTED") == 1
    assert len(terminal.journal.records(0, 99)) == 4
    assert terminal.engine.begin(card.link()) == TerminalRefused(Stop.RESTORED_IMAGE)


def test_what_was_pruned_is_still_told_from_another_chain():
    terminal, _ = at_work()
    raw, other = acknowledgement(terminal), acknowledgement(terminal, head=bytes(32))
    earlier = acknowledgement(terminal, last=2, head=bytes(32))
    apply_acknowledgement(terminal.engine, raw)
    for _ in range(2):  # the same again, and one that came late, change nothing
        assert apply_acknowledgement(terminal.engine, raw) == 0
        assert apply_acknowledgement(terminal.engine, earlier) == 0
    assert not terminal.journal.stopped
    with pytest.raises(RestoredImageError):
        apply_acknowledgement(terminal.engine, other)
    assert terminal.journal.stopped


def test_a_refused_upload_still_fetches_what_says_why():
    """Another image's records came first: only the bundle's acknowledgement is evidence of it."""
    terminal, card = at_work()
    backend = Backend(terminal)
    backend.status = 409
    other = acknowledgement(terminal, head=bytes(32))
    backend.bundle = terminal.bundle(entry(card), acknowledgements=(other,))
    with backend.client() as client, pytest.raises(RestoredImageError):
        sync.over_http(terminal.engine, terminal.log_key, client)
    assert terminal.engine.begin(card.link()) == TerminalRefused(Stop.RESTORED_IMAGE)


# --- no network in a tap ------------------------------------------------------------------------


def test_only_sync_and_the_command_that_asks_for_it_know_a_network():
    network = {"httpx", "socket", "urllib", "http", "requests", "ssl"}
    for path in sorted((ROOT / "terminal").glob("*.py")):
        tree = ast.parse(path.read_text())
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        found = {n.split(".")[0] for n in names} & network
        assert not found or path.name in {"sync.py", "cli.py"}, path
        imports_sync = "terminal.sync" in names or any(
            isinstance(n, ast.ImportFrom) and n.module == "terminal"
            and any(a.name == "sync" for a in n.names) for n in ast.walk(tree)
        )  # fmt: skip
        assert not imports_sync or path.name == "cli.py", path


def test_the_engine_loads_no_network_code():
    code = "import sys, terminal.engine, terminal.counter; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.split()  # fmt: skip
    assert not {"httpx", "terminal.sync"} & set(loaded)
