"""The report as a page a person reads, in Indonesian or English (docs/audit.md#the-page)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from textwrap import wrap

from backend.audit.forms import UNITS, moment, number, quantity, rupiah
from backend.audit.messages import ALERTS, CANNOT, pick, word
from backend.audit.names import Names
from backend.audit.report import PlaceLine, ProgrammeLine, ProviderLine, Report
from wire.invariants import TITLES
from wire.objects import Unit

WIDTH, TEXT_WIDTH = 34, 96
MAX_LISTED = 50
"""More of one list are counted, not shown; all stand in the JSON report."""


class _Page:
    def __init__(self, report: Report, language: str) -> None:
        self.report, self.language = report, language
        self.units = report.world.units()
        self.names = Names(report.world, language)
        self.programmes = {p.code: p for p in report.programmes}
        self.lines: list[str] = []

    def word(self, key: str) -> str:
        return word(key, self.language)

    def number(self, amount: int) -> str:
        return number(amount, self.language)

    def rupiah(self, amount: int) -> str:
        return rupiah(amount, self.language)

    def title(self, line: ProgrammeLine) -> str:
        return pick((line.title_id, line.title_en), self.language)

    def unit(self, line: ProgrammeLine) -> str:
        return pick(UNITS[Unit[line.unit.upper()]], self.language)

    def goods(self, amounts: dict[str, int]) -> str:
        shown = [(g, n) for g, n in sorted(amounts.items()) if n]
        return ", ".join(
            f"{quantity(n, self.units.get(g), self.language)} {g}".replace(" rupiah", "")
            for g, n in shown
        )

    def head(self, key: str) -> None:
        self.lines += ["", self.word(key)]

    def note(self, key: str) -> None:
        text = self.word(key)
        self.lines += wrap(text, TEXT_WIDTH, initial_indent="  ", subsequent_indent="  ")

    def item(self, text: str) -> None:
        self.lines += wrap(text, TEXT_WIDTH, initial_indent="  - ", subsequent_indent="    ")

    def row(self, label: str, *values: str, indent: int = 2) -> None:
        shown = f"{' ' * indent}{label}".ljust(WIDTH) + "".join(f"{v:>19}" for v in values[:2])
        self.lines.append("  ".join([shown, *values[2:]]).rstrip())

    def table(self, rows: Iterable[list[str]], texts: int = 1) -> None:
        """Columns as wide as they need; the first and those from ``texts`` on are words."""
        rows = list(rows)
        widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
        for row in rows:
            cells = [
                x.ljust(w) if n == 0 or n >= texts else x.rjust(w)
                for n, (x, w) in enumerate(zip(row, widths, strict=True))
            ]
            self.lines.append(("  " + "  ".join(cells)).rstrip())

    def listed(self, items: list[str]) -> None:
        self.lines += [f"  {x}" for x in items[:MAX_LISTED]]
        if len(items) > MAX_LISTED:
            self.lines.append(f"  … +{len(items) - MAX_LISTED}. {self.word('details')}")
        if not items:
            self.lines.append(f"  {self.word('none')}")


def page(report: Report, language: str) -> str:
    """The text of one report."""
    p = _Page(report, language)
    _top(p)
    p.head("programmes")
    for line in report.programmes:
        _programme(p, line)
    if report.programmes:
        _all_programmes(p)
    p.head("providers")
    for provider in report.providers:
        _provider(p, provider)
    _places(p)
    _goods(p)
    _lists(p)
    return "\n".join(p.lines)


def _top(p: _Page) -> None:
    report, world = p.report, p.report.world
    p.lines.append(p.word("title"))
    if world.trust.env.is_demo:
        p.lines.append(f"*** {p.word('demo')} ***")
    head = world.ledger[-1] if world.ledger else None
    counts = {k: p.number(n) for k, n in report.counts().items()}
    p.lines += [
        f"{p.word('as_of')} {moment(world.now_s, p.language)}",
        p.word("counts").format(**counts),
        f"{p.word('root')}: {sha256(world.trust.root_key).hexdigest()}",
        f"  {p.word('root_note')}",
        f"{p.word('head')}: {p.number(head.sequence)} {head.hash.hex()}" if head else "-",
        f"  {p.word('head_note')}",
    ]
    p.head("result")
    p.row(p.word("n_findings"), p.number(len(report.findings)))
    p.row(p.word("difference"), p.rupiah(report.difference_minor))
    p.row(p.word("goods_difference"), p.number(report.goods_difference))
    p.note("difference_note")


# --- money ------------------------------------------------------------

PARTS = ("redeemed", "forfeited", "residual", "moved")
"""What was issued is the sum of these (invariant 14)."""


def _programme(p: _Page, line: ProgrammeLine) -> None:
    unit = Unit[line.unit.upper()]
    lines = {x.good: x.quantity for x in p.report.tariff(line.code)}
    is_money = line.price_minor == 1

    def show(label: str, amount: int, indent: int = 2) -> None:
        worth = p.rupiah(amount * line.price_minor)
        in_goods = p.goods({good: n * amount for good, n in lines.items()})
        p.row(label, "" if is_money else quantity(amount, unit, p.language), worth, in_goods,
              indent=indent)  # fmt: skip

    p.lines += ["", f" {p.title(line)}: {line.agency}, {p.word('provider')} {line.provider}"]
    if not is_money:
        worth = ", ".join(x for x in (p.rupiah(line.price_minor), p.goods(lines)) if x)
        p.lines.append(f"  {p.word('tariff')}: {quantity(1, unit, p.language)} = {worth}")
    p.row(p.word("released"), "", p.rupiah(line.released_minor))
    show(p.word("issued"), line.issued)
    for key in PARTS:
        show(p.word(key), getattr(line, key), indent=4)
    show(p.word("sum"), sum(getattr(line, key) for key in PARTS), indent=4)
    show(p.word("unexplained"), line.difference)
    p.lines.append(f"  {p.word('of_which')}")
    show(p.word("loaded"), line.loaded, indent=4)
    show(p.word("not_loaded"), line.issued - line.loaded, indent=4)
    for key in ("returned", "losses", "reserved"):
        if getattr(line, key):
            show(p.word(key), getattr(line, key), indent=4)
    if line.goods:
        p.row(p.word("handed_over"), "", "", p.goods(line.goods), indent=4)
    if any(line.unrecorded.values()):
        p.row(p.word("unrecorded"), "", "", p.goods(line.unrecorded), indent=4)


def _all_programmes(p: _Page) -> None:
    p.lines += ["", f" {p.word('all_programmes')}"]
    every = p.report.programmes
    p.row(p.word("released"), "", p.rupiah(p.report.funds_minor))
    for key in ("issued", *PARTS):
        worth = sum(getattr(x, key) * x.price_minor for x in every)
        p.row(p.word(key), "", p.rupiah(worth), indent=2 if key == "issued" else 4)
    p.row(p.word("unexplained"), "", p.rupiah(sum(x.difference_minor for x in every)))


def _provider(p: _Page, line: ProviderLine) -> None:
    p.lines += ["", f" {line.provider}"]
    for key in ("released", "loaded", "redeemed"):
        p.row(p.word(key), "", p.rupiah(getattr(line, f"{key}_minor")))
    other = line.redeemed_minor - line.held_minor - line.payable_minor
    p.row(p.word("withheld"), "", p.rupiah(line.held_minor), indent=4)
    if other:
        p.row(p.word("other"), "", p.rupiah(other), indent=4)
    p.row(p.word("payable"), "", p.rupiah(line.payable_minor), indent=4)
    p.row(p.word("settled"), "", p.rupiah(line.settled_minor))
    p.row(p.word("forfeited"), "", p.rupiah(line.forfeited_minor))
    p.row(p.word("residual"), "", p.rupiah(line.left_minor))
    p.row(p.word("moved"), "", p.rupiah(line.moved_minor))
    p.row(p.word("unexplained"), "", p.rupiah(line.difference_minor))


# --- places and goods ------------------------------------------------------------

PLACE_COLUMNS = ("issued", "loaded", "redeemed", "forfeited", "residual", "moved")
GOODS_COLUMNS = ("delivered", "handed", "left", "loss", "difference")


def _places(p: _Page) -> None:
    p.head("places")
    p.note("places_note")
    at = sorted({x.place for x in p.report.places} | {g.place for g in p.report.goods})
    for place in [*(x for x in at if x), *(x for x in at if not x)]:
        p.lines += ["", f" {place or p.word('nowhere')}"]
        _of_places(p, [x for x in p.report.places if x.place == place])
        _of_goods(p, [
            (f"{x.good}, {p.names.put(x.terminal).split(' ')[0]}", x.good, x.amounts)
            for x in p.report.goods if x.place == place
        ])  # fmt: skip
    p.lines += ["", f" {p.word('all_places')}"]
    _of_places(p, p.report.places)


def _of_places(p: _Page, lines: list[PlaceLine]) -> None:
    rows = [[p.word("programme"), *(p.word(f"col_{k}") for k in PLACE_COLUMNS),
             f"{p.word('redeemed')} (Rp)", p.word("handed")]]  # fmt: skip
    for code in sorted({x.code for x in lines}):
        line, own = p.programmes[code], [x for x in lines if x.code == code]
        goods: Counter[str] = Counter()
        for x in own:
            goods.update(x.handed)
        rows.append([
            f"{p.title(line)} ({p.unit(line)})",
            *(p.number(sum(getattr(x, k) for x in own)) for k in PLACE_COLUMNS),
            p.rupiah(sum(x.redeemed_minor for x in own)), p.goods(goods),
        ])  # fmt: skip
    if len(rows) > 1:
        p.table(rows, texts=len(PLACE_COLUMNS) + 2)


def _of_goods(p: _Page, lines: list[tuple[str, str, tuple[int, ...]]]) -> None:
    rows = [[p.word("goods"), *(p.word(k) for k in (*GOODS_COLUMNS[:4], "unexplained"))]]
    for label, good, amounts in lines:
        unit = p.units.get(good)
        shown = label.replace("rupiah", pick(("uang tunai", "cash"), p.language))
        rows.append([shown, *(quantity(n, unit, p.language) for n in amounts)])
    if len(rows) > 1:
        p.table(rows, texts=len(GOODS_COLUMNS) + 1)


def _goods(p: _Page) -> None:
    p.head("all_goods")
    lines = []
    for good in sorted({g.good for g in p.report.goods}):
        own = [g.amounts for g in p.report.goods if g.good == good]
        lines.append((good, good, tuple(sum(x) for x in zip(*own, strict=True))))
    _of_goods(p, lines)
    if not lines:
        p.listed([])


# --- lists ------------------------------------------------------------


def _lists(p: _Page) -> None:
    report = p.report
    p.head("findings")
    per = Counter(f.invariant for f in report.findings)
    if not per:
        p.lines.append(f"  {p.word('no_findings')}")
    for invariant, count in sorted(per.items()):
        p.lines.append(f" {invariant}. {pick(TITLES[invariant], p.language)}: {p.number(count)}")
        p.listed(
            [
                f"{p.names.subject(f.subject)}: {p.names.put(f.what.text(p.language))} "
                f"({p.word('owner')}: {p.names.owner(f.owner)})"
                for f in report.findings
                if f.invariant == invariant
            ]
        )
    p.head("held_list")
    p.listed(
        [
            f"{p.names.put(o.held.name)}, {p.rupiah(o.minor)}, "
            f"{p.names.put(o.held.receipt.terminal_id.hex())}: "
            + ", ".join(p.names.hold(why) for why in sorted(o.why))
            for o in report.held
            if "reversed" not in o.why
        ]
    )
    p.head("alerts")
    per_kind: dict[str, list[str]] = {}
    for a in report.alerts:
        per_kind.setdefault(a.kind, []).append(p.names.subject(a.subject))
    for kind, subjects in sorted(per_kind.items()):
        p.lines.append(f" {pick(ALERTS[kind], p.language)}: {p.number(len(subjects))}")
        p.listed(subjects)
    if not per_kind:
        p.listed([])
    p.head("explained")
    p.listed(
        [
            f"{p.names.put(e.terminal)}: {p.names.put(e.what.text(p.language))}"
            for e in report.explained
        ]
    )
    _bounds(p)
    p.head("cannot")
    for pair in CANNOT:
        p.item(pick(pair, p.language))


def _bounds(p: _Page) -> None:
    b = p.report.bounds
    values = {
        "largest": p.rupiah(b.largest_minor),
        "terminals": p.number(b.terminals),
        "clone": p.rupiah(b.clone_minor),
        "oldest": p.names.put(b.oldest) or "-",
        "since": moment(b.oldest_s, p.language) if b.oldest_s else "-",
        "days": p.number(b.stop_days),
        "end": moment(b.certificate_end_s, p.language) if b.certificate_end_s else "-",
    }
    p.head("bounds")
    for key in ("bound_card", "bound_clone", "bound_data", "bound_stolen"):
        p.item(p.word(key).format(**values))
