"""What a person reads: both languages whole, names for ids, figures that add up."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from backend.audit import alerts, findings, messages
from backend.audit.facts import Fact
from backend.audit.findings import of_error, say
from backend.audit.forms import number, quantity, rupiah
from backend.audit.messages_facts import FACTS
from backend.audit.page import page
from backend.audit.report import Report, make
from keys.errors import RevokedKeyError, UnknownKeyError
from tests.support.audit_story import tell
from tests.support.fraud_reports import ONE_WORKER
from wire.errors import FormatError, SignatureInvalidError
from wire.invariants import TITLES
from wire.objects import Unit

HEX = re.compile(r"\b[0-9a-f]{16,}\b")
CODE = Path(findings.__file__).parent


def words(text: str) -> set[str]:
    return set(re.findall(r"\b[a-z]{3,}\b", text.lower()))


def catalogue(language: int) -> str:
    pairs = [*FACTS.values(), *messages.CANNOT, *TITLES.values()]
    for texts in (messages.WORDS, messages.KINDS, messages.HOLDS, messages.OWNERS,
                  messages.ALERTS, messages.SUBJECTS):  # fmt: skip
        pairs += texts.values()
    return " ".join(re.sub(r"\{\w*\}", "", pair[language]) for pair in pairs)


ENGLISH = words(catalogue(1)) - words(catalogue(0))


@pytest.fixture(scope="session")
def honest_report() -> Report:
    return make(tell().w.audited())


# --- both texts ------------------------------------------------------------


def test_every_fact_has_both_texts_of_the_same_values() -> None:
    assert set(FACTS) == set(Fact)
    for fact, (indonesian, english) in FACTS.items():
        values = [set(re.findall(r"\{(\w+)\}", t)) - {"detail"} for t in (indonesian, english)]
        assert values[0] == values[1], fact
        assert indonesian not in {"", english}, fact


def test_every_fact_is_said_by_some_rule() -> None:
    said = {
        node.attr
        for path in CODE.glob("*.py")
        if not path.name.startswith("messages")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "Fact"
    }
    assert said == {fact.name for fact in Fact}


def test_every_kind_of_alert_has_both_texts() -> None:
    assert set(messages.ALERTS) == set(alerts.Kind)


def test_every_fraud_is_told_in_both_languages_and_nothing_english_in_indonesian(
    frauds: dict[str, Report],
) -> None:
    for name, report in frauds.items():
        for finding in report.findings:
            assert "{" not in finding.what.text("id") + finding.what.text("en"), name
        indonesian = page(report, "id")
        names = words(" ".join(p.provider for p in report.providers))
        assert words(indonesian) & ENGLISH - names == set(), name
        assert "{" not in indonesian + page(report, "en"), name


@ONE_WORKER
def test_frauds_raise_most_facts(frauds: dict[str, Report]) -> None:
    told = {f.what.fact for report in frauds.values() for f in report.findings}
    assert len(told) > 80


@ONE_WORKER
def test_the_page_of_every_fraud_names_stations_and_cards(frauds: dict[str, Report]) -> None:
    """Hex is left only for hashes and for what the export does not know."""
    for name, report in frauds.items():
        known = {s.hex() for s in report.world.stations} | {c.hex() for c in report.world.cards}
        for language in ("id", "en"):
            assert set(HEX.findall(page(report, language))) & known == set(), name


def test_details_of_errors_stand_in_english_alone() -> None:
    for error, fact in (
        (SignatureInvalidError("does not fit"), Fact.BAD_SIGNATURE),
        (FormatError("does not fit"), Fact.BAD_FORM),
        (UnknownKeyError("does not fit"), Fact.UNKNOWN_KEY),
        (ValueError("does not fit"), Fact.NOT_TRUSTED),
    ):
        what = of_error(error)
        assert what.fact == fact
        assert "does not fit" in what.text("en")
        assert "does not fit" not in what.text("id")
    assert issubclass(RevokedKeyError, Exception)


# --- figures ------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "unit", "indonesian", "english"),
    [
        (1_234_567, None, "1.234.567", "1,234,567"),
        (5_000, Unit.GRAM, "5 kg", "5 kg"),
        (12_345_050, Unit.GRAM, "12.345,05 kg", "12,345.05 kg"),
        (999, Unit.GRAM, "999 g", "999 g"),
        (-1_500, Unit.MILLILITRE, "-1,5 l", "-1.5 l"),
        (1, Unit.BASKET, "1 paket", "1 basket"),
        (31, Unit.BASKET, "31 paket", "31 baskets"),
        (-150_000, Unit.RUPIAH, "-Rp150.000", "-Rp150,000"),
    ],
)
def test_quantities_are_exact(amount, unit, indonesian, english) -> None:
    assert (quantity(amount, unit, "id"), quantity(amount, unit, "en")) == (indonesian, english)


def test_numbers_of_a_fact_are_written_as_people_write_them() -> None:
    what = say(Fact.RECEIPT_MISSING, since_s=1_775_000_000)
    assert what.text("id") == "struk ini hilang sejak 1 Apr 2026, 06.33 WIB"
    what = say(Fact.BROUGHT_HOME, receipt="x", amount_minor=50_000)
    assert "Rp50.000" in what.text("id")
    assert "Rp50,000" in what.text("en")


def test_what_was_issued_is_the_sum_of_its_parts(honest_report: Report) -> None:
    for p in honest_report.programmes:
        assert p.redeemed + p.forfeited + p.residual + p.moved == p.issued
        text = page(honest_report, "id")
        assert f"{rupiah(p.issued * p.price_minor)}" in text
    for line in honest_report.providers:
        assert line.redeemed_minor == line.held_minor + line.payable_minor


def test_the_page_says_per_programme_provider_and_place(honest_report: Report) -> None:
    text = page(honest_report, "id")
    for part in ("Sembako: Dinsos, penyalur Perum Bulog", "1 paket = Rp150.000, 5 kg beras, 1 l",
                 "Semua program", "Desa Satu", "Semua tempat", "beras, TERM0001",
                 "bukan desa tempat keluarga tinggal", "99.995 kg", "STRUK DITAHAN",
                 "kartu DEMO-000004", number(len(honest_report.world.ledger))):  # fmt: skip
        assert part in " ".join(text.split()), part
    for row in ("dana cair", "dimuat ke kartu", "disalurkan", "hangus", "sisa",
                "tidak terjelaskan"):  # fmt: skip
        assert text.count(row) >= 3, row


def test_bounds_are_computed_from_the_export(honest_report: Report) -> None:
    """A card loaded with one round and not used yet, at the two terminals that are open."""
    b = honest_report.bounds
    whole = 4 * 150_000 + 250_000 + 200_000
    assert (b.largest_minor, b.terminals, b.clone_minor) == (whole, 2, 2 * whole)
    assert (b.oldest, b.stop_days) == (b"TERM0001".hex(), 35)
    text = " ".join(page(honest_report, "id").split())
    assert "Rp1.050.000 × 2 terminal = Rp2.100.000" in text
    assert "yang tertua TERM0001 (Desa Satu), sejak" in text


def test_lines_are_not_wider_than_a_screen_allows(honest_report: Report) -> None:
    assert max(len(x) for x in page(honest_report, "id").splitlines()) <= 140
