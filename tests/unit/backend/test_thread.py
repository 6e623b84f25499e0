"""The walking thread: import, card, tap, upload, ledger, settlement, report, export."""

from __future__ import annotations

from pathlib import Path

from tests.support.backend_world import CASH, FOOD, BackendWorld
from wire.cbor import decode_sequence
from wire.chain import IssuanceEntry, LedgerEntry, check_entries


def test_from_import_to_export(world: BackendWorld, tmp_path: Path) -> None:
    world.import_all()
    world.desk()
    ready = world
    cards = ready.cards(6)
    with_food = [c for c in cards if FOOD in c.wallets]
    assert with_food
    terminal = ready.terminal(b"TERM0001")
    for card in with_food:
        terminal.debit(card, FOOD, 1)
    cash = next(c for c in cards if CASH in c.wallets)
    terminal.debit(cash, CASH, 100_000)
    ack = terminal.send()
    assert (ack.last, ack.head) == (len(terminal.records), terminal.records[-1].hash)
    before = ready.office.report()
    assert before["difference_minor"] == 150_000 * len(with_food) + 100_000
    assert sum(p.amount_minor for p in ready.office.settle()) == before["difference_minor"]
    report = ready.office.report()
    assert report["difference_minor"] == 0
    assert report["findings"] == []
    assert report["ledger"] == []
    assert ready.office.settle() == []

    ready.office.export(tmp_path / "export")
    chain = [IssuanceEntry.parse(x) for x in
             decode_sequence((tmp_path / "export/issuance.cbor").read_bytes())]  # fmt: skip
    check_entries(chain)
    books = [LedgerEntry.parse(x) for x in
             decode_sequence((tmp_path / "export/ledger.cbor").read_bytes())]  # fmt: skip
    check_entries(books)
    assert len(list((tmp_path / "export/uploads").iterdir())) == 1
