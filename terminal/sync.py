"""The terminal's only network code: uploads out, acknowledgements and bundles in (httpx).

Nothing here decides anything: bytes are carried to and from :mod:`terminal.carry` over
docs/ledger.md#http. The engine never imports this module; a tap makes no network call.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import httpx

from keys.signer import Signer
from keys.store import write_private
from terminal.carry import apply_acknowledgement, build_upload, install_bundle
from terminal.engine import Engine
from terminal.errors import AcknowledgementRefusedError, TransferError, UploadRefusedError
from terminal.roster import Version

TIMEOUT_S = 60.0
ACCEPTED, NO_CONTENT = 200, 204
MAX_FILE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Synced:
    """What one sync did. ``uploaded`` and ``pruned`` count records."""

    uploaded: int
    pruned: int
    version: Version | None


def over_http(engine: Engine, log_key: Signer, client: httpx.Client) -> Synced:
    """Upload, take the acknowledgement, then fetch and install the bundle.

    A refused upload proves nothing, but the bundle is fetched all the same: its signed
    acknowledgement shows whether the office holds another chain under this name, and its hotlist
    is wanted anyway. ``client`` has the backend's base URL. Raises :class:`TransferError` (the
    journal keeps everything) and what :mod:`terminal.carry` raises.
    """
    refused: UploadRefusedError | AcknowledgementRefusedError | None = None
    try:
        uploaded, pruned = _upload(engine, log_key, client)
    except (UploadRefusedError, AcknowledgementRefusedError) as e:
        uploaded, pruned, refused = 0, 0, e  # why is in the bundle, where it may be believed
    version, more = _fetch(engine, client)
    # A new bundle may state the Ack key that the answer was signed with: ask once more.
    if refused is not None and (isinstance(refused, UploadRefusedError) or version is None):
        raise refused
    if version is not None:  # the SYNC of the new hotlist should be known at once
        sent, gone = _upload(engine, log_key, client)
        uploaded, pruned = uploaded + sent, pruned + gone
    return Synced(uploaded, pruned + more, version)


def _upload(engine: Engine, log_key: Signer, client: httpx.Client) -> tuple[int, int]:
    upload = build_upload(engine.journal, log_key)
    if upload is None:
        return 0, 0
    answer = _ask(client, "POST", "/v1/uploads", bytes(upload))
    if answer.status_code != ACCEPTED:
        raise UploadRefusedError(f"upload refused: {answer.status_code}")
    return len(upload.records), apply_acknowledgement(engine, answer.content)


def _fetch(engine: Engine, client: httpx.Client) -> tuple[Version | None, int]:
    held = None if engine.roster.is_empty else engine.roster.version
    epoch, counter = (held.epoch, held.counter) if held else (0, 0)
    station = engine.journal.station.station_id.hex()
    path = f"/v1/bundles/{station}?epoch={epoch}&counter={counter}"
    answer = _ask(client, "GET", path, None)
    if answer.status_code == NO_CONTENT:
        return None, 0
    if answer.status_code != ACCEPTED:
        raise TransferError(f"bundle refused: {answer.status_code}")
    installed = install_bundle(engine, answer.content)
    return installed.version, installed.pruned


def _ask(client: httpx.Client, method: str, path: str, body: bytes | None) -> httpx.Response:
    try:
        answer = client.request(method, path, content=body, timeout=TIMEOUT_S)
    except httpx.HTTPError as e:
        raise TransferError(f"no answer from the backend: {e}") from e
    if len(answer.content) > MAX_FILE_BYTES:
        raise TransferError("the backend's answer is too large")
    return answer


def export_file(engine: Engine, log_key: Signer, target: Path) -> int:
    """Write the upload to a file, durably; how many records it holds (0: no file).

    :class:`TransferError` when it cannot be written.
    """
    upload = build_upload(engine.journal, log_key)
    if upload is None:
        return 0
    try:
        write_private(target, bytes(upload))
    except OSError as e:
        raise TransferError(f"the file could not be written: {e}") from e
    return len(upload.records)


def import_file(engine: Engine, source: Path) -> Synced:
    """Take an acknowledgement or a bundle from a file, whichever it is.

    :class:`TransferError` for a file that cannot be read or is over 64 MiB, and what
    :mod:`terminal.carry` raises.
    """
    try:
        if source.stat().st_size > MAX_FILE_BYTES:
            raise TransferError("the file is too large")
        raw = source.read_bytes()
    except OSError as e:
        raise TransferError(f"the file could not be read: {e}") from e
    if raw[:2] == b"\xd2\x84":  # a bare COSE_Sign1: an acknowledgement
        return Synced(0, apply_acknowledgement(engine, raw), None)
    installed = install_bundle(engine, raw)
    return Synced(0, installed.pruned, installed.version)
