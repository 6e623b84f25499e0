"""docs/wire.md is read by strangers: every array and code table in it equals the code."""

import dataclasses
import inspect
import sys
import types
import typing
from enum import IntEnum
from pathlib import Path
from typing import Annotated, get_args, get_origin

import pytest

import wire.bundle
import wire.chain
import wire.log
import wire.objects
from wire.schema import Limit, Shape

DOCUMENT = Path(__file__).parent.parent / "docs" / "wire.md"
MODULES = (wire.objects, wire.log, wire.chain, wire.bundle)
INTEGERS = {0xFF: "u8", 0xFFFF: "u16", 0xFFFFFFFF: "u32", 2**53 - 1: "u53"}


def type_name(hint) -> str:
    if get_origin(hint) is Annotated:
        base, *meta = get_args(hint)
        limit = next(m for m in meta if isinstance(m, Limit))
        span = f"{limit.low}..{limit.high}"
        if base is int:
            if limit.low < 0:
                return "i53"
            return INTEGERS[limit.high] if limit.low == 0 else f"int {span}"
        kind = {bytes: "bytes", str: "text"}[base]
        return f"{kind} {limit.low}" if limit.low == limit.high else f"{kind} {span}"
    if get_origin(hint) is tuple:
        return f"[{type_name(get_args(hint)[0])} …]"
    if get_origin(hint) in (types.UnionType, typing.Union):
        (inner,) = [a for a in get_args(hint) if a is not type(None)]
        return type_name(inner) + " or null"
    return "bool" if hint is bool else hint.__name__


def line_of(cls) -> str:
    if issubclass(cls, IntEnum):
        return f"- **{cls.__name__}**: " + ", ".join(f"{m.value} {m.name}" for m in cls)
    hints = typing.get_type_hints(cls, include_extras=True)
    kind = getattr(cls, "KIND", None)
    signed = f" (`khbs.{kind}`, {cls.SIGNER.name.lower()})" if kind else ""
    fields = " · ".join(f"`{f.name}` {type_name(hints[f.name])}" for f in dataclasses.fields(cls))
    return f"- **{cls.__name__}**{signed}: {fields}"


def classes():
    for module in MODULES:
        for cls in vars(module).values():
            if not inspect.isclass(cls) or cls.__module__ != module.__name__:
                continue
            is_row = issubclass(cls, Shape) and dataclasses.is_dataclass(cls)
            if issubclass(cls, IntEnum) or (is_row and cls.__name__ != "SignedShape"):
                yield cls


@pytest.mark.parametrize("cls", list(classes()), ids=lambda c: c.__name__)
def test_document_shows_the_array_as_it_is(cls):
    assert line_of(cls) in DOCUMENT.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    sys.stdout.write("\n".join(map(line_of, classes())) + "\n")
