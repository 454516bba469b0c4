"""All mutants of a source text: each is one edit of the text."""

from __future__ import annotations

import ast
import difflib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEGATED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
}
_BOUNDARY: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
}
_NO_NUMBERS = (ast.JoinedStr, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.ListComp)
_EMPTY: dict[type[ast.expr], str] = {
    ast.List: "[]",
    ast.ListComp: "[]",
    ast.Tuple: "()",
    ast.Dict: "{}",
    ast.DictComp: "{}",
    ast.SetComp: "set()",
}
_LOGGERS = {"log", "logger", "logging"}
LARGE = 20
"""Numbers from here on are doubled and halved: that 300 s become 301 s tells nothing."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One edit of one file.

    Attributes:
        file: Path of the file, as it was given.
        within: Qualified name of the outermost function around the change; empty outside of functions.
        operator: What kind of change it is.
        line: Number of the changed line, from 1.
        start: Offset of the replaced text.
        end: Offset behind it.
        text: What stands there instead.
    """

    file: str
    within: str
    operator: str
    line: int
    start: int
    end: int
    text: str

    def applied(self, source: str) -> str:
        """Return the mutated source."""
        return source[: self.start] + self.text + source[self.end :]

    def lines(self, source: str) -> tuple[str, str]:
        """Return what changes and what it becomes, as whole lines with single spaces between their words."""
        begin = source.rfind("\n", 0, self.start) + 1
        end = source.find("\n", self.end)
        end = len(source) if end < 0 else end
        before, after = source[begin:end], source[begin : self.start] + self.text + source[self.end : end]
        return " ".join(before.split()), " ".join(after.split())

    def diff(self, source: str) -> str:
        """Return a unified diff without its head."""
        lines = difflib.unified_diff(source.splitlines(), self.applied(source).splitlines(), lineterm="", n=1)
        return "\n".join(list(lines)[2:])


def mutants(file: str, source: str) -> list[Mutant]:
    """Return all mutants of a source text, in the order of the text; the same text gives the same."""
    found = _Finder(file, source)
    found.visit(ast.parse(source))
    order = sorted(found.found, key=lambda one: (one.start, one.end, one.operator, one.text))
    return [one for one in order if _compiles(one.applied(source))]


