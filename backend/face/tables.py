"""The report (docs/audit.md#figures) as plain tables, for a spreadsheet and for paper."""

from __future__ import annotations

from dataclasses import dataclass

from backend.audit.forms import moment
from backend.audit.messages import ALERTS, WORDS, pick
from backend.face import browse, lists
from backend.face.book import Book
from backend.face.browse import Row, Table
from backend.face.texts import COUNTS, REFS, STAGES, STATES, Stage
from ui import show
from wire.invariants import TITLES

Cell = str | int


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table: its name in addresses, its title, columns, and rows of text and numbers."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


_OTHER: dict[str, tuple[str, str]] = {
    "summary": ("Ringkasan", "Summary"),
    "subject": ("Tentang", "About"),
    "value": ("Isi", "Value"),
    "unit": ("Satuan", "Unit"),
    "unexplained": ("Tidak terjelaskan", "Unexplained"),
    "goods": ("Barang", "Goods"),
    "findings": ("Temuan", "Findings"),
    "alerts": ("Perlu dilihat", "To look at"),
    "invariant": ("Aturan", "Rule"),
    "what": ("Yang ditemukan", "What was found"),
    "evidence": ("Bukti", "Evidence"),
    "owner": ("Yang menjawab", "To answer"),
    "sequence": ("Nomor", "Number"),
    "time": ("Waktu", "Time"),
    "amount": ("Jumlah", "Amount"),
    "state": ("Keadaan", "State"),
    "name": ("Sidik", "Hash"),
}


def _w(key: str, language: str) -> str:
    return pick(_OTHER[key], language)


def sheets(book: Book, language: str) -> list[Sheet]:
    """Every table of the report, summary first, receipts last."""
    money = (
        ("program", Stage.PROGRAMME, browse.programme_table(book)),
        ("penyalur", Stage.PROVIDER, browse.provider_table(book)),
        ("tempat", Stage.PLACE, browse.place_table(book)),
        ("kartu", Stage.CARD, browse.card_table(
            book, [c for _, c in sorted(book.world.cards.items())])),
    )  # fmt: skip
    return [
        _summary(book, language),
        *(_money(name, pick(STAGES[stage], language), table, language)
          for name, stage, table in money),
        _goods(book, language), _findings(book, language), _alerts(book, language),
        _receipts(book, language),
    ]  # fmt: skip


def _summary(book: Book, language: str) -> Sheet:
    report, world = book.report, book.world
    about = report.to_json()
    rows: list[tuple[Cell, ...]] = [
        (pick(WORDS["as_of"], language), moment(world.now_s, language)),
        (pick(WORDS["root"], language), str(about["root_fingerprint"])),
        (pick(WORDS["head"], language), str(about["ledger_head"])),
        (pick(WORDS["n_findings"], language), len(report.findings)),
        (pick(WORDS["difference"], language), report.difference_minor),
        (pick(WORDS["goods_difference"], language), report.goods_difference),
        (pick(REFS_RECEIPT, language), report.counts()["receipts"]),
        (pick(STAGES[Stage.CARD], language), report.counts()["cards"]),
    ]
    columns = (_w("subject", language), _w("value", language))
    return Sheet("ringkasan", _w("summary", language), columns, tuple(rows))


REFS_RECEIPT = next(iter(REFS.values()))


def _money(name: str, title: str, table: Table, language: str) -> Sheet:
    """A table of figures: rupiah, as units cannot stand in one column."""

    def cells(row: Row) -> tuple[Cell, ...]:
        amounts = tuple(f.minor or f.amount for f in row.figures)
        last = () if row.difference is None else (row.difference,)
        return (pick(row.name, language), *amounts, *last)

    has_last = any(r.difference is not None for r in table.rows)
    columns = (title, *(f"{pick(COUNTS[c], language)} (Rp)" for c in table.counts))
    columns += (f"{_w('unexplained', language)} (Rp)",) if has_last else ()
    return Sheet(name, title, columns, tuple(cells(r) for r in table.rows))


def _goods(book: Book, language: str) -> Sheet:
    units, names = book.world.units(), book.names(language)
    keys = ("delivered", "handed", "left", "loss", "unexplained")
    columns = (pick(STAGES[Stage.PLACE], language), "terminal", _w("goods", language),
               _w("unit", language), *(pick(WORDS[k], language) for k in keys))  # fmt: skip
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (g.place, names.put(g.terminal).split(" ")[0], pick(show.good(g.good), language),
         units[g.good].name.lower() if g.good in units else "", *g.amounts)
        for g in book.report.goods
    )  # fmt: skip
    return Sheet("barang", _w("goods", language), columns, rows)


def _findings(book: Book, language: str) -> Sheet:
    names = book.names(language)
    columns = tuple(_w(k, language) for k in ("invariant", "subject", "what", "evidence", "owner"))
    rows = tuple(
        (f"{f.invariant}. {pick(TITLES[f.invariant], language)}", names.subject(f.subject),
         names.put(f.what.text(language)), " ".join(f.evidence), names.owner(f.owner))
        for f in book.report.findings
    )  # fmt: skip
    return Sheet("temuan", _w("findings", language), columns, rows)


def _alerts(book: Book, language: str) -> Sheet:
    names = book.names(language)
    columns = tuple(_w(k, language) for k in ("what", "subject", "time"))
    rows = tuple(
        (pick(ALERTS[a.kind], language), names.subject(a.subject),
         moment(a.since_s, language) if a.since_s else "")
        for a in book.report.alerts
    )  # fmt: skip
    return Sheet("perlu-dilihat", _w("alerts", language), columns, rows)


def _receipts(book: Book, language: str) -> Sheet:
    keys = ("sequence", "time", "amount", "unit", "state", "name")
    first = (Stage.CARD, Stage.PROGRAMME, Stage.PLACE)
    columns = (*(pick(STAGES[s], language) for s in first), *(_w(k, language) for k in keys))
    found = sorted(book.world.receipts.values(), key=lambda h: h.name)
    rows = []
    for r in (lists.receipt_row(book, h) for h in found):
        amount = r.amount if r.is_debit else -r.amount
        rows.append((r.card_name, pick(r.title, language), r.place, r.sequence,
                     moment(r.time_s, language), amount, r.unit.name.lower(),
                     pick(STATES[r.state], language), r.name))  # fmt: skip
    return Sheet("struk", pick(STAGES[Stage.RECEIPT], language), columns, tuple(rows))
