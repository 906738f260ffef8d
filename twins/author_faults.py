"""Faults in an author's functions that can be seen without running or compiling them: names that are nothing."""

import ast
import builtins
import dis
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from schemas.errors import Problem
from twins.authored import AuthoredCode


def unknown_names(function: Callable[..., Any], state: Collection[str], code: AuthoredCode) -> list[Problem]:
    """Names that a function, or one of the folder that it calls, uses and nobody gives.

    Args:
        function: A step or a handler of the folder.
        state: Fields of its argument `state`, empty when it has none.
        code: The folder.

    Returns:
        A fault for each: a global name that is not there, one that a module does not have, a field that the state does
        not have.
    """
    problems = _fields(function, state, code)
    for one in reached(function, code):
        problems += _globals(one, code) + _of_modules(one, code)
    return problems


def reached(function: Callable[..., Any], code: AuthoredCode) -> list[FunctionType]:
    """The function and those of the folder that it calls."""
    return _reach(function, code, [])


def _reach(function: Callable[..., Any], code: AuthoredCode, seen: list[FunctionType]) -> list[FunctionType]:
    if not isinstance(function, FunctionType) or function in seen or not code.owns(function):
        return seen
    seen.append(function)
    for name, _ in loads_of(function.__code__):
        _reach(function.__globals__.get(name), code, seen)  # type: ignore[arg-type]
    return seen


def loads_of(code: CodeType) -> Iterator[tuple[str, int]]:
    """Names that code looks up in its module, and the lines."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL":
            line = instruction.positions.lineno if instruction.positions else None
            yield instruction.argval, line or code.co_firstlineno
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from loads_of(constant)


def _globals(function: FunctionType, code: AuthoredCode) -> list[Problem]:
    remedy = "mend its spelling, or define or import it in this file"
    unknown: dict[str, int] = {}
    for name, line in loads_of(function.__code__):
        if name not in function.__globals__ and not hasattr(builtins, name):
            unknown.setdefault(name, line)
    kept = {one.argval for one in dis.get_instructions(function.__code__) if one.opname == "STORE_GLOBAL"}
    in_state = "steps keep nothing in globals: declare state: in twin.yaml, take state, and write state.x = …"
    return [
        Problem(
            file_of(function, code),
            line,
            function.__name__,
            f"{function.__name__} uses {name}, which is not defined",
            in_state if name in kept else remedy,
        )
        for name, line in unknown.items()
    ]


def _of_modules(function: FunctionType, code: AuthoredCode) -> list[Problem]:
    unknown: dict[tuple[str, str], int] = {}
    for node in attributes_of(function):
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        module = function.__globals__.get(name) if name not in function.__code__.co_varnames else None
        if isinstance(module, ModuleType) and not hasattr(module, node.attr):
            unknown.setdefault((name, node.attr), node.lineno)
    return [
        Problem(file_of(function, code), line, function.__name__, f"{name} has no {attribute}", "mend its spelling")
        for (name, attribute), line in unknown.items()
    ]


def _fields(function: Callable[..., Any], state: Collection[str], code: AuthoredCode) -> list[Problem]:
    # That there is no state at all is a fault of its own.
    if not state or not isinstance(function, FunctionType) or not code.owns(function):
        return []
    unknown: dict[str, int] = {}
    for node in attributes_of(function):
        if isinstance(node.value, ast.Name) and node.value.id == "state" and node.attr not in state:
            unknown.setdefault(node.attr, node.lineno)
    remedy = f"declared under state: {', '.join(state) or 'nothing'}"
    return [
        Problem(file_of(function, code), line, function.__name__, f"the state has no field {name}", remedy)
        for name, line in unknown.items()
    ]


def attributes_of(function: FunctionType) -> list[ast.Attribute]:
    """Every `x.y` in a function's source, in the order of lines."""
    tree = source_of(function)
    found = [below for below in ast.walk(tree) if isinstance(below, ast.Attribute)] if tree else []
    return sorted(found, key=lambda below: below.lineno)


def source_of(function: FunctionType) -> ast.FunctionDef | None:
    """A function's source, None where it is no `def` of its file."""
    first = function.__code__.co_firstlineno
    for node in ast.walk(ast.parse(Path(function.__code__.co_filename).read_bytes())):
        if isinstance(node, ast.FunctionDef):
            lines = [node.lineno, *(decorator.lineno for decorator in node.decorator_list)]
            if min(lines) == first and node.name == function.__name__:
                return node
    return None


def file_of(function: Callable[..., Any], code: AuthoredCode) -> str:
    """Path of a function's file in its folder."""
    return Path(function.__code__.co_filename).relative_to(code.folder).as_posix()
