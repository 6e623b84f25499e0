"""A class file as far as the converter looks at it: constants, members, instructions.

After the Java Virtual Machine Specification, chapter 4 (the format) and 6 (the operations). Only
operations that a Java Card applet may hold have a name here; any other byte is named by its number,
and `applet_subset` refuses it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path

__all__ = ["ClassFile", "Instruction", "Member", "parse"]

_UTF8, _INTEGER, _FLOAT, _LONG, _DOUBLE, _CLASS, _STRING = 1, 3, 4, 5, 6, 7, 8
_FIELD, _METHOD, _INTERFACE, _NAME, _HANDLE, _TYPE, _DYNAMIC = 9, 10, 11, 12, 15, 16, 17
_INVOKE_DYNAMIC, _MODULE, _PACKAGE = 18, 19, 20
_SIZES = {
    _INTEGER: 4, _FLOAT: 4, _LONG: 8, _DOUBLE: 8, _CLASS: 2, _STRING: 2, _FIELD: 4, _METHOD: 4,
    _INTERFACE: 4, _NAME: 4, _HANDLE: 3, _TYPE: 2, _DYNAMIC: 4, _INVOKE_DYNAMIC: 4, _MODULE: 2,
    _PACKAGE: 2,
}  # fmt: skip

# name: operand bytes, by opcode
_PLAIN = {
    0x00: "nop", 0x01: "aconst_null", 0x2E: "iaload", 0x2F: "laload", 0x32: "aaload",
    0x33: "baload", 0x34: "caload", 0x35: "saload", 0x4F: "iastore", 0x53: "aastore",
    0x54: "bastore", 0x55: "castore", 0x56: "sastore", 0x57: "pop", 0x58: "pop2", 0x59: "dup",
    0x5A: "dup_x1", 0x5B: "dup_x2", 0x5C: "dup2", 0x5F: "swap", 0x60: "iadd", 0x61: "ladd",
    0x64: "isub", 0x68: "imul", 0x6C: "idiv", 0x70: "irem", 0x74: "ineg", 0x78: "ishl",
    0x7A: "ishr", 0x7C: "iushr", 0x7E: "iand", 0x80: "ior", 0x82: "ixor", 0x85: "i2l",
    0x86: "i2f", 0x87: "i2d", 0x88: "l2i", 0x91: "i2b", 0x92: "i2c", 0x93: "i2s", 0x94: "lcmp",
    0xAC: "ireturn", 0xB0: "areturn", 0xB1: "return", 0xBE: "arraylength", 0xBF: "athrow",
    0xC2: "monitorenter", 0xC3: "monitorexit",
}  # fmt: skip
_BRANCHES = {
    0x99: "ifeq", 0x9A: "ifne", 0x9B: "iflt", 0x9C: "ifge", 0x9D: "ifgt", 0x9E: "ifle",
    0x9F: "if_icmpeq", 0xA0: "if_icmpne", 0xA1: "if_icmplt", 0xA2: "if_icmpge",
    0xA3: "if_icmpgt", 0xA4: "if_icmple", 0xA5: "if_acmpeq", 0xA6: "if_acmpne", 0xA7: "goto",
    0xC6: "ifnull", 0xC7: "ifnonnull",
}  # fmt: skip
_CONSTANTS = {
    0xB2: "getstatic", 0xB3: "putstatic", 0xB4: "getfield", 0xB5: "putfield",
    0xB6: "invokevirtual", 0xB7: "invokespecial", 0xB8: "invokestatic", 0xBB: "new",
    0xBD: "anewarray", 0xC0: "checkcast", 0xC1: "instanceof", 0x13: "ldc_w", 0x14: "ldc2_w",
}  # fmt: skip
_LOADS = {0x15: "iload", 0x19: "aload", 0x36: "istore", 0x3A: "astore"}
_SHORT_LOADS = {0x1A: "iload", 0x2A: "aload", 0x3B: "istore", 0x4B: "astore"}


@dataclass(frozen=True, slots=True)
class Instruction:
    """One operation. ``value``: constant, local, or array type; ``ref``: (owner, name, type)."""

    at: int
    name: str
    value: int = 0
    ref: tuple[str, str, str] = ("", "", "")
    targets: tuple[int, ...] = ()
    keys: tuple[int, ...] = ()
    next: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """A field or method; ``handlers`` are (start, end, target) of its exception table."""

    flags: int
    name: str
    type: str
    code: tuple[Instruction, ...] = ()
    code_bytes: int = 0
    max_stack: int = 0
    max_locals: int = 0
    handlers: tuple[tuple[int, int, int], ...] = ()
    generic: bool = False


@dataclass(frozen=True, slots=True)
class ClassFile:
    """One class. Names are internal ones, with slashes."""

    name: str
    parent: str
    interfaces: tuple[str, ...]
    flags: int
    fields: tuple[Member, ...]
    methods: tuple[Member, ...]
    strings: tuple[str, ...]
    classes: tuple[str, ...]
    refs: tuple[tuple[str, str, str], ...]
    generic: bool = False


class _Reader:
    """Takes bytes in order."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, form: str) -> int:
        """One big-endian number."""
        (value,) = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(form)
        return int(value)

    def raw(self, size: int) -> bytes:
        """So many bytes."""
        self.at += size
        return self.data[self.at - size : self.at]


