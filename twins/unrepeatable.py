"""Faults in an author's functions that a replay would show: clocks, and random numbers that the process shares."""

import ast
import datetime as dt
import os
import random
import time
import uuid
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from schemas.errors import Problem
from twins.author_faults import attributes_of, file_of, loads_of, reached
from twins.authored import AuthoredCode

_CLOCK_REMEDY = "take time_s, time_ns or dt_s, which are event time"
_DRAW_REMEDY = "take random_seed, and draw from twins.functions.random"
_CLOCKS = {
    getattr(time, name)
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time")
}
_NOW = {"now", "today", "utcnow"}
_DRAWS = {os.urandom, uuid.uuid1, uuid.uuid4}
_GENERATORS = (random.random.__self__, np.random.normal.__self__)  # type: ignore[attr-defined]
"""Those that the functions of the two modules share."""


def unrepeatable(function: Any, code: AuthoredCode) -> list[Problem]:  # noqa: ANN401 - an author may name anything
    """What a function, or one of the folder that it calls, uses that is another at every replay; a fault for each."""
    problems = []
    for one in reached(function, code):
        found = {(name, line): _remedy(one.__globals__.get(name)) for name, line in loads_of(one.__code__)}
        for node in attributes_of(one):
            found[ast.unparse(node), node.lineno] = _remedy(_value(node, one))
        problems += [
            Problem(file_of(one, code), line, one.__name__, f"{name} differs from replay to replay", remedy)
            for (name, line), remedy in found.items()
            if remedy
        ]
    return problems


def _remedy(value: Any) -> str:  # noqa: ANN401
    owner = getattr(value, "__self__", None) if callable(value) else None
    try:
        if value in _CLOCKS or (owner in {dt.datetime, dt.date} and value.__name__ in _NOW):
            return _CLOCK_REMEDY
        drawn = value in _DRAWS
    except TypeError:  # not hashable
        return ""
    return _DRAW_REMEDY if drawn or any(owner is generator for generator in _GENERATORS) else ""


def _value(node: ast.expr, function: FunctionType) -> Any:  # noqa: ANN401
    """What a name, or an attribute of a module or class, is; None for whatever else."""
    if isinstance(node, ast.Name):
        return None if node.id in function.__code__.co_varnames else function.__globals__.get(node.id)
    if isinstance(node, ast.Attribute):
        base = _value(node.value, function)
        return getattr(base, node.attr, None) if isinstance(base, ModuleType | type) else None
    return None
