"""Gives the loops of an author's function an end: beyond so many rounds in one call it raises.

Nothing could stop machine code that never ends. The function's syntax tree is what is altered, before it is compiled:
every line stays where it was. What counts: each round of `while`, and of `for` over whatever may go on for ever; for a
`range` that is gone through to its end all of its rounds at once, so that such a loop stays as fast as it was. A range
of a few known rounds is left alone. A comprehension counts all rounds of what it goes through when it begins with that.
"""

import __future__

import ast
from functools import reduce
from operator import or_
from types import CodeType, FunctionType
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.extending import overload

from twins.author_faults import source_of

_FEW = 10_000
_COUNTED = 100
"""Within a loop that is counted, rounds that are not may be this much fewer: each round of it may have so many."""
_LEFT = "_rounds_left_"
_NEW = "_rounds_"
_CHARGED = "_rounds_charged_"
_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_RANGE = "_rounds_ahead_"
_RAISED = "_TooManyRoundsError_"
_THROUGH = {"enumerate": 1, "zip": 99, "reversed": 1}
"""What only goes through what it is given, and how many of its arguments those are."""
_FEATURES = reduce(or_, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names))


class TooManyRoundsError(Exception):
    """A function's loops went round too often."""


@numba.njit  # type: ignore[untyped-decorator]
def _new_rounds(rounds: int) -> Any:  # noqa: ANN401
    return np.full(1, rounds, np.int64)


def _rounds_of(iterable: Any) -> int:  # noqa: ANN401
    """How many rounds there are through something, 0 for what can't tell."""
    return len(iterable)


@overload(_rounds_of, strict=False)
def _compiled_rounds_of(iterable: Any) -> Any:  # noqa: ANN401
    if isinstance(iterable, types.Sized | types.RangeType | types.Buffer | types.BaseTuple | types.UnicodeType):
        return lambda iterable: len(iterable)  # noqa: PLW0108 - as numba asks for it
    return lambda iterable: 0  # noqa: ARG005 - as numba asks for it


def bounded(function: FunctionType, rounds: int, scope: dict[str, Any]) -> CodeType:
    """Code of a function that raises `TooManyRoundsError` when its loops make more than so many rounds in one call.

    Args:
        function: Of a file; any other is returned as it is.
        rounds: The limit.
        scope: The globals of what is made of the code; gets what that needs.
    """
    source = source_of(function)
    if source is None:
        return function.__code__
    charges: dict[str, ast.stmt] = {}
    altered = _Bounding(rounds, charges).bound(source)
    if altered is None:
        return function.__code__
    altered.decorator_list = []
    scope |= {_RAISED: TooManyRoundsError, _NEW: _new_rounds}
    for name, charge in charges.items():
        # It tells the line of the comprehension.
        made = compile(ast.Module([charge], []), function.__code__.co_filename, "exec")
        around: dict[str, Any] = {"__name__": __name__, _RAISED: TooManyRoundsError, _rounds_of.__name__: _rounds_of}
        exec(made, around)  # noqa: S102 - our own
        scope[name] = numba.njit(around[name])
    free = function.__code__.co_freevars
    whole: ast.stmt = _surrounded(altered, free) if free else altered
    module = ast.fix_missing_locations(ast.Module([whole], []))
    flags = function.__code__.co_flags & _FEATURES
    found: CodeType = compile(module, function.__code__.co_filename, "exec", flags=flags, dont_inherit=True)
    for name in ([_surrounded.__name__] if free else []) + [function.__name__]:
        (found,) = (one for one in found.co_consts if isinstance(one, CodeType) and one.co_name == name)
    return found