class _Pool:
    """The constant pool."""

    def __init__(self, reader: _Reader) -> None:
        self.entries: dict[int, tuple[int, bytes]] = {}
        count, i = reader.take("H"), 1
        while i < count:
            tag = reader.take("B")
            size = reader.take("H") if tag == _UTF8 else _SIZES[tag]
            self.entries[i] = (tag, reader.raw(size))
            i += 2 if tag in {_LONG, _DOUBLE} else 1

    def number(self, i: int, part: int = 0) -> int:
        """The part-th two bytes of an entry."""
        return int.from_bytes(self.entries[i][1][2 * part : 2 * part + 2], "big")

    def text(self, i: int) -> str:
        """An UTF8 entry, or what a class or string entry points to."""
        tag, data = self.entries[i]
        return data.decode() if tag == _UTF8 else self.text(self.number(i))

    def ref(self, i: int) -> tuple[str, str, str]:
        """(owner, name, type) of a member, ("", text, kind) of anything else."""
        tag, _ = self.entries[i]
        if tag in {_FIELD, _METHOD, _INTERFACE}:
            named = self.number(i, 1)
            names = self.text(self.number(named)), self.text(self.number(named, 1))
            return self.text(self.number(i)), *names
        if tag == _CLASS:
            return self.text(i), "", ""
        return "", "", {_STRING: "string", _INTEGER: "int"}.get(tag, f"constant {tag}")

    def all(self, *tags: int) -> list[int]:
        """Numbers of the entries of these kinds."""
        return [i for i, (tag, _) in self.entries.items() if tag in tags]


def parse(file: Path | bytes) -> ClassFile:
    """Read a class file. Raises ValueError when it is none."""
    reader = _Reader(file if isinstance(file, bytes) else file.read_bytes())
    if reader.take("I") != 0xCAFEBABE:
        raise ValueError("no class file")
    reader.raw(4)
    pool = _Pool(reader)
    flags, name, parent = (reader.take("H") for _ in range(3))
    interfaces = tuple(pool.text(reader.take("H")) for _ in range(reader.take("H")))
    fields, methods = _members(reader, pool), _members(reader, pool)
    generic = "Signature" in [_attribute(reader, pool)[0] for _ in range(reader.take("H"))]
    return ClassFile(
        pool.text(name), pool.text(parent) if parent else "", interfaces, flags, fields, methods,
        tuple(pool.text(i) for i in pool.all(_STRING)),
        tuple(pool.text(i) for i in pool.all(_CLASS)),
        tuple(pool.ref(i) for i in pool.all(_FIELD, _METHOD, _INTERFACE)), generic,
    )  # fmt: skip


