"""The report to take away (docs/audit.md#the-face): workbook, table, printed page, of `tables`."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import typst
import xlsxwriter

from backend.audit.forms import moment
from backend.audit.messages import CANNOT, WORDS, pick
from backend.face.book import Book
from backend.face.tables import Cell, Sheet, sheets

XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CSV: Final = "text/csv; charset=utf-8"
PDF: Final = "application/pdf"
JSON: Final = "application/json"
TEMPLATE: Final = Path(__file__).parent / "report.typ"
PAPER_ROWS = 40
"""More rows of one table are counted on paper, not printed: they are in the workbook."""
_WIDTH = 18
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def make(book: Book, name: str, language: str) -> tuple[bytes, str] | None:
    """The file of this name and its media type: ``laporan.xlsx|pdf|json``, ``<sheet>.csv``."""
    if name == "laporan.json":
        text = json.dumps(book.report.to_json(), ensure_ascii=False, indent=1)
        return text.encode(), JSON
    if name == "laporan.xlsx":
        return workbook(sheets(book, language), book.world.now_s), XLSX
    if name == "laporan.pdf":
        return printed(book, language), PDF
    stem, dot, kind = name.rpartition(".")
    found = [s for s in sheets(book, language) if s.name == stem and (dot, kind) == (".", "csv")]
    return (table(found[0]), CSV) if found else None


def workbook(every: list[Sheet], as_of_s: int) -> bytes:
    """All tables as one workbook; text never becomes a formula or an address."""
    data = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    book = xlsxwriter.Workbook(data, options)
    book.set_properties({"created": datetime.fromtimestamp(as_of_s, tz=UTC)})
    bold, number = book.add_format({"bold": True, "bottom": 1}), book.add_format(
        {"num_format": "#,##0"})  # fmt: skip
    for sheet in every:
        page = book.add_worksheet(sheet.title[:31])
        page.freeze_panes(1, 1)
        page.set_column(0, len(sheet.columns) - 1, _WIDTH)
        page.write_row(0, 0, sheet.columns, bold)
        for n, row in enumerate(sheet.rows, 1):
            for m, cell in enumerate(row):
                if isinstance(cell, str):
                    page.write_string(n, m, cell)
                else:
                    page.write_number(n, m, cell, number)
        if sheet.rows:
            page.autofilter(0, 0, len(sheet.rows), len(sheet.columns) - 1)
    book.close()
    return data.getvalue()


def table(sheet: Sheet) -> bytes:
    """One table as CSV (RFC 4180, UTF-8 with its mark, as spreadsheets here expect)."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(sheet.columns)
    writer.writerows([_tame(c) for c in row] for row in sheet.rows)
    return out.getvalue().encode("utf-8-sig")


def _tame(cell: Cell) -> Cell:
    """Text that a spreadsheet would compute is kept text."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def printed(book: Book, language: str) -> bytes:
    """The report on paper (A4), the same bytes for the same report."""
    world = book.world
    data = {
        "language": language,
        "title": pick(WORDS["title"], language).capitalize(),
        "demo": pick(WORDS["demo"], language) if world.trust.env.is_demo else "",
        "as_of": f"{pick(WORDS['as_of'], language)} {moment(world.now_s, language)}",
        "cannot_title": pick(WORDS["cannot"], language).capitalize(),
        "cannot": [pick(pair, language) for pair in CANNOT],
        "sheets": [
            {
                "title": s.title, "columns": s.columns,
                "rows": [[_printed(c) for c in row] for row in s.rows[:PAPER_ROWS]],
                "numbers": [all(isinstance(row[n], int) for row in s.rows)
                            for n in range(len(s.columns))],
                "more": max(0, len(s.rows) - PAPER_ROWS),
            }
            for s in sheets(book, language) if s.name not in {"struk", "kartu"}
        ],
    }  # fmt: skip
    made = typst.compile(TEMPLATE.read_bytes(), sys_inputs={"data": json.dumps(data)},
                         format="pdf", timestamp=world.now_s)  # fmt: skip
    return bytes(made)


def _printed(cell: Cell) -> str:
    return f"{cell:,}".replace(",", ".") if isinstance(cell, int) else cell
