"""Uploads, acknowledgements and bundles as bytes: the same over HTTP and on a stick. No I/O.

Their bytes: docs/wire.md#upload, #bundle.
"""

from __future__ import annotations

from dataclasses import dataclass

from keys.errors import KeysError
from keys.signer import Signer, sign_object
from terminal.engine import Engine
from terminal.errors import AcknowledgementRefusedError, NotNewerError, RestoredImageError
from terminal.journal import Journal
from terminal.roster import Version
from wire import log
from wire.errors import WireError
from wire.log import Reason, Record, Upload
from wire.objects import Acknowledgement, UploadHead


def build_upload(journal: Journal, log_key: Signer) -> Upload | None:
    """Every record the backend has not acknowledged, under one signed head; None when none.

    A repeated upload has the same records; the backend answers it with the same acknowledgement.
    Raises :class:`terminal.errors.JournalDamagedError` for a chain that no longer holds.
    """
    records: list[Record] = journal.unacknowledged()
    if not records:
        return None
    station = journal.station
    head = UploadHead(station.station_id, records[0].sequence, records[-1].sequence,
                      records[-1].hash)  # fmt: skip
    return Upload(head, sign_object(log_key, head, station.env), tuple(records))


def apply_acknowledgement(engine: Engine, raw: bytes) -> int:
    """Verify an acknowledgement and prune what it covers; how many records went.

    One of this station for records that the journal does not hold, beyond its end or beside it,
    shows a restored image: it is logged, and the terminal stops (PROTOCOL.md §4.1). What it would
    hand out could never be paid, as the office takes one chain only. Raises
    :class:`RestoredImageError`, :class:`AcknowledgementRefusedError`.
    """
    try:
        ack = engine.roster.trust.verify(Acknowledgement, raw)
    except (WireError, KeysError) as e:
        raise AcknowledgementRefusedError(str(e)) from e
    station = engine.journal.station.station_id
    if ack.station != station:
        raise AcknowledgementRefusedError("acknowledgement for another station")
    if engine.journal.is_another_chain(ack):
        detail = f"acknowledged {ack.last}, beyond or beside this journal"
        if not engine.journal.stopped:
            engine.write(log.Rejected(Reason.RESTORED_IMAGE, None, detail))
        raise RestoredImageError(detail)
    engine.saw(ack.arrived_s)
    return engine.journal.acknowledge(ack)


@dataclass(frozen=True, slots=True)
class Installed:
    """What a bundle file did; ``version`` None when it was not newer, ``pruned`` records gone."""

    version: Version | None
    pruned: int


def install_bundle(engine: Engine, file: bytes) -> Installed:
    """Install a bundle and apply the acknowledgements it brought.

    ``file``: the bytes of docs/wire.md#bundle, at most 64 MiB unpacked. Raises
    :class:`terminal.errors.BundleRefusedError`, but not for one that is not newer.
    """
    try:
        version = engine.install(file)
    except NotNewerError:
        return Installed(None, 0)
    pruned = 0
    for raw in engine.roster.acknowledgements():
        pruned += apply_acknowledgement(engine, raw)
    return Installed(version, pruned)
