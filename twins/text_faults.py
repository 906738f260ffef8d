"""Faults in an author's functions that take a number for a text: one of `choices` comes as its index among them."""

import ast
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType
from typing import Any

from schemas.definition import Definition
from schemas.errors import Problem
from schemas.quantity import Quantity
from twins.author_faults import file_of, source_of
from twins.authored import AuthoredCode
from twins.wiring import WiredStep, handler_arguments


def text_faults(step: WiredStep, definition: Definition, code: AuthoredCode) -> list[Problem]:
    """Places where a step compares with a text what it gets as a number, or calls it a `str`."""
    if not step.authored:
        return []
    fields = dict(zip(handler_arguments(step.function), step.arguments, strict=False))
    given: dict[str, Quantity | None] = {
        argument: definition.parameters.get(name) for argument, (kind, name) in fields.items() if kind != "state"
    }
    return _faults(step.function, given, code)


def handler_text_faults(
    function: Callable[..., Any], request: str, definition: Definition, code: AuthoredCode
) -> list[Problem]:
    """Likewise, of a function that carries a request out, which gets any text as a text."""
    declared = definition.request(request)
    arguments = declared.arguments if declared else {}
    given: dict[str, Quantity | None] = {
        name: arguments.get(name) or definition.parameters.get(name)
        for name in handler_arguments(function)
        if name != "state"
    }
    texts = {name for name, quantity in given.items() if quantity is not None and quantity.is_text}
    return _faults(function, {name: quantity for name, quantity in given.items() if name not in texts}, code)


def _faults(function: Callable[..., Any], given: dict[str, Quantity | None], code: AuthoredCode) -> list[Problem]:
    if not isinstance(function, FunctionType) or not code.owns(function):
        return []
    tree = source_of(function)
    if tree is None:
        return []
    found = []
    for one in [*tree.args.posonlyargs, *tree.args.args]:
        quantity = given.get(one.arg)
        annotated = one.annotation
        named = annotated.id if isinstance(annotated, ast.Name) else annotated
        if one.arg in given and (named == "str" or (isinstance(named, ast.Constant) and named.value == "str")):
            found.append(
                (one.lineno, f"{one.arg} comes as {_number(quantity)}, not as a str", _remedy(one.arg, quantity))
            )
    assigned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for name, texts, line in _compared(tree, function):
        if name in given and name not in assigned:
            quantity = given[name]
            message = f"{name} comes as {_number(quantity)}, never equal to {texts[0]!r}"
            found.append((line, message, _remedy(name, quantity, texts)))
    return [Problem(file_of(function, code), line, function.__name__, *said) for line, *said in dict.fromkeys(found)]


def _number(quantity: Quantity | None) -> str:
    return "the index among its choices" if quantity is not None and quantity.choices else "a number"


def _remedy(name: str, quantity: Quantity | None, texts: Sequence[str] = ()) -> str:
    choices = quantity.choices if quantity is not None else ()
    if not choices:
        return "compare it with a number" if texts else "remove the annotation, or write float"
    known = ", ".join(f"{index} is {choice}" for index, choice in enumerate(choices))
    wanted = next((text for text in texts if text in choices), choices[0])
    write = f"{name} == {choices.index(wanted)}"
    return f"write {write}: {known}" if texts else f"write int, and compare it with an index: {known}"


def _compared(tree: ast.FunctionDef, function: FunctionType) -> Iterator[tuple[str, list[str], int]]:
    """Names that are compared with texts, the texts, and the lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            texts = [text for side in sides for text in _texts(side, function)]
            if texts:
                yield from ((side.id, texts, node.lineno) for side in sides if isinstance(side, ast.Name))
        elif isinstance(node, ast.Match) and isinstance(node.subject, ast.Name):
            for case in node.cases:
                texts = [text for below in ast.walk(case.pattern) for text in _texts(below, function)]
                if texts:
                    yield node.subject.id, texts, case.pattern.lineno


def _texts(node: ast.AST, function: FunctionType) -> list[str]:
    """Texts that an expression is, or holds."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.Name):
        value = function.__globals__.get(node.id) if node.id not in function.__code__.co_varnames else None
        return [value] if isinstance(value, str) else []
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return [text for one in node.elts for text in _texts(one, function)]
    return []
