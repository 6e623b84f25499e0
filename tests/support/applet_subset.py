"""What the Java Card converter would refuse in a package, found in its class files.

**The rule for int.** Without int support a chip computes in 16 bits. The results of + - * and << ,
of negation and of / (-32768 / -1) may need more; such a *wide* value may go into further + - * << &
| ^ and negation, whose lower 16 bits depend on lower 16 bits alone, and must then meet a cast to
short or byte. Into anything else (comparison, index, division, right shift, switch, argument,
field, local, array, return) it goes only after that cast. The converter demands the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.applet_classes import ClassFile, Instruction, Member

__all__ = ["API", "Rules", "violations"]

ABSTRACT, NATIVE, SYNCHRONIZED, STATIC, INTERFACE, ENUM = 0x400, 0x100, 0x20, 0x8, 0x200, 0x4000
# Virtual Machine Specification of Java Card 3.0.4, chapter 2.2 and 6: limits of package and class
MAX_CLASSES, MAX_CODE, MAX_STACK, MAX_LOCALS, MAX_METHODS = 255, 32767, 255, 255, 128
MAX_CELLS, MAX_HANDLERS, MAX_PACKAGE_CODE = 255, 255, 65535
WIDENING = {"iadd", "isub", "imul", "ineg", "ishl", "idiv"}
SAME_LOW_BITS = {"iadd", "isub", "imul", "iand", "ior", "ixor"}
BYTE, SHORT, BOOLEAN = 8, 9, 4  # of newarray
KNOWN = {
    "aaload", "aastore", "aconst_null", "aload", "anewarray", "areturn", "arraylength",
    "astore", "athrow", "baload", "bastore", "checkcast", "const", "dup", "dup2", "dup_x1",
    "dup_x2", "getfield", "getstatic", "goto", "i2b", "i2s", "iadd", "iand", "idiv",
    "if_acmpeq", "if_acmpne", "if_icmpeq", "if_icmpge", "if_icmpgt", "if_icmple",
    "if_icmplt", "if_icmpne", "ifeq", "ifge", "ifgt", "ifle", "iflt", "ifne", "ifnonnull",
    "ifnull", "iload", "imul", "ineg", "instanceof", "invokeinterface", "invokespecial",
    "invokestatic", "invokevirtual", "ior", "irem", "ireturn", "ishl", "ishr", "istore",
    "isub", "ixor", "lookupswitch", "new", "newarray", "nop", "pop", "pop2", "putfield",
    "putstatic", "return", "saload", "sastore", "swap", "tableswitch",
}  # fmt: skip
REF, NARROW, WIDE = "ref", "narrow", "wide"
_PARTS = re.compile(r"\[*(?:L[^;]+;|[BCDFIJSZV])")

_LISTED = Path(__file__).with_name("applet_api.txt").read_text("ascii").splitlines()
API = frozenset(x for x in _LISTED if "." in x and not x.startswith("#"))
API_CLASSES = frozenset(x.split(".")[0] for x in _LISTED if not x.startswith("#"))


@dataclass(frozen=True)
class Rules:
    """What is judged: ``package``, and the one class that may use GlobalPlatform's API."""

    package: str
    gate: str
    globalplatform: str = "org/globalplatform/"


def violations(classes: list[ClassFile], rules: Rules) -> list[str]:
    """Every finding, one line each; empty: as far as this can tell, the converter takes it."""
    found = []
    if len(classes) > MAX_CLASSES:
        found.append(f"{rules.package}: {len(classes)} classes")
    handlers = sum(len(m.handlers) for c in classes for m in c.methods)
    if handlers > MAX_HANDLERS:
        found.append(f"{rules.package}: {handlers} exception handlers")
    code = sum(m.code_bytes for c in classes for m in c.methods)
    if code > MAX_PACKAGE_CODE:
        found.append(f"{rules.package}: {code} bytes of code")
    own = {c.name: c for c in classes}
    for each in classes:
        found += [f"{each.name.rsplit('/', 1)[-1]}{text}" for text in _class(each, rules, own)]
    return found


