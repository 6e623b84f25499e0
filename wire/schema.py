"""Fixed-length CBOR arrays from frozen dataclasses (docs/wire.md#arrays).

A subclass of :class:`Shape` is a row of fields; its annotations are its layout, in order. The
encoding is a CBOR array with one element per field. Limits stand in the annotations, so the
layout is read in one place and the decoder refuses what the encoder cannot make.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from enum import IntEnum
from typing import Annotated, Any, Self, get_args, get_origin

from wire import cbor
from wire.errors import FormatError, require


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """Inclusive bounds: of an integer's value, or of a string's or list's length."""

    low: int
    high: int


U8 = Annotated[int, Limit(0, 0xFF)]
U16 = Annotated[int, Limit(0, 0xFFFF)]
U32 = Annotated[int, Limit(0, 0xFFFFFFFF)]
U53 = Annotated[int, Limit(0, 2**53 - 1)]
I53 = Annotated[int, Limit(-(2**53) + 1, 2**53 - 1)]
Bytes8 = Annotated[bytes, Limit(8, 8)]
Bytes16 = Annotated[bytes, Limit(16, 16)]
Bytes32 = Annotated[bytes, Limit(32, 32)]
Point = Annotated[bytes, Limit(65, 65)]
Signed = Annotated[bytes, Limit(1, 1 << 20)]
Blob = Annotated[bytes, Limit(0, 1 << 25)]
Name = Annotated[str, Limit(1, 64)]
Account = Annotated[str, Limit(1, 80)]
"""A kind of account and a name: ``payable/`` and the provider's."""
Text = Annotated[str, Limit(0, 400)]
DayNumber = Annotated[int, Limit(20000101, 20991231)]

MAX_ITEMS = 5_000_000

_Codec = tuple[Callable[[Any], Any], Callable[[Any], Any]]
_layouts: dict[type, tuple[_Codec, ...]] = {}
_names: dict[type, tuple[str, ...]] = {}  # every record of a log asks for them


def _bounded(kind: type[Any], limit: Limit) -> _Codec:
    low, high = limit.low, limit.high

    def number(v: Any) -> Any:
        if type(v) is not int or not low <= v <= high:
            raise FormatError("field out of bounds")
        return v

    def text(v: Any) -> Any:
        if type(v) is not kind or not low <= len(v) <= high:
            raise FormatError("field out of bounds")
        return v

    check = number if kind is int else text
    return check, check


def _enum(kind: type[IntEnum]) -> _Codec:
    def decode(v: Any) -> IntEnum:
        require(type(v) is int, "code is not an integer")
        try:
            return kind(v)
        except ValueError as e:
            raise FormatError(f"unknown {kind.__name__}") from e

    return int, decode


def _list(item: _Codec, limit: Limit) -> _Codec:
    def encode(v: Any) -> cbor.Value:
        require(limit.low <= len(v) <= limit.high, "list out of bounds")
        return [item[0](x) for x in v]

    def decode(v: Any) -> tuple[Any, ...]:
        require(type(v) is list and limit.low <= len(v) <= limit.high, "list out of bounds")
        return tuple(item[1](x) for x in v)

    return encode, decode


def _optional(inner: _Codec) -> _Codec:
    return (
        lambda v: None if v is None else inner[0](v),
        lambda v: None if v is None else inner[1](v),
    )


def _bool() -> _Codec:
    def check(v: Any) -> bool:
        require(type(v) is bool, "field is not true or false")
        return bool(v)

    return check, check


def _codec(hint: Any) -> _Codec:
    limit = Limit(0, MAX_ITEMS)
    if get_origin(hint) is Annotated:
        hint, *meta = get_args(hint)
        limit = next(m for m in meta if isinstance(m, Limit))
        if hint in {int, bytes, str}:
            return _bounded(hint, limit)
    if get_origin(hint) is tuple:
        return _list(_codec(get_args(hint)[0]), limit)
    if get_origin(hint) is types.UnionType or get_origin(hint) is typing.Union:
        (inner,) = [a for a in get_args(hint) if a is not type(None)]
        return _optional(_codec(inner))
    if hint is bool:
        return _bool()
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return _enum(hint)
    if isinstance(hint, type) and issubclass(hint, Shape):
        return (lambda v: v.to_array()), hint.from_array
    raise TypeError(f"no layout for {hint!r}")


class Shape:
    """A frozen dataclass that is one fixed-length CBOR array."""

    __slots__ = ()

    @classmethod
    def _layout(cls) -> tuple[_Codec, ...]:
        layout = _layouts.get(cls)
        if layout is None:
            hints = typing.get_type_hints(cls, include_extras=True)
            layout = _layouts[cls] = tuple(_codec(hints[name]) for name in cls.field_names())
        return layout

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """Names of the array's elements, in order."""
        names = _names.get(cls)
        if names is None:
            names = tuple(f.name for f in dataclasses.fields(cls))  # type: ignore[arg-type]
            _names[cls] = names
        return names

    def to_array(self) -> list[cbor.Value]:
        """The elements, each checked against its limit (:class:`FormatError`)."""
        return [
            encode(getattr(self, name))
            for (encode, _), name in zip(self._layout(), self.field_names(), strict=True)
        ]

    @classmethod
    def from_array(cls, value: Any) -> Self:
        """Read a decoded array; :class:`FormatError` for a wrong length, type or bound."""
        layout = cls._layout()
        if type(value) is not list or len(value) != len(layout):
            raise FormatError(f"{cls.__name__}: array of {len(layout)} expected")
        made = cls(*[decode(v) for (_, decode), v in zip(layout, value, strict=True)])
        made.check()
        return made

    def check(self) -> None:
        """Rules between fields; a subclass raises :class:`FormatError` on a breach."""

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read one array from its deterministic encoding; :class:`FormatError`."""
        return cls.from_array(cbor.decode(raw))

    def __bytes__(self) -> bytes:
        self.check()
        return cbor.encode(self.to_array())
