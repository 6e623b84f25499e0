"""What is imported: all of a file or nothing, each row on a signed verification."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from backend import importing, objects
from backend.errors import ConflictError, ImportRefusedError
from tests.support.backend_world import BackendWorld, _files
from tests.unit.backend.test_ingest import state
from wire.objects import DecreeAnnex, FieldVerification, VerificationDecision


@pytest.fixture
def files(world: BackendWorld) -> dict[str, bytes]:
    found = _files(62, 6)
    world.office.import_households(found["dtsen.csv"])
    world.office.import_programmes(found["programmes.json"])
    return dict(found)


def decree(files: dict[str, bytes], **changes: Any) -> bytes:
    whole = json.loads(files["sk.json"])
    whole["rows"][0] |= changes
    canonical = json.dumps(whole["rows"], separators=(",", ":"), sort_keys=True).encode()
    whole["annex_sha256"] = hashlib.sha256(canonical).hexdigest()
    return json.dumps(whole).encode()


def test_the_gate_counts_every_reason(world: BackendWorld) -> None:
    found = _files(62, None)
    truth = json.loads(found["faults.json"])
    result = world.office.import_households(found["dtsen.csv"])
    world.office.import_households(found["dtsen.csv"])
    counts = world.office.report()["counts"]
    assert counts["rejected_rows"] == len(truth["rejects"]) == len(result.rejects)
    assert counts["families"] == len(result.accepted)


def test_each_row_cites_a_signed_verification(world: BackendWorld, files: dict[str, bytes]) -> None:
    world.office.import_verifications(files["verifikasi.csv"])
    rows = world.office.import_decree(files["sk.json"])
    with world.office.db.read() as session:
        visits = dict(objects.payloads_of(session, FieldVerification))
        ((_, annex),) = objects.payloads_of(session, DecreeAnnex)
    assert len(annex.rows) == rows
    for row in annex.rows:
        visit = visits[row.verification]
        assert (visit.family, visit.decision) == (row.family, VerificationDecision.VERIFIED)


def test_importing_again_changes_nothing(world: BackendWorld, files: dict[str, bytes]) -> None:
    seen = set()
    for _ in range(2):
        world.office.import_verifications(files["verifikasi.csv"])
        world.office.import_decree(files["sk.json"])
        world.office.import_funds(files["funds.json"])
        seen.add(state(world))
    assert len(seen) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"no_kk": "6271010101010001"},
        {"verification_sha256": "00" * 32},
        {"programmes": []},
        {"programmes": ["tidak-ada"]},
        {"row": 10**9},
    ],
)
def test_a_decree_that_does_not_stand_is_refused_whole(
    world: BackendWorld, files: dict[str, bytes], change: dict[str, Any]
) -> None:
    world.office.import_verifications(files["verifikasi.csv"])
    before = state(world)
    with pytest.raises(ImportRefusedError):
        world.office.import_decree(decree(files, **change))
    assert state(world) == before


def test_an_annex_that_is_not_its_hash_is_refused(
    world: BackendWorld, files: dict[str, bytes]
) -> None:
    world.office.import_verifications(files["verifikasi.csv"])
    with pytest.raises(ImportRefusedError):
        world.office.import_decree(files["sk.json"].replace(b'"row": 1,', b'"row": 2,', 1))


def test_a_family_not_verified_gets_no_row(world: BackendWorld, files: dict[str, bytes]) -> None:
    header, first, *rest = files["verifikasi.csv"].splitlines(keepends=True)
    moved = first.replace(b",verified,", b",moved,")
    world.office.import_verifications(b"".join([header, moved, *rest]))
    line = hashlib.sha256(moved.rstrip(b"\n")).hexdigest()
    with pytest.raises(ImportRefusedError):
        world.office.import_decree(decree(files, verification_sha256=line))


def test_nobody_approves_their_own_visit(world: BackendWorld, files: dict[str, bytes]) -> None:
    header, first, *_ = files["verifikasi.csv"].splitlines(keepends=True)
    cells = first.split(b",")
    # The reason may hold a comma; the verifier stands second, the approver second to last.
    own = first.replace(cells[-2], cells[1])
    with pytest.raises(ImportRefusedError):
        world.office.import_verifications(header + own)


def test_the_same_number_with_other_content_is_an_alarm(
    world: BackendWorld, files: dict[str, bytes]
) -> None:
    world.office.import_funds(files["funds.json"])
    whole = json.loads(files["funds.json"])
    whole["releases"][0]["amount_minor"] += 1
    before = state(world)
    with pytest.raises(ConflictError):
        world.office.import_funds(json.dumps(whole).encode())
    assert state(world) == before


def test_a_pseudonym_needs_the_pepper() -> None:
    one = importing.pseudonym(b"a" * 32, "6210040411179922")
    assert len(one) == 16
    assert one != importing.pseudonym(b"b" * 32, "6210040411179922")
    assert one == importing.pseudonym(b"a" * 32, "6210040411179922")
