"""What a real terminal and the real backend export is in order, and sums to the same figures."""

from __future__ import annotations

import json
from pathlib import Path

from backend.audit.verify import verify
from terminal.outcomes import Redeemed
from terminal.visit import Visit
from tests.sim.test_terminal_backend import Village, village
from tests.support.terminal_world import PIN

__all__ = ["village"]


def deliver(v: Village) -> None:
    """Goods and cash enough for the day, by signed deliveries."""
    food = [("beras", "g", 50_000), ("minyak", "ml", 10_000), ("gula", "g", 10_000)]
    sent = {"SJ-1": ("Perum Bulog", food), "SJ-2": ("Bank Kalteng", [("rupiah", "rupiah", 10**6)])}
    data = [
        {"number": number, "provider": provider, "terminal": b"TERM0001".hex(),
         "time_s": v.world.clock(),
         "lines": [{"good": g, "unit": u, "quantity": n} for g, u, n in lines]}
        for number, (provider, lines) in sent.items()
    ]  # fmt: skip
    v.world.office.import_deliveries(json.dumps({"deliveries": data}).encode())


def test_auditor_and_backend_agree(village: Village, tmp_path) -> None:
    deliver(village)
    village.sync()
    for number in ("SJ-1", "SJ-2"):
        village.engine.receive(number)
    for card in village.cards[:2]:
        with village.engine.begin(card.link()) as visit:
            assert isinstance(visit, Visit)
            visit.verify_pin(PIN)
            for wallet in [w for w in visit.wallets() if w.most]:
                paid = visit.redeem(wallet.wallet, 1)
                assert isinstance(paid, Redeemed), paid
                visit.delivered(paid.intent)
    assert village.engine.close_shift()
    village.sync()
    village.world.office.settle()
    village.world.office.export(tmp_path / "export")
    (tmp_path / "trust.cbor").write_bytes(bytes(village.world.keys.trust))
    audited = verify(tmp_path / "export", tmp_path / "trust.cbor", allow_demo=True)
    report = village.report()
    assert audited.findings == []
    assert audited.counts()["receipts"] == report["counts"]["receipts"] > 0
    assert audited.settled_minor == report["settled_minor"] > 0
    assert audited.funds_minor == report["funds_minor"]
    assert audited.difference_minor == report["difference_minor"] == 0
    assert audited.goods_difference == report["goods_difference"] == 0
    for mine, theirs in zip(audited.programmes, report["programmes"], strict=True):
        for key in ("issued", "redeemed", "forfeited", "moved", "returned", "losses", "residual"):
            wanted = theirs[key] - (theirs["moved"] if key == "residual" else 0)
            assert getattr(mine, key) == wanted, key
    _flip_each_file(tmp_path)


def _flip_each_file(folder: Path) -> None:
    """Every file the backend writes is bound: a byte changed in any of them is found."""
    for path in sorted(p for p in (folder / "export").rglob("*") if p.is_file()):
        raw = path.read_bytes()
        for at in {0, len(raw) // 3, len(raw) - 1} if raw else ():
            path.write_bytes(raw[:at] + bytes([raw[at] ^ 0x10]) + raw[at + 1 :])
            found = verify(folder / "export", folder / "trust.cbor", allow_demo=True).findings
            assert found, f"{path.name} byte {at}"
        path.write_bytes(raw)
