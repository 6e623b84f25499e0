"""Every test and fraud that docs/threat-model.md names exists, and its bounds are computed."""

import json
import re
from pathlib import Path

import pytest

from backend.importing import DEFAULT_BYPASS_TOTAL
from backend.office import DEFAULT_PARAMETERS
from keys.ca import TERMINAL_DAYS
from keys.servicecore import Quotas
from tests.sim.test_frauds import FRAUDS
from wire import purse
from wire.entitlement import MAX_LOTS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/threat-model.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(test_\w+)`", PAGE)))
DAY_S, CARDS = 86_400, 135_000
WRITTEN = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"def (test_\w+)\(", path.read_text("utf-8"))
}


def test_the_model_names_tests() -> None:
    assert len(NAMED) > 40


@pytest.mark.parametrize("name", NAMED)
def test_named_test_exists(name: str) -> None:
    assert name in WRITTEN


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_fraud_is_named_once_under_its_invariant() -> None:
    named: list[tuple[str, int]] = []
    for number, names in re.findall(r"(\d+): ((?:`\w+`(?:, )?)+)",
                                    section("Frauds that the auditor finds")):  # fmt: skip
        named += [(name, int(number)) for name in re.findall(r"`(\w+)`", names)]
    assert sorted(named) == sorted((name, int(i)) for name, (i, _) in FRAUDS.items())


# --- bounds ------------------------------------------------------------


def dotted(amount: int) -> str:
    return f"{amount:,}".replace(",", ".")


def per_wallet() -> list[tuple[int, int]]:
    """(one round, cap of a debit) of each demo programme, in rupiah at the newest price."""
    plans = json.loads((ROOT / "data/demo/programmes.json").read_text("utf-8"))["programmes"]
    return [
        (p["amount_per_round"] * p["versions"][-1]["price_minor"],
         p["caps"]["per_debit"] * p["versions"][-1]["price_minor"])
        for p in plans
    ]  # fmt: skip


def bounds() -> dict[str, list[str]]:
    """Line of the table → figures it must hold."""
    wallets, rules, quotas = per_wallet(), DEFAULT_PARAMETERS, Quotas()
    v = sum(a for a, _ in wallets)
    stale = f"{rules.data_stale_stop_s // DAY_S} days"
    session = sum(min(a, cap) for a, cap in wallets)
    bypassed = sum(min(a, DEFAULT_BYPASS_TOTAL * cap) for a, cap in wallets)
    pins = sum(not purse.pin_too_simple(f"{n:06d}".encode()) for n in range(10**purse.PIN_DIGITS))
    tries = purse.PIN_TRIES * (1 + purse.PIN_UNBLOCKS)
    ages = (rules.gap_age_s, rules.returned_age_s, rules.statement_age_s)
    return {
        "one family": [f"Rp{dotted(v)}"],
        "balance a card": [f"Rp{dotted(MAX_LOTS * v)}", f"{MAX_LOTS} lots"],
        "broken chip": [f"Rp{dotted(10 * v)}", stale],
        "terminal that has seen": [f"Rp{dotted(session)}"],
        "supervisor without": [f"Rp{dotted(bypassed)}", f"{DEFAULT_BYPASS_TOTAL} bypasses"],
        "stolen terminal": [
            f"{TERMINAL_DAYS} days",
            f"{TERMINAL_DAYS} + 92 = {TERMINAL_DAYS + 92}",
        ],
        "blocked card": [stale],
        "card and terminal destroyed": [stale],
        "PIN of a found": [f"{purse.PIN_TRIES} in {dotted(pins)}", f"{tries} in {dotted(pins)}"],
        "transport code": [
            f"{purse.TRANSPORT_CODE_TRIES} in {dotted(10**purse.TRANSPORT_CODE_DIGITS)}"
        ],
        "hotlist signed": [f"{dotted(CARDS * rules.hotlist_step_permille // 1000)} cards"],
        "personalising desk": [f"{dotted(quotas.cards)} cards", f"Rp{dotted(quotas.cards * v)}"],
        "issuer key's": [f"Rp{dotted(quotas.loaded_default)}"],
        "false date": [f"{purse.DATE_STEP_MAX_DAYS} days"],
        "open gap": [", ".join(str(a // DAY_S) for a in ages) + " days"],
    }


def test_each_bound_is_what_the_parameters_give() -> None:
    rows = [row for row in section("Bounds").splitlines() if row.startswith("| ")][1:]
    wanted = bounds()
    assert len(rows) == len(wanted)
    for row, (start, figures) in zip(rows, wanted.items(), strict=True):
        assert row.startswith(f"| {start}"), row
        for figure in figures:
            assert figure in row, (figure, row)
