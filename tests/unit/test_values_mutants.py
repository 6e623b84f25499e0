"""Values of the money and crypto code cannot be changed once made, and have no other fields."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("wire", "keys", "card_os/reference", "terminal", "backend", "backend/audit")
MODULES = [
    f"{folder.replace('/', '.')}.{path.stem}"
    for folder in FOLDERS
    for path in sorted((ROOT / folder).glob("*.py"))
    if "@dataclass" in path.read_text("utf-8")
]
# What is at work and no value; everything else is frozen.
AT_WORK = {
    "card_os.reference.purse_session": {"Session"},
    "terminal.counter": {"Report"}, "terminal.kiosk": {"Job"}, "terminal.views": {"Seen"},
    "backend.book": {"Book"}, "backend.drafts": {"Drafts"},
    "backend.held": {"CardHeld", "Held", "Judged"},
    "backend.entitlements": {"_Funded", "_Known"},
    "backend.office": {"Office"}, "backend.records": {"Reader"},
    "backend.audit.books": {"_Debt", "Settlement"}, "backend.audit.goods": {"Shelf"},
    "backend.audit.model": {"Card", "Ask", "Station", "World"},
    "backend.audit.report": {"Report"},
    "backend.audit.reserves": {"Reserve", "Reserves", "_Station"},
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_values_are_frozen_and_have_slots(name: str) -> None:
    module = importlib.import_module(name)
    kinds = [k for _, k in inspect.getmembers(module, inspect.isclass) if k.__module__ == name]
    values = [k for k in kinds if dataclasses.is_dataclass(k)]
    assert values
    for kind in values:
        assert "__slots__" in vars(kind), kind
        at_work = kind.__name__ in AT_WORK.get(name, set())
        assert kind.__dataclass_params__.frozen != at_work, kind
