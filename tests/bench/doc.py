"""docs/benchmarks.md from build/bench.json."""

from __future__ import annotations

from typing import Any


def number(value: float) -> str:
    """Three or four significant digits, thousands apart."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Figure, measured, bar, kept or short."""
    made = ["| figure | measured | aim | |", "|---|---|---|---|"]
    for r in rows:
        value = f"{number(r['value'])} {r['unit']}".strip()
        verdict = {None: "", True: "kept", False: "**short**"}[r["met"]]
        made.append(f"| {r['what']} | {value} | {r['bar']} | {verdict} |")
    return made


def document(found: dict[str, Any], reasons: str) -> str:
    """The page: machine, what stays short and why, one table a benchmark."""
    m = found["machine"]
    libraries = ", ".join(f"{name} {v}" for name, v in m["libraries"].items())
    lines = [
        "# Figures of speed", "",
        "Written by `make bench` from `build/bench.json`; change nothing here by hand. The bars",
        "are aims of issue 6; each ratio stands beside the limit measured in the same run.", "",
        f"{m['cpu']}, {m['cores']} cores, {m['memory_mb']} MB, {m['system']}, {m['file_system']};",
        f"Python {m['python']}, {libraries}.",
        f"{found['day']}, {number(found['seconds'] / 60)} minutes in all; load of the machine",
        f"{m['load']} before and {found['load_after']} after{_busy(found)}.", "",
        *reasons.strip().splitlines(), "",
    ]  # fmt: skip
    for part in found["parts"]:
        lines += [f"## {part['title']}", "", *part["text"], "", *table(part["rows"]), ""]
        peak, seconds = number(part["peak_mb"]), number(part["seconds"])
        lines += [f"Peak memory of its process: {peak} MB; {seconds} s.", ""]
    return "\n".join(lines)


def _busy(found: dict[str, Any]) -> str:
    is_busy = max(found["machine"]["load"], found["load_after"]) > found["machine"]["cores"]
    return ": **the machine was busy with other work**" if is_busy else ""
