"""What is taken away says the same as the pages, and never runs."""

from __future__ import annotations

import csv
import io
import json
import zipfile

import pytest

from backend.face import paper
from backend.face.book import Book
from backend.face.tables import Sheet, sheets


@pytest.mark.parametrize("language", ["id", "en"])
def test_all_three_forms_can_be_made(book: Book, language: str) -> None:
    workbook, kind = paper.make(book, "laporan.xlsx", language) or (b"", "")
    assert kind == paper.XLSX
    with zipfile.ZipFile(io.BytesIO(workbook)) as archive:
        assert len([n for n in archive.namelist() if "worksheets/sheet" in n]) == 9
    printed, kind = paper.make(book, "laporan.pdf", language) or (b"", "")
    assert kind == paper.PDF
    assert printed.startswith(b"%PDF")
    assert printed == paper.printed(book, language)
    report, _ = paper.make(book, "laporan.json", language) or (b"", "")
    assert json.loads(report) == json.loads(json.dumps(book.report.to_json()))
    assert paper.make(book, "x.csv", language) is None
    assert paper.make(book, "program.exe", language) is None


def test_tables_hold_the_reports_figures(book: Book) -> None:
    by_name = {s.name: s for s in sheets(book, "id")}
    for row, p in zip(by_name["program"].rows, book.report.programmes, strict=True):
        assert row == (p.title_id, p.released_minor, *(
            n * p.price_minor for n in (p.issued, p.redeemed, p.forfeited, p.residual, p.moved)
        ), p.difference_minor)  # fmt: skip
    assert len(by_name["struk"].rows) == book.report.counts()["receipts"]
    raw, _ = paper.make(book, "struk.csv", "id") or (b"", "")
    rows = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"))))
    assert rows[1:] == [[str(c) for c in row] for row in by_name["struk"].rows]


def test_text_never_becomes_a_formula() -> None:
    sheet = Sheet("x", "X", ("a", "b"), (("=1+1", 5), ("@x", -5), ("https://x", 0)))
    text = paper.table(sheet).decode("utf-8-sig")
    assert text.splitlines()[1:] == ["'=1+1,5", "'@x,-5", "https://x,0"]
    with zipfile.ZipFile(io.BytesIO(paper.workbook([sheet], 0))) as archive:
        assert b"<f>" not in archive.read("xl/worksheets/sheet1.xml")
        assert not any("hyperlink" in n for n in archive.namelist())
