"""The reconciliation (docs/ledger.md#report) as a page a person reads, Indonesian or English."""

from __future__ import annotations

from typing import Any

_WORDS = {
    "id": {
        "title": "REKONSILIASI", "released": "dana cair", "issued": "hak diterbitkan",
        "redeemed": "disalurkan", "forfeited": "hangus", "residual": "sisa di kartu",
        "moved": "dipindahkan", "returned": "dikembalikan", "losses": "kerugian tercatat",
        "payable": "terutang", "settled": "dibayar", "held": "ditahan", "gaps": "celah terbuka",
        "findings": "temuan", "difference": "SELISIH", "goods": "selisih barang",
    },
    "en": {
        "title": "RECONCILIATION", "released": "released", "issued": "issued",
        "redeemed": "redeemed", "forfeited": "forfeited", "residual": "left on cards",
        "moved": "moved", "returned": "returned", "losses": "recorded losses",
        "payable": "payable", "settled": "settled", "held": "held", "gaps": "open gaps",
        "findings": "findings", "difference": "DIFFERENCE", "goods": "goods difference",
    },
}  # fmt: skip


def rupiah(amount: int) -> str:
    """``Rp150.000``."""
    return f"{'-' if amount < 0 else ''}Rp{abs(amount):,}".replace(",", ".")


def page(report: dict[str, Any], language: str) -> str:
    """The text of one report."""
    w = _WORDS[language]
    lines = [w["title"], ""]
    for p in report["programmes"]:
        lines.append(f"{p['title_id' if language == 'id' else 'title_en']} ({p['unit']})")
        lines.append(f"  {w['released']:<20}{rupiah(p['released_minor'])}")
        lines += [
            f"  {w[key]:<20}{p[key]}"
            for key in ("issued", "redeemed", "forfeited", "residual", "moved", "returned",
                        "losses", "difference")
        ]  # fmt: skip
    lines.append("")
    for p in report["providers"]:
        lines.append(
            f"{p['provider']}: {w['payable']} {rupiah(p['payable_minor'])}, "
            f"{w['settled']} {rupiah(p['settled_minor'])}"
        )
    lines.append("")
    lines += [f"{w[key]}: {len(report[key])}" for key in ("held", "gaps", "findings")]
    lines.append(f"{w['difference']}: {rupiah(report['difference_minor'])}")
    lines.append(f"{w['goods']}: {report['goods_difference']}")
    return "\n".join(lines)
