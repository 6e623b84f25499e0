"""The backend as the desk sees it (docs/ledger.md#http), and the same things from files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import httpx

from issuer.desklog import DeskLog
from issuer.errors import TransferError
from issuer.evidence import EvidenceBook
from issuer.orders import JobState, OrderBook, Taken
from keys.signer import Signer
from keys.store import write_private
from keys.trust import TrustStore
from wire import cbor
from wire.errors import WireError

TIMEOUT_S = 60.0
MAX_FILE_BYTES = 64 * 1024 * 1024
ACCEPTED, ABSENT = 200, 404


class Uploads(Protocol):
    """Where the desk log goes."""

    def upload(self, raw: bytes) -> bytes:
        """Send an upload; the acknowledgement. Raises :class:`TransferError`."""
        ...


class Orders(Protocol):
    """Where orders come from. Raises :class:`TransferError`."""

    def orders(self, desk: bytes) -> list[bytes]:
        """Signed orders still open at this desk."""
        ...

    def evidence(self, desk: bytes) -> list[bytes]:
        """Decrees, field visits and programmes behind them."""
        ...


class Office:
    """The backend over ``client``, which has its base URL. Raises :class:`TransferError`."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def orders(self, desk: bytes) -> list[bytes]:
        """Signed orders still open at this desk."""
        return _sequence(self._ask("GET", f"/v1/orders/{desk.hex()}", b""))

    def evidence(self, desk: bytes) -> list[bytes]:
        """Decrees, field visits and programmes behind those orders; none from an older backend."""
        return _sequence(self._ask("GET", f"/v1/orders/{desk.hex()}/evidence", b"", absent=b""))

    def entitlements(self, card_id: bytes) -> list[bytes]:
        """Have the card's first entitlements issued, as far as funds go; all of them."""
        return _sequence(self._ask("POST", f"/v1/cards/{card_id.hex()}/entitlements", b""))

    def upload(self, raw: bytes) -> bytes:
        """Send an upload; the acknowledgement."""
        return self._ask("POST", "/v1/uploads", raw)

    def _ask(self, method: str, path: str, body: bytes, absent: bytes | None = None) -> bytes:
        try:
            answer = self._client.request(method, path, content=body, timeout=TIMEOUT_S)
        except httpx.HTTPError as e:
            raise TransferError(f"no answer from the backend: {e}") from e
        if absent is not None and answer.status_code == ABSENT:
            return absent
        if answer.status_code != ACCEPTED:
            raise TransferError(f"the backend refused: {answer.status_code} {_detail(answer)}")
        if len(answer.content) > MAX_FILE_BYTES:
            raise TransferError("the backend's answer is too large")
        return answer.content


class EntitlementFolder:
    """Entitlements brought as files: ``<card id in hex>.cbor``, a CBOR sequence each."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def entitlements(self, card_id: bytes) -> Sequence[bytes]:
        """The file's entitlements; :class:`TransferError` when there is none yet."""
        return read_sequence(self._path / f"{card_id.hex()}.cbor")


class NoOffice:
    """Neither backend nor folder: a card waits before its entitlements."""

    def entitlements(self, card_id: bytes) -> Sequence[bytes]:
        """:class:`TransferError`."""
        raise TransferError(f"no backend to ask for the entitlements of {card_id.hex()}")


def fetch(office: Orders, station: bytes, book: OrderBook, evidence: EvidenceBook) -> Taken:
    """Take new orders, and what stands behind those open; raises :class:`TransferError`."""
    taken = book.add_all(office.orders(station))
    orders = [job.order for job in book.jobs() if job.state == JobState.OPEN]
    if any(evidence.of(order).visit is None for order in orders):
        evidence.take(office.evidence(station), orders)
    return taken


def read_sequence(path: Path) -> list[bytes]:
    """A file of signed objects; :class:`TransferError`."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise TransferError(f"{path} is too large")
        return _sequence(path.read_bytes())
    except OSError as e:
        raise TransferError(f"{path} could not be read: {e}") from e


def sync(desk_log: DeskLog, log_key: Signer, trust: TrustStore, office: Uploads) -> tuple[int, int]:
    """Upload the desk log and take the acknowledgement: records sent, records pruned.

    Raises :class:`TransferError` and as :meth:`DeskLog.acknowledge`.
    """
    upload = desk_log.build_upload(log_key)
    if upload is None:
        return 0, 0
    return len(upload.records), desk_log.acknowledge(office.upload(bytes(upload)), trust)


def export_file(desk_log: DeskLog, log_key: Signer, target: Path) -> int:
    """Write the upload to a file, durably; how many records it holds (0: no file).

    :class:`TransferError` when it cannot be written.
    """
    upload = desk_log.build_upload(log_key)
    if upload is None:
        return 0
    try:
        write_private(target, bytes(upload))
    except OSError as e:
        raise TransferError(f"the file could not be written: {e}") from e
    return len(upload.records)


def _sequence(raw: bytes) -> list[bytes]:
    try:
        return list(cbor.decode_sequence(raw))
    except WireError as e:
        raise TransferError(f"no sequence of signed objects: {e}") from e


def _detail(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
        return str(problem.get("detail", ""))[:200]
    except (ValueError, AttributeError):
        return ""
