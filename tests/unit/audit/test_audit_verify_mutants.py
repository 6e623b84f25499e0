"""An export held to heads noted earlier, and what judging leaves behind, in a hamlet."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from backend import ledger
from backend.audit import verify as module
from backend.audit.errors import DemoRootError, HeadUnreadableError, TrustUnreadableError
from backend.audit.facts import Fact
from backend.audit.load import Export
from backend.audit.verify import judge
from tests.support.audit_files import write
from tests.unit.audit.test_audit_build_heads_mutants import head
from tests.unit.audit.test_audit_build_mutants import A, Hamlet, flip
from wire import cbor
from wire.objects import IssuanceHead, LedgerHead


class Noted:
    """A hamlet's export with one ledger entry, its trust file, and heads noted of it."""

    def __init__(self, folder: Path) -> None:
        self.x = x = Hamlet()
        x.w.post(ledger.fund_release(A, 2, 5))
        self.export: Export = x.w.finish()
        self.trust, self.file = folder / "trust.cbor", folder / "head.cbor"
        self.trust.write_bytes(x.w.trust)
        self.book, self.log = self.export.heads
        self.wrong = head(x, LedgerHead, 1, A), head(x, IssuanceHead, 2, A)

    def found(self, *heads: bytes) -> list[tuple[str, Fact]]:
        """What is found beyond what the export alone gives, against these heads."""
        before = judge(self.export, self.trust, allow_demo=True).findings
        self.file.write_bytes(heads[0] if len(heads) == 1 else cbor.encode_sequence([*heads]))
        after = judge(self.export, self.trust, allow_demo=True, head_file=self.file).findings
        return [(f.subject, f.what.fact) for f in after if f not in before]


def test_each_head_noted_is_an_ancestor(tmp_path: Path) -> None:
    n = Noted(tmp_path)
    other = [(str(n.file), Fact.HEAD_OTHER)]
    assert n.found(n.book) == []
    assert n.found(n.log, n.book) == []
    assert n.found(n.wrong[0]) == other
    assert n.found(n.book, n.wrong[1]) == other
    assert n.found(n.wrong[0], n.book, n.log) == other


def test_without_a_readable_ledger_head_nothing_can_be_held(tmp_path: Path) -> None:
    n = Noted(tmp_path)
    for heads in ((n.log,), (n.log, n.log), (b"\xff",), (flip(n.book),), (n.book, flip(n.log))):
        with pytest.raises(HeadUnreadableError):
            n.found(*heads)
    with pytest.raises(HeadUnreadableError):
        judge(n.export, n.trust, allow_demo=True, head_file=tmp_path / "none")


def test_a_trust_file_is_there_and_its_root_allowed(tmp_path: Path) -> None:
    n = Noted(tmp_path)
    with pytest.raises(TrustUnreadableError):
        judge(n.export, tmp_path / "none", allow_demo=True)
    with pytest.raises(DemoRootError):
        judge(n.export, n.trust, allow_demo=False)


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_is_as_it_was_whatever_comes_of_it(
    was_on: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n, seen = Noted(tmp_path), []
    real = module.report.make
    monkeypatch.setattr(module.report, "make", lambda w: seen.append(gc.isenabled()) or real(w))
    held = gc.isenabled()
    try:
        (gc.enable if was_on else gc.disable)()
        judge(n.export, n.trust, allow_demo=True)
        assert (gc.isenabled(), seen) == (was_on, [False])
        with pytest.raises(HeadUnreadableError):
            judge(n.export, n.trust, allow_demo=True, head_file=tmp_path / "none")
        assert gc.isenabled() == was_on
    finally:
        (gc.enable if held else gc.disable)()


def test_a_folder_is_judged_as_its_files_are(tmp_path: Path) -> None:
    n = Noted(tmp_path)
    write(n.export, tmp_path / "export")
    told = module.verify(tmp_path / "export", n.trust, allow_demo=True).to_json()
    assert told == judge(n.export, n.trust, allow_demo=True).to_json()
    n.file.write_bytes(n.wrong[0])
    report = module.verify(tmp_path / "export", n.trust, allow_demo=True, head_file=n.file)
    assert Fact.HEAD_OTHER in {f.what.fact for f in report.findings}
