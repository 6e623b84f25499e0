"""The auditor over the bare loop, two at once, and its growth with the export."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from backend.audit.load import Export
from backend.audit.verify import judge
from tests.bench import bare
from tests.bench.frame import Row, Section, Size, at_least, at_most, cpu, interleaved
from tests.support.audit_story import bulk
from tests.support.audit_world import AuditWorld
from wire import log
from wire.chain import IssuanceEntry, IssuanceKind
from wire.cvc import CardExtension, Certificate
from wire.log import Upload

TITLE = "Audit"
REPEATS = 3
IN_TIME = 20_000  # receipts that fit at a minute an event
MOST = 4_000_000_000  # of a good in one delivery


@dataclass(frozen=True, slots=True)
class Case:
    """An export in memory, and what the bare loop does with the same bytes."""

    export: Export
    trust: Path
    receipts: list[bare.Signed]
    records: list[bytes]

    def audit(self) -> None:
        """From bytes to a report without findings."""
        made = judge(self.export, self.trust, allow_demo=True)
        if made.findings:
            raise RuntimeError(f"the bench's export is not right: {made.findings[:3]}")

    def bare(self) -> None:
        """The least of it."""
        bare.loop(self.receipts, self.records)


@contextmanager
def hurried(receipts: int) -> Iterator[None]:
    """Many receipts must fit the story's hundred days and stock: less time each, more goods."""
    if receipts <= IN_TIME:
        yield
        return
    tick, deliver = AuditWorld.tick, AuditWorld.deliver

    def quick(world: AuditWorld, seconds: int = 2) -> int:
        return tick(world, seconds)

    def plenty(world: AuditWorld, station: Any, provider: str, lines: Any, **more: Any) -> bytes:
        return deliver(
            world, station, provider, [(g, u, min(10 * n, MOST)) for g, u, n in lines], **more
        )

    with (
        patch.object(AuditWorld, "tick", quick),
        patch.object(AuditWorld, "deliver", plenty),
    ):
        yield


def case(receipts: int, folder: Path) -> Case:
    """A story of so many receipts, all of them right; its trust file goes into ``folder``."""
    with hurried(receipts):
        story = bulk(receipts)
    export, trust = story.w.finish(), folder / "trust"
    trust.write_bytes(story.w.trust)
    keys = {}
    for raw in export.issuance:
        entry = IssuanceEntry.parse(raw)
        if entry.kind == IssuanceKind.CARD_CERTIFICATE:
            certificate = Certificate.parse(entry.item)
            assert isinstance(certificate.extension, CardExtension)
            keys[certificate.subject] = certificate.extension.receipt_key
    items, records = [], []
    for file in export.uploads:
        for record in Upload.parse(file.raw).records:
            records.append(record.raw)
            if isinstance(record.body, log.Receipted):
                card_id = record.body.receipt[6:14]
                items.append(bare.signed(keys[card_id], record.body.receipt))
    return Case(export, trust, items, records)


def measure(size: Size) -> Section:
    """Over the bare loop; two processes; growth."""
    made = Section(text=[
        "`backend.audit` from the bytes of an export in memory to its report; CPU time. The",
        "export holds, besides receipts, what the auditor also verifies and the bare loop does",
        "not: entitlements, certificates, statements, ledger and issuance log. Scaling: two",
        "processes audit one export each; the auditor itself works in one.",
    ])  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        _measure(made, Path(folder), size)
    return made


def _measure(made: Section, folder: Path, size: Size) -> None:
    one = case(size.receipts, folder)
    ours, limit = interleaved(REPEATS if size.repeats > 1 else 1, lambda: cpu(one.audit),
                              lambda: cpu(one.bare))  # fmt: skip
    count = len(one.receipts)
    made.add(
        Row("receipts audited per CPU second", count / ours, "/s"),
        Row("the bare loop", count / limit, "/s"),
        at_least("audit over the bare loop", limit / ours, 0.85),
        *_scaling(one, size),
        *_growth(size, folder),
    )


def _scaling(one: Case, size: Size) -> list[Row]:
    times = REPEATS if size.repeats > 1 else 1
    a1, a2, b1, b2 = interleaved(
        times, lambda: _at_once(one.audit, 1), lambda: _at_once(one.audit, 2),
        lambda: _at_once(one.bare, 1), lambda: _at_once(one.bare, 2),
    )  # fmt: skip
    audit, limit = 2 * a1 / a2, 2 * b1 / b2
    return [
        Row("two audits at once, over one", audit, "times"),
        Row("two bare loops at once, over one", limit, "times"),
        at_least("audit_scaling", audit / limit, 0.93),
    ]


def _at_once(work: Callable[[], None], processes: int) -> float:
    """Wall seconds until that many forked processes have done the work."""
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work) for _ in range(processes)]
    begun = time.perf_counter()
    for child in children:
        child.start()
    for child in children:
        child.join()
    if any(child.exitcode for child in children):
        raise RuntimeError("a process of the scaling bench failed")
    return time.perf_counter() - begun


def _growth(size: Size, folder: Path) -> list[Row]:
    costs = []
    for n in size.growth:
        one = case(n, folder)
        costs.append(cpu(one.audit) / len(one.receipts))
    rows = [
        Row(f"audit, per receipt of {n:,}", cost * 1e6, "µs")
        for n, cost in zip(size.growth, costs, strict=True)
    ]
    return [*rows, at_most("growth of audit, dearest over the first", max(costs) / costs[0], 1.3)]
