"""Every figure is the report's, opens what it comes from, and that adds up to it."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from backend.audit.load import SHAPES
from backend.audit.verify import verify
from backend.face import browse, charts, lists, texts, things
from backend.face.alter import Source
from backend.face.book import Book, Figure, Query
from backend.face.codes import CODES
from backend.face.lines import Count, RefKind
from backend.face.parts import LAYOUTS, parts
from backend.face.proof import Outcome, Step
from tests.support.fraud_reports import ONE_WORKER
from wire.chain import IssuanceEntry, LedgerEntry
from wire.cvc import Certificate
from wire.entitlement import Entitlement, Script
from wire.log import BODIES, Handover
from wire.objects import Unit
from wire.receipt import Receipt, ReceiptKind, Statement

TEMPLATES = Path(browse.__file__).parent / "templates"


def figures(book: Book) -> list[Figure]:
    """Every figure of every table."""
    tables = [browse.programme_table(book), browse.provider_table(book), browse.place_table(book)]
    tables += [browse.places_of(book, code) for code in book.programmes]
    tables += [browse.programmes_at(book, place) for place in browse.places(book)]
    tables += [browse.programmes_of(book, p.provider) for p in book.report.providers]
    cards = list(book.world.cards.values())
    tables += [browse.card_table(book, cards), *(browse.wallet_table(book, c) for c in cards)]
    return [f for t in tables for r in [*t.rows, *([t.total] if t.total else [])]
            for f in r.figures]  # fmt: skip


# --- figures ------------------------------------------------------------


def test_what_is_loaded_is_what_verify_reports(source: Source, book: Book) -> None:
    report = verify(source.folder, source.trust_file, allow_demo=True)
    assert book.report.to_json() == report.to_json()


@pytest.mark.parametrize("which", ["book", "many"])
def test_every_figure_is_the_sum_of_its_lines(which: str, request: pytest.FixtureRequest) -> None:
    book: Book = request.getfixturevalue(which)
    found = figures(book)
    assert len(found) > 100
    for figure in found:
        basis = browse.basis(book, figure.query)
        lines = book.tally(figure.query).lines
        in_rupiah = figure.unit == Unit.RUPIAH
        total = sum(x.minor if in_rupiah else x.amount for x in lines)
        assert (figure.amount, figure.total) == (total, total), figure
        assert basis.is_whole, figure
        assert figure.receipts == sum(x.receipts for x in lines), figure


@pytest.mark.parametrize("which", ["book", "many"])
def test_figures_are_the_reports(which: str, request: pytest.FixtureRequest) -> None:
    book: Book = request.getfixturevalue(which)
    for row, p in zip(browse.programme_table(book).rows, book.report.programmes, strict=True):
        assert [f.amount for f in row.figures] == [
            p.released_minor, p.issued, p.redeemed, p.forfeited, p.residual, p.moved,
        ]  # fmt: skip
        assert row.difference == p.difference_minor
        for f in row.figures[1:]:
            assert f.unit == Unit.RUPIAH or f.minor == f.amount * p.price_minor
        for count, name in ((Count.LOSSES, "losses"), (Count.RETURNED, "returned"),
                            (Count.LOADED, "loaded")):  # fmt: skip
            assert book.figure(Query(count, programme=p.code)).amount == getattr(p, name)
    for row, q in zip(browse.provider_table(book).rows, book.report.providers, strict=True):
        assert [f.amount for f in row.figures] == [
            q.released_minor, q.loaded_minor, q.redeemed_minor, q.held_minor, q.payable_minor,
            q.settled_minor,
        ]  # fmt: skip
    for x in book.report.places:
        query = Query(Count.REDEEMED, programme=x.code, place=x.place)
        assert book.figure(query).amount == x.redeemed
        for good, amount in x.handed.items():
            handed = Query(Count.HANDED, programme=x.code, place=x.place, good=good)
            assert book.figure(handed).amount == amount
    total = browse.programme_table(book).total
    assert total is not None
    assert total.figures[0].amount == book.report.funds_minor


def test_a_receipt_behind_redeemed_is_one_and_its_amount_the_lines(book: Book) -> None:
    for line in book.tally(Query(Count.REDEEMED)).lines:
        held = book.held(bytes.fromhex(line.ref.key))
        assert held is not None
        sign = 1 if held.receipt.kind == ReceiptKind.DEBIT else -1
        assert line.amount == sign * (held.receipt.amount - book.world.lost(held))


def test_a_settlement_opens_the_receipts_it_pays(book: Book) -> None:
    for line in book.tally(Query(Count.SETTLED)).lines:
        assert line.ref.kind == RefKind.LEDGER
        covers = book.sources.settlement.covers[int(line.ref.key)]
        assert sum(minor for _, minor in covers) == line.amount
        assert len(covers) == line.receipts > 0


def test_every_line_opens_something(book: Book) -> None:
    for count in Count:
        for line in book.tally(Query(count)).lines:
            ref = line.ref
            found = book.find(f"ledger/{ref.key}" if ref.kind == RefKind.LEDGER else ref.key)
            assert found == ref, line


@ONE_WORKER
def test_with_a_fraud_the_figures_stay_the_reports(frauds: dict[str, Book]) -> None:
    for name, book in frauds.items():
        for row, p in zip(browse.programme_table(book).rows, book.report.programmes, strict=True):
            assert (row.figures[2].amount, row.figures[2].total) == (p.redeemed, p.redeemed), name
        for row in browse.provider_table(book).rows:
            for figure in row.figures:
                assert figure.amount == figure.total, name
        shown = [v.finding for every in things.findings(book, "id").values() for v in every]
        assert shown == sorted(book.report.findings, key=lambda f: int(f.invariant)), name


@ONE_WORKER
def test_most_findings_lead_to_their_evidence(frauds: dict[str, Book]) -> None:
    links = [
        link.href
        for book in frauds.values()
        for every in things.findings(book, "en").values()
        for view in every
        for link in (view.subject, *view.evidence)
    ]
    assert sum(map(bool, links)) > 0.8 * len(links)


# --- the trail, lists ------------------------------------------------------------


def test_the_trail_narrows_to_one_receipt(book: Book) -> None:
    held = next(iter(book.world.receipts.values()))
    row = lists.receipt_row(book, held)
    steps = browse.trail(book, texts.Stage.RECEIPT, programme=row.programme, place=row.place,
                         card=held.receipt.card_id, receipt=held)  # fmt: skip
    assert [s.stage for s in steps] == list(texts.Stage)
    assert [s.is_here for s in steps] == [False] * 5 + [True]
    assert all(s.name is not None for s in steps[1:])
    assert steps[0].figure is not None
    assert steps[0].figure.amount == book.programmes[row.programme].released_minor


def test_a_list_is_narrowed_by_every_facet_it_offers(book: Book) -> None:
    whole = lists.receipts(book, lists.Filter())
    assert whole.number == len(book.world.receipts)
    for name, value in (("programme", 1), ("place", "Desa Satu"), ("state", texts.State.PAID),
                        ("provider", "Perum Bulog"), ("day", "2026-04-12"),
                        ("card", whole.rows[0].card)):  # fmt: skip
        part = lists.receipts(book, lists.Filter(**{name: value}))
        assert 0 < part.number < whole.number, name
    facets = {str(f.group) for f in whole.facets}
    assert facets == {"programme", "place", "state", "day"}
    for group in facets - {"day"}:
        assert sum(f.number for f in whole.facets if f.group == group) == whole.number


def test_long_lists_have_pages(many: Book) -> None:
    pages = [lists.receipts(many, lists.Filter(), n) for n in (1, 2, 3)]
    assert [p.pages for p in pages] == [3, 3, 3]
    names = [r.name for p in pages for r in p.rows]
    assert len(names) == len(set(names)) == 300
    assert lists.receipts(many, lists.Filter(), 99).page == 3


def test_days_have_no_gap_and_add_up(book: Book) -> None:
    chart = charts.day_chart(book, Query(Count.REDEEMED))
    assert len(chart.labels) == 12
    assert sum(chart.series[0][1]) == book.figure(Query(Count.REDEEMED)).amount
    flow = charts.flow_chart(browse.programme_table(book))
    for n, p in enumerate(book.report.programmes):
        assert sum(values[n] for _, values in flow.series) == p.issued * p.price_minor


# --- single items ------------------------------------------------------------


def test_every_object_of_an_honest_export_verifies_again(book: Book) -> None:
    assert len(book.papers) > 100
    for name in book.papers:
        view = things.signed(book, name)
        assert view is not None
        assert view.error is None, view.where
        assert b"".join(p.raw for p in view.parts) == view.raw
        assert view.values


def test_an_object_altered_by_one_byte_does_not_verify(book: Book) -> None:
    for name, paper in list(book.papers.items())[::7]:
        raw = paper.raw[:-1] + bytes([paper.raw[-1] ^ 1])
        book.papers[name] = type(paper)(raw, paper.where)
        view = things.signed(book, name)
        book.papers[name] = paper
        assert view is not None
        assert view.error is not None, paper.where


def test_every_record_and_entry_has_a_page_and_is_linked(book: Book) -> None:
    for place in book.records.values():
        view = things.record(book, place.station, place.record.sequence)
        assert view is not None
        assert view.is_linked is True
    for kind, chain in (("buku", book.world.ledger), ("terbit", book.world.issuance)):
        for n in range(1, len(chain) + 1):
            view = things.entry(book, kind, n)
            assert view is not None
            assert view.is_linked is (None if n == 1 else True)
    assert things.entry(book, "buku", 0) is None
    assert things.entry(book, "buku", len(book.world.ledger) + 1) is None


def test_names_that_nothing_has_lead_nowhere(book: Book) -> None:
    for name in ("", "x", "ab" * 32, "cd" * 8, "ledger/0", "ledger/99999", "heads/1",
                 "issuance/x", f"{'ab' * 8}/3"):  # fmt: skip
        assert book.find(name) is None


# --- words ------------------------------------------------------------


def test_every_field_and_code_has_both_words() -> None:
    shapes = [*SHAPES.values(), *BODIES.values(), Receipt, Statement, Entitlement, Script,
              Certificate, IssuanceEntry, LedgerEntry]  # fmt: skip
    names = {f.name for shape in shapes for f in fields(shape)} - {"raw"}
    names |= {name for layout in LAYOUTS.values() for name, _, _ in layout}
    assert names <= set(texts.FIELDS)
    for kind, words in CODES.items():
        assert {int(x) for x in kind} == set(words), kind
    for table, keys in ((texts.COUNTS, Count), (texts.EXPLAINED, Count), (texts.STEPS, Step),
                        (texts.OUTCOMES, Outcome), (texts.STAGES, texts.Stage),
                        (texts.STATES, texts.State), (texts.REFS, RefKind)):  # fmt: skip
        assert set(table) == set(keys)


def test_every_word_of_the_pages_has_its_english() -> None:
    from ui.words import english

    said = set()
    for path in TEMPLATES.rglob("*.html"):
        found = re.findall(r"""_\(\s*(?:"([^"]*)"|'([^']*)')""", path.read_text("utf-8"))
        said |= {a or b for a, b in found}
    assert len(said) > 100
    assert said - set(english()) == set()


def test_parts_of_strange_bytes_are_one() -> None:
    for raw in (b"x", b"\xd2\x84\xff", b"\x7f\x21\x05", b"BTR" + bytes(5)):
        assert [p.raw for p in parts(raw)] == [raw]
    assert parts(b"") == []


def test_goods_have_their_english_names_on_pages_and_in_tables(book: Book) -> None:
    from backend.face.tables import sheets
    from ui.show import GOODS, good

    known = {g.good for g in book.report.goods}
    assert known <= set(GOODS)
    (table,) = [x for x in sheets(book, "en") if x.name == "barang"]
    assert {row[2] for row in table.rows} == {good(code)[1] for code in known} >= {"rice", "oil"}
    for path in TEMPLATES.rglob("*.html"):
        assert not re.search(r"\{\{ *\w+(\.query)?\.good *\}\}", path.read_text("utf-8")), path


def test_the_name_of_who_took_a_card_for_its_family_is_masked(book: Book) -> None:
    body = Handover("BAST-1", 42, "Desa Satu", "Sangkuwung Andereas", b"s")
    (shown,) = [v.text for v in things.values_of(book, body) if v.name == "proxy"]
    assert shown == ("Sa" + 15 * "•" + "as",) * 2
