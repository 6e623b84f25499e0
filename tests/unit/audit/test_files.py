"""Every byte of an export is bound: a flipped, missing or strange one is found, and no crash."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from backend.audit.cli import CLEAN, FOUND, REFUSED, main
from backend.audit.errors import (
    DemoRootError,
    ExportUnreadableError,
    HeadUnreadableError,
    TrustUnreadableError,
)
from backend.audit.facts import Fact
from backend.audit.load import expected_files
from backend.audit.verify import verify
from tests.support.audit_story import tell
from wire import cbor
from wire.invariants import Invariant

FLIPS = 8


def check(folder: Path, **options) -> list:
    return verify(folder / "export", folder / "trust.cbor", allow_demo=True, **options).findings


def files(folder: Path) -> list[Path]:
    return sorted(p for p in (folder / "export").rglob("*") if p.is_file())


def test_a_flipped_byte_in_any_file_is_found(copied: Path) -> None:
    rng = random.Random(7)  # noqa: S311 - repeatable on purpose
    tried = 0
    for path in files(copied):
        raw = path.read_bytes()
        places = {0, len(raw) - 1, *(rng.randrange(len(raw)) for _ in range(FLIPS))} if raw else ()
        for at in places:
            changed = bytearray(raw)
            changed[at] ^= 1 << rng.randrange(8)
            path.write_bytes(bytes(changed))
            assert check(copied), f"{path.name} byte {at}"
            tried += 1
        path.write_bytes(raw)
    assert check(copied) == []
    assert tried > 100


def test_every_kind_of_file_is_there_and_holds_something(honest: Path) -> None:
    """So that the flips above touch each kind of file that an export can have."""
    sizes = {p.relative_to(honest / "export").as_posix(): p.stat().st_size for p in files(honest)}
    assert {n for n in sizes if not n.startswith("uploads/")} == set(expected_files())
    assert min(sizes.values()) > 0


def test_a_byte_more_or_less_is_found(copied: Path) -> None:
    for path in files(copied):
        raw = path.read_bytes()
        for changed in (raw + b"\x00", raw[:-1]):
            if changed != raw:
                path.write_bytes(changed)
                assert check(copied), path.name
        path.write_bytes(raw)


def test_a_missing_file_is_found(copied: Path) -> None:
    assert {p.relative_to(copied / "export").as_posix() for p in files(copied)} >= set(
        expected_files()
    )
    for path in files(copied):
        raw = path.read_bytes()
        path.unlink()
        assert check(copied), path.name
        path.write_bytes(raw)


def test_an_item_left_out_is_found(copied: Path) -> None:
    """Every item but an older head: a later one covers what it covered."""
    for path in files(copied):
        if path.parent.name == "uploads" or path.name == "heads.cbor":
            continue
        raw = path.read_bytes()
        items = list(cbor.decode_sequence(raw))
        for at in range(0, len(items), max(1, len(items) // 4)):
            path.write_bytes(cbor.encode_sequence(items[:at] + items[at + 1 :]))
            assert check(copied), f"{path.name} item {at}"
        path.write_bytes(raw)


def test_a_strange_file_is_found(copied: Path) -> None:
    (copied / "export/objects/catatan.txt").write_text("x")
    (copied / "export/uploads/lain.cbor").write_text("x")
    assert [f.invariant for f in check(copied)] == [Invariant.CHAINED_LEDGER] * 2


def test_an_upload_under_another_name_is_found(copied: Path) -> None:
    path = next((copied / "export/uploads").iterdir())
    path.rename(path.with_name(path.name.replace("-0000000001-", "-0000000002-")))
    assert {f.invariant for f in check(copied)} == {Invariant.CHAINED_LEDGER}


def test_every_file_emptied_is_found_without_a_crash(copied: Path) -> None:
    for path in files(copied):
        if not path.read_bytes():
            continue
        raw = path.read_bytes()
        path.write_bytes(b"")
        assert check(copied), path.name
        path.write_bytes(raw)


# --- heads noted earlier ------------------------------------------------------------


def test_a_head_noted_earlier_must_be_an_ancestor(copied: Path) -> None:
    assert check(copied, head_file=copied / "head.cbor") == []
    assert check(copied, head_file=copied / "export/heads.cbor") == []
    story = tell()
    story.w.ledger[3] = (story.w.ledger[3][0] + 1, story.w.ledger[3][1])
    (copied / "other.cbor").write_bytes(story.w.chain()[2][0])
    assert [f.invariant for f in check(copied, head_file=copied / "other.cbor")] == [
        Invariant.CHAINED_LEDGER
    ]


def test_a_head_of_a_longer_ledger_is_no_ancestor(copied: Path) -> None:
    """Entries taken off the end: the export's own heads fit, the head noted before does not."""
    assert [f.what.fact for f in check(copied, head_file=copied / "later.cbor")] == [
        Fact.HEAD_OTHER
    ]