def closure_of(function: FunctionType, code: CodeType) -> tuple[Any, ...] | None:
    """A function's cells in the order in which its altered code names them."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    return tuple(cells[name] for name in code.co_freevars) if cells else function.__closure__


def _surrounded(function: ast.FunctionDef, free: tuple[str, ...]) -> ast.stmt:
    """A function whose names of a surrounding one are such again."""
    outer: Any = ast.parse(f"def {_surrounded.__name__}({', '.join(free)}): pass").body[0]
    outer.body = [function]
    found: ast.stmt = outer
    return found


class _Bounding(ast.NodeTransformer):
    """Alters the loops of one function, and each function within it by itself."""

    def __init__(self, rounds: int, charges: dict[str, ast.stmt]) -> None:
        self._rounds = rounds
        self._charges = charges
        self._left = _LEFT
        self._loops = 0
        self._uncounted = 1
        self._is_altered = False

    def bound(self, function: ast.FunctionDef) -> ast.FunctionDef | None:
        """The altered function, None where nothing is altered."""
        within = [one for one in ast.walk(function) if isinstance(one, ast.While | ast.For | _COMPREHENSIONS)]
        if not within:
            return None
        if any(isinstance(one, _COMPREHENSIONS) for one in within):
            # They are functions of their own, which can only alter what is in an array.
            self._left = f"{_LEFT}[0]"
        function.body = self._body(function.body)
        return function if self._loops or self._is_altered else None

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """A function within has rounds of its own."""
        altered = _Bounding(self._rounds, self._charges).bound(node)
        self._is_altered |= altered is not None
        return altered or node

    def visit_While(self, node: ast.While) -> ast.AST:
        """Count each round."""
        self._within(node, _COUNTED)
        node.body = [*self._count(node, "1"), *node.body]
        return node

    def visit_For(self, node: ast.For) -> Any:  # noqa: ANN401
        """Count each round, or all of them beforehand."""
        rounds = _known_rounds(node.iter)
        if rounds is not None and self._uncounted * rounds <= min(_FEW, self._rounds):
            self._within(node, self._uncounted * max(rounds, 1))
            return node
        self._within(node, _COUNTED)
        if not _is_range(node.iter) or _is_left_early(node):
            node.body = [*self._count(node, "1"), *node.body]
            return node
        name = f"{_RANGE}{self._loops}"
        ahead = _placed(f"{name} = 0", node)
        ahead[0].value = node.iter  # type: ignore[attr-defined]
        lines = [*ahead, *self._count(node, f"len({name})")]
        node.iter = ast.copy_location(ast.Name(name, ast.Load()), node.iter)
        return [*lines, node]

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        """Count all rounds of each part when it begins."""
        return self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        """Likewise."""
        return self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        """Likewise."""
        return self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        """Likewise."""
        return self._comprehension(node)

    def _comprehension(self, node: Any) -> ast.AST:  # noqa: ANN401 - one of those
        known = [_known_rounds(one.iter) for one in node.generators]
        total = self._uncounted
        for rounds in known:
            total = 0 if rounds is None else total * max(rounds, 1)
        if 0 < total <= min(_FEW, self._rounds):
            self._within(node, total)
            return node  # type: ignore[no-any-return]
        self._within(node, _COUNTED)
        for one in node.generators:
            one.iter = self._charged(one.iter, node)
        return node  # type: ignore[no-any-return]

    def _charged(self, found: ast.expr, at: ast.expr) -> ast.expr:
        """What is gone through, counted when it is."""
        if isinstance(found, ast.Call) and isinstance(found.func, ast.Name) and found.func.id in _THROUGH:
            found.args = [
                self._charged(one, at) if index < _THROUGH[found.func.id] else one
                for index, one in enumerate(found.args)
            ]
            return found
        name = f"{_CHARGED}{at.lineno}_{at.col_offset}"
        if name not in self._charges:
            line = f"def {name}(found, left):\n    left[0] -= {_rounds_of.__name__}(found)\n"
            line += f"    if left[0] < 0:\n        raise {_RAISED}({self._why!r})\n    return found"
            (self._charges[name],) = _placed(line, at)
        self._loops += 1
        call = ast.parse(f"{name}(0, {_LEFT})", mode="eval").body
        for one in ast.walk(call):
            ast.copy_location(one, found)
        call.args[0] = found  # type: ignore[attr-defined]
        return call

    def _within(self, loop: ast.AST, uncounted: int) -> None:
        """Visit the loops within one that has so many rounds which are not counted, since those multiply."""
        before, self._uncounted = self._uncounted, uncounted
        self.generic_visit(loop)
        self._uncounted = before

    def _body(self, body: list[ast.stmt]) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for one in body:
            altered = self.visit(one)
            found += altered if isinstance(altered, list) else [altered]
        first = str(self._rounds) if self._left == _LEFT else f"{_NEW}({self._rounds})"
        return [*_placed(f"{_LEFT} = {first}", body[0]), *found] if self._loops else found

    def _count(self, loop: ast.stmt, rounds: str) -> list[ast.stmt]:
        self._loops += 1
        return _placed(f"{self._left} -= {rounds}\nif {self._left} < 0:\n    raise {_RAISED}({self._why!r})", loop)

    @property
    def _why(self) -> str:
        return (
            f"more than {self._rounds:,} rounds of its loops in one call: give them an end, or raise limits.iterations"
        )


def _placed(source: str, at: ast.stmt | ast.expr) -> list[ast.stmt]:
    """Statements that stand where another does."""
    made = ast.parse(source).body
    for statement in made:
        for node in ast.walk(statement):
            if hasattr(node, "lineno"):
                ast.copy_location(node, at)
                node.end_lineno = node.lineno  # type: ignore[attr-defined]
    return made


def _is_range(found: ast.expr) -> bool:
    return isinstance(found, ast.Call) and isinstance(found.func, ast.Name) and found.func.id == "range"


def _known_rounds(found: ast.expr) -> int | None:
    """How many rounds a loop over this has, None where that is not written down."""
    if isinstance(found, ast.Tuple | ast.List):
        return len(found.elts)
    if not isinstance(found, ast.Call) or not _is_range(found) or found.keywords:
        return None
    try:
        return len(range(*map(ast.literal_eval, found.args)))
    except (ValueError, TypeError, OverflowError):
        return None


def _is_left_early(loop: ast.For) -> bool:
    below: list[ast.AST] = [*loop.body]
    while below:
        node = below.pop()
        if isinstance(node, ast.Break | ast.Return | ast.Raise | ast.Yield):
            return True
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            below += ast.iter_child_nodes(node)
    return False
