"""Typed results as JSON: what the command line prints and the demo reads."""

from __future__ import annotations

import dataclasses
from datetime import date
from enum import Enum, IntEnum
from typing import Any

from terminal.messages import text
from terminal.outcomes import Outcome
from terminal.views import WalletView
from wire.objects import Programme, Unit
from wire.receipt import Receipt


def as_json(value: Any) -> Any:
    """Bytes as hex, enums by name, receipts by what they say, outcomes with their words."""
    match value:
        case Outcome():
            words = text(value, _unit_of(value))
            return {"outcome": value.key, "good": value.is_good, "id": words[0], "en": words[1]} | {
                f.name: as_json(getattr(value, f.name)) for f in dataclasses.fields(value)
            }
        case Receipt():
            return {
                "kind": value.kind.name, "sequence": value.sequence, "wallet": value.wallet,
                "amount": value.amount, "terminal": as_json(value.terminal_id),
                "time_s": value.terminal_time_s, "hash": value.hash.hex(), "raw": value.raw.hex(),
            }  # fmt: skip
        case Programme():
            return {"code": value.code, "id": value.title_id, "en": value.title_en,
                    "unit": value.unit.name, "provider": value.provider}  # fmt: skip
        case WalletView():
            return {f.name: as_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        case bytes():
            return value.hex()
        case IntEnum():
            return value.name
        case Enum():
            return value.value
        case date():
            return value.isoformat()
        case list() | tuple():
            return [as_json(x) for x in value]
        case dict():
            return {str(k): as_json(v) for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value


def _unit_of(outcome: Outcome) -> Unit | None:
    unit = getattr(outcome, "unit", None)
    return unit if isinstance(unit, Unit) else None