def test_an_issuance_head_noted_with_it_must_be_an_ancestor_too(copied: Path) -> None:
    found = check(copied, head_file=copied / "other.cbor")
    assert [f.what.fact for f in found] == [Fact.HEAD_OTHER]
    alone = list(cbor.decode_sequence((copied / "other.cbor").read_bytes()))[1:]
    (copied / "other.cbor").write_bytes(cbor.encode_sequence(alone))
    with pytest.raises(HeadUnreadableError):
        check(copied, head_file=copied / "other.cbor")


def test_a_flipped_byte_in_a_noted_head_is_refused(copied: Path) -> None:
    raw = (copied / "head.cbor").read_bytes()
    for at in range(0, len(raw), 7):
        (copied / "bad.cbor").write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        assert run(copied, "--demo", "--head", str(copied / "bad.cbor")) == REFUSED, at


def test_the_command_holds_an_export_to_a_head(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(copied, "--demo", "--head", str(copied / "head.cbor")) == CLEAN
    capsys.readouterr()
    assert run(copied, "--demo", "--head", str(copied / "later.cbor")) == FOUND
    assert "bukan kepala rantai ini" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"\x00", cbor.encode_sequence([b"x"])])
def test_a_head_that_is_none_is_refused(copied: Path, content: bytes) -> None:
    (copied / "bad.cbor").write_bytes(content)
    with pytest.raises(HeadUnreadableError):
        check(copied, head_file=copied / "bad.cbor")


def test_a_head_of_another_root_is_refused(copied: Path) -> None:
    (copied / "bad.cbor").write_bytes(tell(seed=2).w.chain()[2][0])
    with pytest.raises(HeadUnreadableError):
        check(copied, head_file=copied / "bad.cbor")


# --- what keeps it from judging ------------------------------------------------------------


def test_no_export_no_trust_no_demo(honest: Path, tmp_path: Path) -> None:
    with pytest.raises(DemoRootError):
        verify(honest / "export", honest / "trust.cbor", allow_demo=False)
    with pytest.raises(ExportUnreadableError):
        verify(tmp_path, honest / "trust.cbor", allow_demo=True)
    with pytest.raises(TrustUnreadableError):
        verify(honest / "export", tmp_path / "none", allow_demo=True)
    raw = bytearray((honest / "trust.cbor").read_bytes())
    for at in (0, len(raw) // 2, len(raw) - 2):
        (tmp_path / "t").write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        with pytest.raises(TrustUnreadableError):
            verify(honest / "export", tmp_path / "t", allow_demo=True)


def test_another_root_finds_everything_wrong(honest: Path, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(tell(seed=2).w.trust)
    found = verify(honest / "export", tmp_path / "t", allow_demo=True).findings
    assert Invariant.SIGNATURES in {f.invariant for f in found}


# --- the command line ------------------------------------------------------------


def run(folder: Path, *more: str) -> int:
    return main(["verify", str(folder / "export"), "--trust", str(folder / "trust.cbor"), *more])


def test_exit_codes_page_and_json(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = copied / "report.json"
    assert run(copied, "--demo", "--json", str(out)) == CLEAN
    text = capsys.readouterr().out
    assert "Tidak ada temuan." in text
    assert "DEMO" in text.splitlines()[1]
    report = json.loads(out.read_text())
    assert (report["findings"], report["difference_minor"], report["goods_difference"]) == (
        [], 0, 0,
    )  # fmt: skip
    assert report["settled_minor"] == 1_532_000
    assert run(copied, "--demo", "--lang", "en") == CLEAN
    assert "No finding." in capsys.readouterr().out
    path = copied / "export/ledger.cbor"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    for language in ("id", "en"):
        assert run(copied, "--demo", "--json", str(out), "--lang", language) == FOUND
        assert str(int(Invariant.CHAINED_LEDGER)) in capsys.readouterr().out
    assert {f["invariant"] for f in json.loads(out.read_text())["findings"]} >= {17}


def test_refusals_are_one_line(honest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(honest) == REFUSED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "--demo" in captured.err
    assert run(honest, "--demo", "--json", "/nowhere/x.json", "--lang", "en") == REFUSED
    assert "could not be written" in capsys.readouterr().err
    shutil.rmtree(honest / "none", ignore_errors=True)
    assert main(["verify", str(honest / "none"), "--trust", "x", "--demo"]) == REFUSED