def _compiles(source: str) -> bool:
    try:
        compile(source, "<mutant>", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


class _Finder(ast.NodeVisitor):
    """Walks through a module, except for docstrings, asserts, logging and annotations.

    One method per kind of syntax, as :class:`ast.NodeVisitor` asks for, which is more than 15.
    """

    def __init__(self, file: str, source: str) -> None:
        self.found: list[Mutant] = []
        self._file = file
        self._source = source
        self._names: list[str] = []
        self._functions = 0
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    # -- where we are --------------------------------------------------------------------------------------

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Walk through the body of a class."""
        self._names.append(node.name)
        for statement in node.body:
            self.visit(statement)
        self._names.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Walk through defaults and body of a function."""
        for default in [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]:
            self.visit(default)
        if not self._functions:
            self._names.append(node.name)
        self._functions += 1
        for statement in node.body:
            self.visit(statement)
        self._functions -= 1
        if not self._functions:
            self._names.pop()

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """Walk through it as through any function."""
        self.visit_FunctionDef(node)

    # -- what is left out ----------------------------------------------------------------------------------

    def visit_Assert(self, node: ast.Assert) -> None:
        """Leave it out: it states what holds anyway."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Leave it out: Python 3.11 does not know where in the text its parts are."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Leave out the annotation."""
        if node.value is not None:
            self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Delete a call; leave out docstrings and logging."""
        if isinstance(node.value, ast.Constant) or _logs(node.value):
            return
        if isinstance(node.value, ast.Call | ast.Await):
            self._add(node, "delete", "pass")
        self.generic_visit(node)

    # -- what is changed -----------------------------------------------------------------------------------

    def visit_Compare(self, node: ast.Compare) -> None:
        """Negate each comparison, and move its boundary."""
        for position, op in enumerate(node.ops):
            for operator, table in (("negate", _NEGATED), ("boundary", _BOUNDARY)):
                if (other := table.get(type(op))) is not None:
                    ops = [*node.ops[:position], other(), *node.ops[position + 1 :]]
                    self._replace(node, operator, ast.Compare(node.left, ops, node.comparators))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Turn ``and`` into ``or``, and the other way round."""
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self._replace(node, "and-or", ast.BoolOp(other, node.values))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Drop ``not``."""
        if isinstance(node.op, ast.Not):
            self._replace(node, "drop-not", node.operand)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Reckon the other way."""
        other = _ARITHMETIC.get(type(node.op))
        if other is not None and not any(_is_no_number(side) for side in (node.left, node.right)):
            self._replace(node, "arithmetic", ast.BinOp(node.left, other(), node.right))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Change a number by one, or by a factor of two where it is large."""
        number = node.value
        if isinstance(number, bool) or not isinstance(number, int | float):
            return
        half = number // 2 if isinstance(number, int) else number / 2
        for other in (number * 2, half) if number >= LARGE else (number + 1, number - 1):
            self._add(node, "number", repr(other) if other >= 0 else f"({other!r})")

    def visit_Call(self, node: ast.Call) -> None:
        """Take the smallest for the largest."""
        if isinstance(node.func, ast.Name) and node.func.id in ("min", "max"):
            self._add(node.func, "min-max", "max" if node.func.id == "min" else "min")
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        """Return nothing."""
        if node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None):
            return
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, bool):
            self._add(node.value, "return", repr(not node.value.value))
            return
        empty = _EMPTY.get(type(node.value), "None")
        if ast.unparse(node.value) != empty:
            self._add(node.value, "return", empty)
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Raise nothing."""
        self._add(node, "delete", "pass")

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Leave it out, or reckon the other way."""
        self._add(node, "delete", "pass")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Leave it out, unless a local name is set: without that, Python itself would complain."""
        if all(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets):
            self._add(node, "delete", "pass")
        self.visit(node.value)

    def visit_Continue(self, node: ast.Continue) -> None:
        """Go on in the body."""
        self._add(node, "delete", "pass")

    def visit_Break(self, node: ast.Break) -> None:
        """Go on with the loop."""
        self._add(node, "delete", "pass")

    def visit_If(self, node: ast.If) -> None:
        """Take a condition for always and for never true."""
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self._condition(node.test)
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """Likewise."""
        self._condition(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        """Likewise, but for the loop that never ends."""
        if not isinstance(node.test, ast.Constant):
            self._add(node.test, "condition", "False")
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """Likewise for the filter."""
        for test in node.ifs:
            self._condition(test)
        self.generic_visit(node)

    def _condition(self, test: ast.expr) -> None:
        for value in ("True", "False"):
            self._add(test, "condition", value)

    # -- edits ---------------------------------------------------------------------------------------------

    def _replace(self, node: ast.expr, operator: str, other: ast.expr) -> None:
        self._add(node, operator, f"({ast.unparse(other)})")

    def _add(self, node: ast.expr | ast.stmt, operator: str, text: str) -> None:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start, end = (
            self._offset(node.lineno, node.col_offset),
            self._offset(node.end_lineno, node.end_col_offset),
        )
        within = ".".join(self._names) if self._functions else ""
        self.found.append(Mutant(self._file, within, operator, node.lineno, start, end, text))

    def _offset(self, line: int, column: int) -> int:
        """Return the offset of a position; columns of the syntax tree count bytes of UTF-8."""
        begin = self._starts[line - 1]
        text = self._source[begin : self._starts[line]]
        return begin + len(text.encode()[:column].decode())


def _logs(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in _LOGGERS
    )


def _is_no_number(node: ast.expr) -> bool:
    return isinstance(node, _NO_NUMBERS) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def sample(found: Sequence[Mutant], *, seed: int, count: int) -> list[Mutant]:
    """Return at most so many mutants, one of a line at most; the same seed and text give the same."""
    lines: dict[tuple[str, int], list[Mutant]] = {}
    for one in found:
        lines.setdefault((one.file, one.line), []).append(one)
    choice = random.Random(seed)
    taken = choice.sample(sorted(lines), min(count, len(lines)))
    return [choice.choice(lines[line]) for line in sorted(taken)]