def _class(c: ClassFile, rules: Rules, own: dict[str, ClassFile]) -> Iterator[str]:
    if c.name.rpartition("/")[0] != rules.package:
        yield ": another package"
    if c.flags & ENUM or c.parent in {"java/lang/Record", "java/lang/Enum"}:
        yield ": an enum or record"
    if c.generic or any(m.generic for m in (*c.fields, *c.methods)):
        yield ": a generic type"
    for text in c.strings:
        yield f": a string {text!r}"
    yield from _references(c, rules, own)
    cells = 0
    for each in c.fields:
        yield from (f".{each.name}: {why}" for why in _types(each.type))
        cells += not each.flags & STATIC
    if cells > MAX_CELLS:
        yield f": {cells} fields"
    virtual = [m for m in c.methods if not m.flags & STATIC and m.name != "<init>"]
    if len(virtual) > MAX_METHODS:
        yield f": {len(virtual)} virtual methods"
    for method in c.methods:
        yield from (f".{method.name}: {why}" for why in _method(method))


def _owner(ref: tuple[str, str, str], own: dict[str, ClassFile]) -> str:
    """The class that defines a member: ours, or the first of the platform's above it."""
    owner, name, kind = ref
    while owner in own:
        each = own[owner]
        if any((m.name, m.type) == (name, kind) for m in (*each.fields, *each.methods)):
            return owner
        owner = each.parent
    return owner


def _references(c: ClassFile, rules: Rules, own: dict[str, ClassFile]) -> Iterator[str]:
    gate = c.name == f"{rules.package}/{rules.gate}"
    for ref in c.refs:
        owner, (_, name, kind) = _owner(ref, own), ref
        if owner.startswith(rules.globalplatform):
            if not gate:
                yield f": uses GlobalPlatform's {owner}.{name}"
        elif owner not in own and f"{owner}.{name}{kind}" not in API:
            yield f": {owner}.{name}{kind} was not looked up in the API of Java Card Classic 3.0.4"
    for owner in c.classes:
        bare = owner.lstrip("[").removeprefix("L").removesuffix(";")
        if len(bare) == 1 or bare in own or bare in API_CLASSES:
            continue
        if bare.startswith(rules.globalplatform):
            if not gate:
                yield f": names GlobalPlatform's {bare}"
        else:
            yield f": the class {bare} was not looked up in Java Card Classic 3.0.4"


def _types(descriptor: str) -> Iterator[str]:
    for part in _PARTS.findall(descriptor):
        if part.startswith("[["):
            yield f"an array of arrays {part}"
        elif part[-1] in "CDFIJ" and not part.endswith(";"):
            yield f"the type {part}"
        elif part.lstrip("[") == "Ljava/lang/String;":
            yield "a String"


def _method(m: Member) -> Iterator[str]:
    yield from _types(m.type)
    for flag, name in ((NATIVE, "native"), (SYNCHRONIZED, "synchronized")):
        if m.flags & flag:
            yield name
    for value, limit, what in (
        (m.code_bytes, MAX_CODE, "bytes of code"), (m.max_stack, MAX_STACK, "cells of stack"),
        (m.max_locals, MAX_LOCALS, "locals"),
    ):  # fmt: skip
        if value > limit:
            yield f"{value} {what}"
    if m.name != "<clinit>" and m.code:
        yield from dict.fromkeys(_Flow(m).run())
    elif m.code:
        yield from _initialiser(m)


def _initialiser(m: Member) -> Iterator[str]:
    """Constants and arrays of constants alone: the converter runs no code for them."""
    allowed = {"const", "newarray", "dup", "bastore", "sastore", "putstatic", "return", "i2b",
               "i2s", "aconst_null"}  # fmt: skip
    for each in m.code:
        if each.name not in allowed:
            yield f"{each.name} in a static initialiser"


