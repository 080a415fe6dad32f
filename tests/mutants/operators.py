"""Systematic mutants of a source file: the operators of Offutt et al. 1996 that fit Python, one change each.

Comparisons, arithmetic, logic and conditions are turned round, numbers and flags changed, bounds of slices and
statements left out. What no test should depend on is left alone: annotations, decorators, texts, messages of errors,
`__main__` blocks, and `strict=` of zip, which is a check and not behaviour.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

from tests.mutants.mutant import Mutant

COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: (r"is", "is not"),
    ast.IsNot: (r"is\s+not", "is"),
    ast.In: (r"in", "not in"),
    ast.NotIn: (r"not\s+in", "in"),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: (r"\+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: (r"\*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: (r"\*\*", "*"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
}
LOGIC: dict[type[ast.boolop], tuple[str, str]] = {ast.And: ("and", "or"), ast.Or: ("or", "and")}
OPPOSITES = {"min": "max", "max": "min", "any": "all", "all": "any"}
ALREADY_NEGATED = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
"""Comparisons whose own mutant is their negation."""

Change = tuple[int, int, str]
"""Start and end of the replaced bytes, and what replaces them."""


def systematic_mutants(file: str, source: bytes, tests: tuple[str, ...] = ()) -> list[Mutant]:
    """Every mutant of a file that parses, in order of place."""
    tree = ast.parse(source)
    unchanged = ast.dump(tree)
    found = []
    for start, end, text in sorted(_Changes(source).of(tree)):
        mutant = Mutant(file, source, start, end, text.encode(), tests)
        if _dump(mutant.mutated) not in (None, unchanged):
            found.append(mutant)
    return found


def _dump(source: bytes) -> str | None:
    try:
        return ast.dump(ast.parse(source))
    except SyntaxError:
        return None


class _Changes:
    """Walks a tree and yields the changes of each node."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.line_starts = [0, *(i + 1 for i, byte in enumerate(source) if byte == ord("\n"))]

    def of(self, node: ast.AST) -> Iterator[Change]:
        if isinstance(node, ast.JoinedStr | ast.Raise) or _is_main_block(node):
            if isinstance(node, ast.Raise):
                yield self._instead_of(node, "pass")
            return
        yield from self._own(node)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "bases"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not _is_strict_flag(node, child):
                    yield from self.of(child)

    def _own(self, node: ast.AST) -> Iterator[Change]:
        match node:
            case ast.Compare(left, ops, comparators):
                for a, op, b in zip([left, *comparators], ops, comparators, strict=False):
                    yield from self._between(a, b, COMPARISONS[type(op)])
            case ast.BinOp(left, op, right) if type(op) in ARITHMETIC:
                yield from self._between(left, right, ARITHMETIC[type(op)])
            case ast.BoolOp(op, values):
                for a, b in pairwise(values):
                    yield from self._between(a, b, LOGIC[type(op)])
            case ast.UnaryOp(op, operand) if not isinstance(op, ast.UAdd):
                yield self._start(node), self._start(operand), ""
            case ast.AugAssign(target, op, value):
                if type(op) in ARITHMETIC:
                    yield from self._between(target, value, ARITHMETIC[type(op)])
                yield self._instead_of(node, "pass")
            case ast.Assign([ast.Attribute() | ast.Subscript()]) | ast.Expr(ast.Call()):
                yield self._instead_of(node, "pass")
            case ast.Break():
                yield self._instead_of(node, "continue")
            case ast.Continue():
                yield self._instead_of(node, "break")
            case ast.Constant(value):
                yield from self._constant(node, value)
            case ast.Call(ast.Name(name) as function) if name in OPPOSITES:
                yield self._instead_of(function, OPPOSITES[name])
            case ast.Slice():
                for bound in (node.lower, node.upper, node.step):
                    if bound is not None:
                        yield self._instead_of(bound, "")
            case ast.If(test) | ast.While(test) | ast.IfExp(test):
                yield from self._negated(test)
            case ast.comprehension(ifs=tests):
                for test in tests:
                    yield from self._negated(test)

    def _constant(self, node: ast.Constant, value: object) -> Iterator[Change]:
        if isinstance(value, bool):
            yield self._instead_of(node, str(not value))
        elif isinstance(value, int):
            yield self._instead_of(node, str(value + 1))
        elif isinstance(value, float):
            yield self._instead_of(node, repr(2 * value or 1.0))

    def _negated(self, test: ast.expr) -> Iterator[Change]:
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ALREADY_NEGATED):
            return
        if not isinstance(test, ast.Constant) and not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
            start, end = self._start(test), self._end(test)
            yield start, end, f"(not ({self.source[start:end].decode()}))"

    def _between(self, left: ast.expr, right: ast.expr, turn: tuple[str, str]) -> Iterator[Change]:
        """The operator between two operands, turned round."""
        start, end = self._end(left), self._start(right)
        found = re.search(turn[0].encode(), self.source[start:end])
        if found:
            yield start + found.start(), start + found.end(), turn[1]

    def _instead_of(self, node: ast.stmt | ast.expr, text: str) -> Change:
        return self._start(node), self._end(node), text

    def _start(self, node: ast.stmt | ast.expr) -> int:
        return self.line_starts[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.stmt | ast.expr) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.line_starts[node.end_lineno - 1] + node.end_col_offset


def _is_main_block(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Compare) and "__main__" in ast.dump(node.test)


def _is_strict_flag(parent: ast.AST, child: ast.AST) -> bool:
    return isinstance(parent, ast.Call) and isinstance(child, ast.keyword) and child.arg == "strict"
