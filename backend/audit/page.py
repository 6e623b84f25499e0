"""The report as a page a person reads, in Indonesian or English."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

from backend.audit.messages import ALERTS, CANNOT, WORDS, pick, word
from backend.audit.report import GoodsLine, PlaceLine, ProgrammeLine, ProviderLine, Report
from wire.invariants import TITLES

WIB = timezone(timedelta(hours=7), "WIB")
MONTHS = {
    "id": ["Jan", "Feb", "Mar", "Apr", "Mei", "Jun", "Jul", "Agu", "Sep", "Okt", "Nov", "Des"],
    "en": ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
}
WIDTH = 24
MAX_LISTED = 50
"""More of one list are counted, not shown; all stand in the JSON report."""


def rupiah(amount: int) -> str:
    """``Rp150.000``."""
    return f"{'-' if amount < 0 else ''}Rp{abs(amount):,}".replace(",", ".")


def number(amount: int) -> str:
    """``1.234``."""
    return f"{amount:,}".replace(",", ".")


def moment(time_s: int, language: str) -> str:
    """``24 Nov 2026, 14.05 WIB``."""
    t = datetime.fromtimestamp(time_s, tz=UTC).astimezone(WIB)
    return f"{t.day} {MONTHS[language][t.month - 1]} {t.year}, {t:%H.%M} WIB"


class _Page:
    def __init__(self, language: str) -> None:
        self.language = language
        self.lines: list[str] = []

    def word(self, key: str) -> str:
        return word(key, self.language)

    def head(self, key: str) -> None:
        self.lines += ["", self.word(key)]

    def row(self, key: str, value: str) -> None:
        self.lines.append(f"  {self.word(key):<{WIDTH}}{value:>20}")

    def listed(self, items: list[str]) -> None:
        self.lines += [f"  {x}" for x in items[:MAX_LISTED]]
        if len(items) > MAX_LISTED:
            self.lines.append(f"  … +{len(items) - MAX_LISTED}. {self.word('details')}")
        if not items:
            self.lines.append(f"  {self.word('none')}")


def page(report: Report, language: str) -> str:
    """The text of one report."""
    p, world = _Page(language), report.world
    p.lines.append(p.word("title"))
    if world.trust.env.is_demo:
        p.lines.append(f"*** {p.word('demo')} ***")
    p.lines += [
        f"{p.word('as_of')} {moment(world.now_s, language)}",
        f"{p.word('root')}: {sha256(world.trust.root_key).hexdigest()}",
        f"{p.word('head')}: {world.ledger[-1].hash.hex() if world.ledger else '-'}",
        WORDS["counts"][language == "en"].format(**report.counts()),
    ]
    p.head("programmes")
    for line in report.programmes:
        _programme(p, line)
    p.head("providers")
    for provider in report.providers:
        _provider(p, provider)
    p.head("places")
    titles = {x.code: pick((x.title_id, x.title_en), language) for x in report.programmes}
    for place in report.places:
        _place(p, place, titles.get(place.code, str(place.code)))
    p.head("goods")
    p.listed([_good(p, g) for g in report.goods])
    p.lines += [
        "",
        f"{p.word('difference')}: {rupiah(report.difference_minor)}",
        f"{p.word('goods_difference')}: {number(report.goods_difference)}",
    ]
    _lists(p, report)
    return "\n".join(p.lines)


def _programme(p: _Page, line: ProgrammeLine) -> None:
    p.lines.append(f" {pick((line.title_id, line.title_en), p.language)} ({line.unit})")
    p.row("released", rupiah(line.released_minor))
    for key in (
        "issued",
        "loaded",
        "redeemed",
        "forfeited",
        "residual",
        "moved",
        "returned",
        "losses",
    ):
        amount = getattr(line, key)
        in_rupiah = "" if line.price_minor == 1 else f"  {rupiah(amount * line.price_minor)}"
        p.row(key, number(amount) + in_rupiah)
    for good, quantity in line.goods.items():
        p.lines.append(f"  {p.word('handed')}: {number(quantity)} {good}")
    p.row("unexplained", number(line.difference))


def _provider(p: _Page, line: ProviderLine) -> None:
    p.lines.append(f" {line.provider}")
    for key in ("released", "loaded", "redeemed", "forfeited"):
        p.row(key, rupiah(getattr(line, f"{key}_minor")))
    p.row("residual", rupiah(line.left_minor))
    p.row("payable", rupiah(line.payable_minor))
    p.row("settled", rupiah(line.settled_minor))
    p.row("unexplained", rupiah(line.difference_minor))


def _place(p: _Page, line: PlaceLine, title: str) -> None:
    goods = ", ".join(f"{number(n)} {good}" for good, n in sorted(line.handed.items()))
    p.lines.append(
        f"  {line.place}, {title}: {p.word('loaded')} {number(line.loaded)}, "
        f"{p.word('redeemed')} {number(line.redeemed)} ({rupiah(line.redeemed_minor)}), "
        f"{p.word('forfeited')} {number(line.forfeited)}"
        + (f"; {p.word('handed')} {goods}" if goods else "")
    )


def _good(p: _Page, g: GoodsLine) -> str:
    return (
        f"{g.place} {g.terminal}, {g.good}: {p.word('delivered')} {number(g.delivered)}, "
        f"{p.word('handed')} {number(g.handed)}, {p.word('left')} {number(g.left)}, "
        f"{p.word('loss')} {number(g.loss)}, {p.word('unexplained')} {number(g.difference)}"
    )


def _lists(p: _Page, report: Report) -> None:
    p.head("findings")
    per = Counter(f.invariant for f in report.findings)
    if not per:
        p.lines.append(f"  {p.word('no_findings')}")
    for invariant, count in sorted(per.items()):
        p.lines.append(f" {invariant}. {pick(TITLES[invariant], p.language)}: {count}")
        # What exactly is wrong is written for a machine, in English; the JSON report has it all.
        p.listed(
            [
                f"{f.subject}"
                + (f": {f.what}" if p.language == "en" else "")
                + f" ({p.word('owner')}: {f.owner})"
                for f in report.findings
                if f.invariant == invariant
            ]
        )
    p.head("alerts")
    kinds = Counter(a.kind for a in report.alerts)
    p.listed([f"{pick(ALERTS[k], p.language)}: {n}" for k, n in sorted(kinds.items())])
    p.head("explained")
    lost = Counter(e.terminal for e in report.explained)
    if p.language == "en":
        p.listed([f"{e.terminal}: {e.what}" for e in report.explained])
    else:
        p.listed([f"{t}: {n}. {p.word('details')}" for t, n in sorted(lost.items())])
    p.head("cannot")
    p.lines += [f"  - {pick(x, p.language)}" for x in CANNOT]
