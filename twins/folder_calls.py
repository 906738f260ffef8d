"""Functions of a folder that built-in steps call: found, checked and handed over."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from schemas.errors import DefinitionError, InvalidNameError, Problem
from schemas.names import check_field
from twins.functions.built_in import BoundStep, Call


@dataclass(frozen=True, slots=True)
class FolderCall:
    """An author's function that a built-in calls.

    Attributes:
        arrays: Number of dimensions of each of its first arguments.
        arguments: Its further ones, as those of a step.
    """

    function: Callable[..., Any]
    arrays: tuple[int, ...]
    arguments: tuple[tuple[str, str], ...]


def linked(
    bound: BoundStep,
    place: str,
    find: Callable[[str, str], Callable[..., Any]],
    wire: Callable[[str], tuple[str, str]],
) -> tuple[BoundStep, tuple[FolderCall, ...]]:
    """Give a built-in the functions of the folder that its settings name.

    Args:
        bound: The built-in.
        place: Key path of its settings.
        find: Gives the function `file.py:function` that is named at a key path, or raises DefinitionError.
        wire: Where an argument comes from, by its name.

    Raises:
        DefinitionError: with every fault: a function that is not there, at its setting; one with other arguments, at
            its own line.
    """
    if bound.link is None:
        return bound, ()
    problems: list[Problem] = []
    functions: dict[str, Callable[..., Any]] = {}
    for setting, call in bound.calls.items():
        try:
            functions[setting] = find(call.target, f"{place}.{setting}")
            problems += _signature_faults(functions[setting], call)
        except DefinitionError as error:
            problems += error.problems
    if problems:
        raise DefinitionError(problems)
    calls = (
        FolderCall(functions[setting], tuple(call.arrays.values()), tuple(map(wire, _wired(functions[setting], call))))
        for setting, call in bound.calls.items()
    )
    return bound.link(functions), tuple(calls)


def _wired(function: Callable[..., Any], call: Call) -> tuple[str, ...]:
    """Names of the arguments after the arrays."""
    return tuple(inspect.signature(function).parameters)[len(call.arrays) :]


def _signature_faults(function: Callable[..., Any], call: Call) -> list[Problem]:
    file, line = call.target.partition(":")[0], function.__code__.co_firstlineno
    shown = f"def {function.__name__}({', '.join(call.arrays)}, …)"
    if tuple(inspect.signature(function).parameters)[: len(call.arrays)] != tuple(call.arrays):
        message = f"the first arguments of {function.__name__} must be {' and '.join(call.arrays)}"
        return [Problem(file, line, function.__name__, message, f"begin it with {shown}")]
    problems = []
    for name in _wired(function, call):
        try:
            check_field(name, "argument")
        except InvalidNameError as error:
            problems.append(Problem(file, line, function.__name__, str(error), "choose another name"))
        if name == "state":
            message = f"{function.__name__} takes state, which belongs to the built-in"
            problems.append(Problem(file, line, function.__name__, message, f"give what it needs by name: {shown}"))
    return problems