def _attribute(reader: _Reader, pool: _Pool) -> tuple[str, bytes]:
    name = pool.text(reader.take("H"))
    return name, reader.raw(reader.take("I"))


def _members(reader: _Reader, pool: _Pool) -> tuple[Member, ...]:
    return tuple(_member(reader, pool) for _ in range(reader.take("H")))


def _member(reader: _Reader, pool: _Pool) -> Member:
    flags = reader.take("H")
    made = Member(flags, pool.text(reader.take("H")), pool.text(reader.take("H")))
    for _ in range(reader.take("H")):
        attribute, data = _attribute(reader, pool)
        made = replace(made, generic=made.generic or attribute == "Signature")
        if attribute != "Code":
            continue
        body = _Reader(data)
        stack, local = body.take("H"), body.take("H")
        code = body.raw(body.take("I"))
        handlers = []
        for _ in range(body.take("H")):
            start, end, target, _kind = (body.take("H") for _ in range(4))
            handlers.append((start, end, target))
        made = replace(
            made, code=tuple(_instructions(code, pool)), code_bytes=len(code), max_stack=stack,
            max_locals=local, handlers=tuple(handlers),
        )  # fmt: skip
    return made


def _instructions(code: bytes, pool: _Pool) -> list[Instruction]:
    reader, found = _Reader(code), []
    while reader.at < len(code):
        at = reader.at
        fields = _instruction(reader, at, pool)
        found.append(Instruction(at, next=reader.at, **fields))  # type: ignore[arg-type]
    return found


def _instruction(reader: _Reader, at: int, pool: _Pool) -> dict[str, object]:
    op = reader.take("B")
    if op in _PLAIN:
        return {"name": _PLAIN[op]}
    if 0x02 <= op <= 0x08:
        return {"name": "const", "value": op - 3}
    if op in {0x10, 0x11}:
        return {"name": "const", "value": reader.take("b" if op == 0x10 else "h")}
    if op in _LOADS:
        return {"name": _LOADS[op], "value": reader.take("B")}
    for first, name in _SHORT_LOADS.items():
        if first <= op < first + 4:
            return {"name": name, "value": op - first}
    if op in _BRANCHES:
        return {"name": _BRANCHES[op], "targets": (at + reader.take("h"),)}
    if op in _CONSTANTS:
        return {"name": _CONSTANTS[op], "ref": pool.ref(reader.take("H"))}
    if op == 0x12:
        return {"name": "ldc", "ref": pool.ref(reader.take("B"))}
    if op == 0x84:
        return {"name": "iinc", "value": reader.take("H") >> 8}
    if op == 0xB9:
        ref = pool.ref(reader.take("H"))
        reader.raw(2)
        return {"name": "invokeinterface", "ref": ref}
    if op == 0xBA:
        reader.raw(4)
        return {"name": "invokedynamic"}
    if op == 0xBC:
        return {"name": "newarray", "value": reader.take("B")}
    if op == 0xC5:
        ref = pool.ref(reader.take("H"))
        reader.raw(1)
        return {"name": "multianewarray", "ref": ref}
    if op in {0xAA, 0xAB}:
        return _switch(reader, at, table=op == 0xAA)
    return {"name": f"opcode {op:02X}"}


def _switch(reader: _Reader, at: int, *, table: bool) -> dict[str, object]:
    reader.at += -reader.at % 4
    default = reader.take("i")
    if table:
        low, high = reader.take("i"), reader.take("i")
        keys = tuple(range(low, high + 1))
        jumps = [reader.take("i") for _ in keys]
    else:
        pairs = [(reader.take("i"), reader.take("i")) for _ in range(reader.take("i"))]
        keys, jumps = tuple(k for k, _ in pairs), [j for _, j in pairs]
    targets = tuple(at + jump for jump in (default, *jumps))
    return {"name": "tableswitch" if table else "lookupswitch", "keys": keys, "targets": targets}
