"""Conditions that authors write into `twin.yaml`: a small part of Python's expressions, over names of fields.

Numbers, `true` and `false`, names, `+ - * /`, comparisons (also chained), `and`, `or`, `not`, parentheses, and `abs`,
`min` and `max`. Nothing of it is ever evaluated as text: the syntax tree is checked against this list and written anew
into the generated kernel.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

LENGTH_LIMIT = 1000
DEPTH_LIMIT = 100
LARGEST = 1e100
"""Largest number in a condition."""

_WHOLE_LIMIT = 2**63
_FUNCTIONS = {"abs": (1, 1), "min": (2, 8), "max": (2, 8)}
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
_BOOLEANS = {"true": True, "false": False}
_KNOWN = "known are + - * /, comparisons, and, or, not, abs, min and max"


@dataclass(frozen=True)
class Condition:
    """A checked condition.

    Attributes:
        text: As the author wrote it.
        names: Every field that it reads, in order of appearance.
    """

    text: str
    names: tuple[str, ...]
    _tree: ast.expr

    @property
    def truths(self) -> tuple[str, ...]:
        """Fields that it takes for true or false by themselves, as `not lid_open` does: they must be booleans."""
        return tuple(dict.fromkeys(_truths(self._tree)))

    @property
    def divides(self) -> bool:
        """Whether it may be one that can't be computed: a division by zero."""
        return any(isinstance(node, ast.Div) for node in ast.walk(self._tree))

    def source(self, name: Callable[[str], str]) -> str:
        """Python source of it, with `name` applied to every field; parenthesised."""
        return f"({_source(self._tree, name)})"


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises:
        ValueError: it is none; the message says what is wrong.
    """
    if len(text) > LENGTH_LIMIT:
        message = f"a condition has at most {LENGTH_LIMIT} characters"
        raise ValueError(message)
    if "#" in text:
        # On one line it would hide all that follows it.
        message = f"{ascii(text)[:80]} holds a comment, which is not permitted in a condition"
        raise ValueError(message)
    try:
        # In YAML it may go on over several lines.
        tree = ast.parse(" ".join(text.split()), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        message = f"{ascii(text)[:80]} is no condition such as `temperature > 40 and not lid_open`"
        raise ValueError(message) from None
    if _depth(tree) > DEPTH_LIMIT:
        message = f"{ascii(text)[:80]} is nested more than {DEPTH_LIMIT} deep"
        raise ValueError(message)
    _check(tree)
    if not _is_boolean(tree):
        message = f"{ascii(text)[:80]} is a number, not a condition: compare it with something"
        raise ValueError(message)
    return Condition(text, tuple(dict.fromkeys(_names(tree))), tree)


def _depth(tree: ast.expr) -> int:
    """How deep a tree is, found without recursion: a sum is as deep as it is long."""
    level: list[ast.AST] = [tree]
    depth = 0
    while level:
        level = [below for node in level for below in ast.iter_child_nodes(node)]
        depth += 1
    return depth


def _check(node: ast.expr) -> None:  # noqa: C901 - one case per kind of node
    match node:
        case ast.BoolOp(values=values):
            for value in values:
                _check(value)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=operand):
            _check(operand)
        case ast.BinOp(left=left, right=right, op=op) if isinstance(op, _OPERATORS):
            _check(left)
            _check(right)
        case ast.Compare(left=left, ops=ops, comparators=others) if all(isinstance(op, _COMPARISONS) for op in ops):
            for value in (left, *others):
                _check(value)
        case ast.Call(func=ast.Name(id=function), args=arguments, keywords=[]) if function in _FUNCTIONS:
            fewest, most = _FUNCTIONS[function]
            if not fewest <= len(arguments) <= most:
                message = f"{function} takes {fewest} to {most} values, not {len(arguments)}"
                raise ValueError(message)
            for value in arguments:
                _check(value)
        case ast.Constant(value=bool() | int() | float() as value) if abs(value) <= LARGEST:
            pass
        case ast.Name(id=name) if name not in _FUNCTIONS:
            pass
        case _:
            message = f"{ascii(ast.unparse(node))[:80]} is not permitted in a condition; {_KNOWN}"
            raise ValueError(message)


def _is_boolean(node: ast.expr) -> bool:
    """Whether it can be a condition; of a lone field only the definition knows its type."""
    match node:
        case ast.BoolOp() | ast.Compare() | ast.Name() | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.Constant(value=value):
            return isinstance(value, bool)
    return False


def _names(node: ast.expr) -> Iterator[str]:
    for found in ast.walk(node):
        if isinstance(found, ast.Name) and found.id not in _BOOLEANS and found.id not in _FUNCTIONS:
            yield found.id


def _truths(tree: ast.expr) -> Iterator[str]:
    found = [tree]
    for node in ast.walk(tree):
        if isinstance(node, ast.BoolOp):
            found += node.values
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            found.append(node.operand)
    yield from (node.id for node in found if isinstance(node, ast.Name) and node.id not in _BOOLEANS)


def _source(tree: ast.expr, name: Callable[[str], str]) -> str:
    class Rename(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.Call:
            node.args = [self.visit(argument) for argument in node.args]
            return node

        def visit_Constant(self, node: ast.Constant) -> ast.expr:
            # A whole number that no compiled one can be is a float.
            value = node.value
            return ast.Constant(float(value)) if isinstance(value, int) and abs(value) >= _WHOLE_LIMIT else node

        def visit_Name(self, node: ast.Name) -> ast.expr:
            if node.id in _BOOLEANS:
                return ast.Constant(_BOOLEANS[node.id])
            return ast.parse(name(node.id), mode="eval").body

    return ast.unparse(Rename().visit(ast.parse(ast.unparse(tree), mode="eval").body))
