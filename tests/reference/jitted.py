"""Compile a step and the plain functions it calls, as simply as can be, to compare with plain Python."""

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numba


def jitted(function: Callable[..., Any]) -> Callable[..., Any]:
    assert isinstance(function, FunctionType)
    scope = dict(function.__globals__)
    for name in function.__code__.co_names:
        if isinstance(scope.get(name), FunctionType):
            scope[name] = jitted(scope[name])
    copy = FunctionType(function.__code__, scope, function.__name__, function.__defaults__)
    compiled: Callable[..., Any] = numba.njit(nogil=True, boundscheck=True)(copy)
    return compiled
