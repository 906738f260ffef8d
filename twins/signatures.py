"""Faults of how a step's function is declared: it is called with one value for each plain argument, and returns."""

import inspect
from collections.abc import Callable
from typing import Any

from schemas.errors import Problem

_STARS = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def signature_faults(function: Callable[..., Any], file: str, line: int, *, compiled: bool) -> list[Problem]:
    """Faults of a step's function.

    Args:
        function: The function.
        file: Of the folder, that names it.
        line: Where it is defined there.
        compiled: Whether it is compiled, which sees no further than the function itself; else what a decorator wraps
            counts.
    """
    name = function.__name__
    found = []
    for one in inspect.signature(function, follow_wrapped=not compiled).parameters.values():
        if one.kind in _STARS:
            found.append((f"{name} takes {_STARS[one.kind]}{one.name}", "name each argument"))
        elif one.kind is inspect.Parameter.KEYWORD_ONLY:
            found.append((f"{name} takes {one.name} by keyword only", "remove the * before it"))
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        found.append((f"{name} is async", "write def, without async"))
    elif inspect.isgeneratorfunction(function):
        found.append((f"{name} yields", "a step returns its outputs"))
    return [Problem(file, line, name, message, remedy) for message, remedy in found]