@dataclass
class _Flow:
    """One method's stack, followed through every branch."""

    method: Member
    found: list[str] = field(default_factory=list)

    def run(self) -> list[str]:
        """Findings in order of the walk."""
        outside = [f"{x.name} {x.ref[2]}".strip() for x in self.method.code if x.name not in KNOWN]
        if outside:
            return outside
        by_place = {x.at: x for x in self.method.code}
        seen: dict[int, tuple[str, ...]] = {}
        waiting: list[tuple[int, tuple[str, ...]]] = [(0, ())]
        waiting += [(target, (REF,)) for _, _, target in self.method.handlers]
        while waiting:
            at, stack = waiting.pop()
            if at in seen:
                joined = tuple(WIDE if WIDE in pair else pair[0]
                               for pair in zip(seen[at], stack, strict=True))  # fmt: skip
                if joined == seen[at]:
                    continue
                stack = joined
            seen[at] = stack
            work = list(stack)
            x = by_place[at]
            goes_on = self._step(x, work)
            waiting += [(target, tuple(work)) for target in x.targets]
            if goes_on:
                waiting.append((x.next, tuple(work)))
        return self.found

    def _say(self, what: str) -> None:
        self.found.append(what)

    def _pop(self, stack: list[str], use: str) -> str:
        kind = stack.pop()
        if kind == WIDE:
            self._say(f"a value of more than 16 bits goes into {use} without a cast")
        return kind

    def _step(self, x: Instruction, stack: list[str]) -> bool:
        """Do it to the stack; whether the next instruction follows."""
        name = x.name
        if name in {"nop", "goto"}:
            return name == "nop"
        if name == "const":
            stack.append(NARROW)
        elif name in {"iload", "aload", "aconst_null"}:
            stack.append(NARROW if name == "iload" else REF)
        elif name in {"i2s", "i2b"}:
            stack[-1] = NARROW
        elif name == "ineg":
            stack[-1] = WIDE
        elif name in SAME_LOW_BITS:
            pair = stack.pop(), stack.pop()
            stack.append(WIDE if name in WIDENING or WIDE in pair else NARROW)
        elif name == "ishl":
            self._pop(stack, "the distance of a shift")
            stack[-1] = WIDE
        elif name in {"idiv", "irem", "ishr"}:
            self._pop(stack, name)
            self._pop(stack, name)
            stack.append(WIDE if name == "idiv" else NARROW)
        elif name in {"tableswitch", "lookupswitch"}:
            self._pop(stack, "a switch")
            if any(not -32768 <= key <= 32767 for key in x.keys):
                self._say("a switch on a label of more than 16 bits")
            return False
        elif name.startswith("if"):
            for _ in range(2 if "cmp" in name else 1):
                self._pop(stack, "a comparison")
        elif name in {"ireturn", "areturn", "return", "athrow"}:
            if name != "return":
                self._pop(stack, "a return")
            return False
        else:
            self._memory(x, stack)
        return True

    def _memory(self, x: Instruction, stack: list[str]) -> None:
        name, (owner, member, kind) = x.name, x.ref
        if name in {"istore", "astore"}:
            self._pop(stack, "a local")
        elif name in {"baload", "saload", "aaload"}:
            self._pop(stack, "an index")
            stack[-1] = REF if name == "aaload" else NARROW
        elif name in {"bastore", "sastore", "aastore"}:
            for use in ("an array", "an index", "an array"):
                self._pop(stack, use)
        elif name in {"getstatic", "getfield"}:
            if name == "getfield":
                stack.pop()
            stack.append(_kind(kind))
        elif name in {"putstatic", "putfield"}:
            self._pop(stack, "a field")
            if name == "putfield":
                stack.pop()
        elif name in {"invokevirtual", "invokespecial", "invokestatic", "invokeinterface"}:
            arguments, _, result = kind[1:].partition(")")
            for _ in _PARTS.findall(arguments):
                self._pop(stack, f"an argument of {member}")
            if name != "invokestatic":
                stack.pop()
            if result != "V":
                stack.append(_kind(result))
            for why in _types(result):
                self._say(f"{owner}.{member} gives {why}")
        elif name in {"new", "newarray", "anewarray", "checkcast", "instanceof", "arraylength"}:
            self._object(x, stack)
        else:
            self._shuffle(name, stack)

    def _object(self, x: Instruction, stack: list[str]) -> None:
        name = x.name
        if name != "new":
            self._pop(stack, "a length")
        if name == "newarray" and x.value not in {BYTE, SHORT, BOOLEAN}:
            self._say(f"an array of type {x.value}")
        if name == "anewarray" and x.ref[0].startswith("["):
            self._say("an array of arrays")
        stack.append(NARROW if name in {"instanceof", "arraylength"} else REF)

    def _shuffle(self, name: str, stack: list[str]) -> None:
        match name:
            case "pop":
                stack.pop()
            case "pop2":
                del stack[-2:]
            case "dup":
                stack.append(stack[-1])
            case "dup2":
                stack += stack[-2:]
            case "dup_x1":
                stack[-2:] = [stack[-1], *stack[-2:]]
            case "dup_x2":
                stack[-3:] = [stack[-1], *stack[-3:]]
            case "swap":
                stack[-2:] = stack[:-3:-1]
            case _:
                raise AssertionError(name)


def _kind(descriptor: str) -> str:
    return REF if descriptor[0] in "[L" else NARROW
