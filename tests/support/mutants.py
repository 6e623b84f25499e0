"""What `make mutation` alters: places of a module, and what is put there instead.

A mutant is a pure function of a file and three numbers, so that a survivor can be made again.
"""

from __future__ import annotations

import ast
import difflib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# What is put for an operator: what a slip of the pen, or of thought, would have put.
OTHERS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Add: (ast.Sub, ast.Mult), ast.Sub: (ast.Add,), ast.Mult: (ast.Add, ast.FloorDiv),
    ast.Div: (ast.Mult,), ast.FloorDiv: (ast.Mult, ast.Mod), ast.Mod: (ast.FloorDiv, ast.Mult),
    ast.Pow: (ast.Mult,), ast.LShift: (ast.RShift,), ast.RShift: (ast.LShift,),
    ast.BitOr: (ast.BitAnd, ast.BitXor), ast.BitAnd: (ast.BitOr,), ast.BitXor: (ast.BitOr,),
    ast.And: (ast.Or,), ast.Or: (ast.And,), ast.USub: (ast.UAdd,), ast.Invert: (ast.UAdd,),
    ast.Eq: (ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE),
    ast.NotEq: (ast.Eq, ast.Lt, ast.LtE, ast.Gt, ast.GtE),
    ast.Lt: (ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq),
    ast.LtE: (ast.Lt, ast.Gt, ast.GtE, ast.Eq, ast.NotEq),
    ast.Gt: (ast.GtE, ast.Lt, ast.LtE, ast.Eq, ast.NotEq),
    ast.GtE: (ast.Gt, ast.Lt, ast.LtE, ast.Eq, ast.NotEq),
    ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
    ast.Break: (ast.Continue,), ast.Continue: (ast.Break,),
}  # fmt: skip
# Never run under `from __future__ import annotations`, and never a value.
SILENT = {"annotation", "returns", "ctx", "type_comment"}


@dataclass(frozen=True, slots=True, order=True)
class Mutant:
    """In ``file``, at ``line``: the ``choice``-th thing to put into the ``slot``-th place."""

    file: str
    line: int
    operator: str
    slot: int
    choice: int

    @property
    def site(self) -> tuple[str, int, str]:
        """Place and kind of operator."""
        return self.file, self.slot, self.operator.split()[0]

    @property
    def key(self) -> str:
        """Its name in the result."""
        return f"{self.file}:{self.line} {self.operator} #{self.slot}.{self.choice}"


Slot = tuple[ast.AST, str, int | None, ast.AST, ast.stmt | None]


def slots(tree: ast.Module) -> list[Slot]:
    """Every place that holds a node: parent, field, number in a list, node, its statement."""
    found: list[Slot] = []

    def walk(parent: ast.AST, statement: ast.stmt | None) -> None:
        for name, value in ast.iter_fields(parent):
            if name in SILENT:
                continue
            for i, child in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(child, ast.AST):
                    own = child if isinstance(child, ast.stmt) else statement
                    number = i if isinstance(value, list) else None
                    found.append((parent, name, number, child, own))
                    walk(child, own)

    walk(tree, None)
    return found


def instead(parent: ast.AST, name: str, node: ast.AST) -> list[tuple[str, ast.AST]]:
    """What can stand in the place of ``node``, and the kind of operator."""
    kind = type(node).__name__
    if others := OTHERS.get(type(node)):
        sort = type(parent).__name__ if not isinstance(node, ast.stmt) else "Jump"
        return [(f"{sort} {kind}->{o.__name__}", o()) for o in others]
    if name in {"test", "ifs"}:
        negated = node.operand if is_not(node) else ast.UnaryOp(ast.Not(), node)
        return [("Condition", negated)]
    if is_not(node):
        return [("Not", node.operand)]
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        return [("Boolean", ast.Constant(not node.value))]
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return [("Number", ast.Constant(node.value + by)) for by in (1, -1)]
    if isinstance(node, ast.Raise) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        return [("DropStatement", ast.Pass())]
    if name == "decorator_list":
        return [("DropDecorator", ast.parse("lambda same: same", mode="eval").body)]
    if isinstance(parent, ast.ExceptHandler) and name == "type":
        return [("CatchNothing", ast.Tuple([], ast.Load()))]
    if isinstance(parent, ast.For) and name == "iter":
        return [("NoRound", ast.Tuple([], ast.Load()))]
    plain = isinstance(node, ast.Constant) and node.value is None
    if isinstance(parent, ast.Return) and name == "value" and not plain:
        return [("ReturnNone", ast.Constant(None))]
    return []


def is_not(node: Any) -> bool:
    """Whether it is ``not x``."""
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def mutants_of(file: str, root: Path = ROOT) -> list[Mutant]:
    """All of one file."""
    found = []
    for i, (parent, name, _, node, own) in enumerate(slots(ast.parse((root / file).read_text()))):
        line = getattr(node, "lineno", None) or getattr(parent, "lineno", None)
        line = line or (own.lineno if own else 1)
        found += [Mutant(file, line, operator, i, choice)
                  for choice, (operator, _) in enumerate(instead(parent, name, node))]  # fmt: skip
    return found


def in_order(mutants: list[Mutant], seed: int) -> list[Mutant]:
    """One of every site, then the others, each part shuffled."""
    dice = random.Random(seed)  # noqa: S311 - a sample
    dice.shuffle(mutants := sorted(mutants))
    first = {m.site: m for m in reversed(mutants)}
    chosen = set(first.values())
    return [m for m in mutants if m in chosen] + [m for m in mutants if m not in chosen]


def altered(mutant: Mutant, root: Path = ROOT) -> tuple[ast.Module, str, str]:
    """The altered module; the lines of the statement that went, and those that came."""
    tree = ast.parse((root / mutant.file).read_text())
    parent, name, number, node, own = slots(tree)[mutant.slot]
    before = ast.unparse(own or tree)
    other = ast.copy_location(instead(parent, name, node)[mutant.choice][1], node)
    if number is None:
        setattr(parent, name, other)
    else:
        getattr(parent, name)[number] = other
    after = ast.unparse(tree if own is None else other if own is node else own)
    return ast.fix_missing_locations(tree), *changed(before, after)


def changed(before: str, after: str) -> tuple[str, str]:
    """The lines taken away and the lines put there, each joined by spaces."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0))
    told = [" ".join(x[1:].strip() for x in lines[2:] if x[0] == sign) for sign in "-+"]
    return told[0], told[1]
