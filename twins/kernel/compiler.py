"""From a wired pipeline to compiled passes over a block, cached on disk by content.

Numba's own cache looks only at the file that holds a function and would run stale kernels when an imported one changed;
here everything that the kernel is made of goes into the name of a folder of its own.
"""

import dis
import hashlib
import importlib.util
import os
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
import numpy as np

import twins
from schemas.errors import DefinitionError, Problem
from twins.author_faults import file_of
from twins.authored import AuthoredCode
from twins.functions.random import seed_of
from twins.kernel.loops import bounded, closure_of
from twins.kernel.passes import Pass
from twins.kernel.segments import cut, hold_dtype
from twins.kernel.source import kernel_source
from twins.kernel.uncompiled import PythonStep, StepPlan, UncompiledStep
from twins.layout import RowLayout
from twins.wiring import ROUNDS, WiredStep


@dataclass(frozen=True, slots=True)
class Kernel:
    """One pass, of `twins.kernel.source`: a function, or several with steps that are not compiled between them.

    Attributes:
        entries: Compiled functions, in order.
        uncompiled: The steps between each of them and the next, with their places in the pipeline.
        hold: What is handed over between them.
        folder: Of the author's files.
    """

    entries: tuple[Callable[..., None], ...]
    uncompiled: tuple[tuple[int, PythonStep], ...]
    hold: np.dtype[np.void]
    folder: Path


@dataclass(frozen=True, slots=True)
class Kernels:
    """What a type's pipeline became.

    Attributes:
        records: The pass over a block's records.
        ticks: The pass over twins on a tick, None for a type without ticks.
        folder: Where source and machine code are.
    """

    records: Kernel
    ticks: Kernel | None
    folder: Path

    @property
    def are_compiled(self) -> bool:
        """Whether machine code was made before, so that the first call only loads it."""
        return any((self.folder / "__pycache__").glob("*.nbi"))

    def step(self, index: int) -> Any:  # noqa: ANN401
        """The compiled function of a step; without signatures where machine code was only loaded."""
        return self.records.entries[0].py_func.__globals__[f"step_{index}"]  # type: ignore[attr-defined]


def compile_kernels(
    layout: RowLayout, steps: list[WiredStep], code: AuthoredCode, content: str, cache: Path
) -> Kernels:
    """Build the kernels of a type; machine code is made at the first call, or loaded if it was made before.

    Args:
        layout: The type's rows.
        steps: Its pipeline.
        code: The author's functions.
        content: Content hash of the type's folder.
        cache: Folder for compiled kernels.
    """
    source = kernel_source(layout, steps)
    key = _key(content, source)
    folder = cache / key
    path = folder / "kernel.py"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        scratch = folder / f"kernel.{os.getpid()}.tmp"
        scratch.write_text(source)
        scratch.replace(path)
    name = f"twinstream_kernel_{key}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        message = f"{path} can't be imported"
        raise ImportError(message)
    module = importlib.util.module_from_spec(spec)
    module.__dict__["seed_of"] = jit(seed_of, code)
    for index, step in enumerate(steps):
        if step.compiled:
            setattr(module, f"step_{index}", jit(step.function, code, step.rounds))
        for constant, value in step.constants.items():
            setattr(module, f"constant_{index}_{constant}", value)
    # Numba imports the module by its name when it loads machine code that was made before.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    definition = layout.definition
    records = _kernel(module, layout, steps, code, Pass(definition, steps, on_tick=False))
    ticks = _kernel(module, layout, steps, code, Pass(definition, steps, on_tick=True)) if definition.tick_s else None
    return Kernels(records, ticks, folder)


def _kernel(
    module: types.ModuleType, layout: RowLayout, steps: list[WiredStep], code: AuthoredCode, over: Pass
) -> Kernel:
    stretches, between = cut(steps, over)
    entries = tuple(getattr(module, f"{over.name}_{place}") for place in range(len(stretches)))
    uncompiled = tuple(
        (index, UncompiledStep(_plan(step, layout), step.function, code.folder)) for index, step in between
    )
    return Kernel(entries, uncompiled, hold_dtype(between, over), code.folder)


def _plan(step: WiredStep, layout: RowLayout) -> StepPlan:
    definition = layout.definition
    (declared,) = (one for one in definition.pipeline if one.name == step.name)
    fields, given = definition.fields(), iter(range(len(step.arguments)))
    return StepPlan(
        name=step.name,
        target=declared.step,
        outputs=tuple((name, fields[name].type) for name in step.outputs),
        finite=tuple(name for name, item in layout.states.get(step.name, {}).items() if item.type == "float"),
        places=tuple(None if kind == "state" else next(given) for kind, _ in step.arguments),
        time_s=declared.limits.time_s,
        memory_mb=declared.limits.memory_mb,
    )


def jit(function: Callable[..., Any], code: AuthoredCode, rounds: int = ROUNDS) -> Any:  # noqa: ANN401
    """Compile a plain function and, by name, the plain functions it calls; authors' code with bounds checks.

    Args:
        function: What is called.
        code: The folder.
        rounds: How often the loops of a function of the folder go round in one call before it raises.

    Raises:
        DefinitionError: functions call each other in a circle.
    """
    return _jit(function, code, rounds, {}, ())


def _jit(
    function: Callable[..., Any],
    code: AuthoredCode,
    rounds: int,
    done: dict[Any, Any],
    callers: tuple[Callable[..., Any], ...],
) -> Any:  # noqa: ANN401
    if function in done:
        return done[function]
    if function in callers:
        # One that never stops ends the process; and so does what numba keeps of a circle, when it is loaded.
        circle = [one.__name__ for one in callers[callers.index(function) :]]
        message = f"{' and '.join(circle)} call each other" if len(circle) > 1 else f"{circle[0]} calls itself"
        remedy = "write a loop; or declare compiled: false, and the step runs as plain Python, much slower"
        line = function.__code__.co_firstlineno
        raise DefinitionError([Problem(file_of(function, code), line, function.__name__, message, remedy)])
    names = {name: function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__}
    scope = dict(function.__globals__)
    for name, value in names.items():
        if isinstance(value, types.FunctionType) and _is_ours(value, code):
            scope[name] = _jit(value, code, rounds, done, (*callers, function))
    made, closure = function.__code__, function.__closure__
    if isinstance(function, types.FunctionType) and code.owns(function):
        made = bounded(function, rounds, scope)
        closure = closure_of(function, made)
    copy = types.FunctionType(made, scope, function.__name__, function.__defaults__, closure)
    # Numba imports this module when it loads compiled code; an author's own can't be imported by name.
    copy.__module__ = __name__
    copy.__kwdefaults__ = function.__kwdefaults__
    done[function] = numba.njit(nogil=True, boundscheck=code.owns(function))(copy)
    return done[function]


def _names(code: types.CodeType) -> set[str]:
    """Names that are looked up in a function's module; attributes may be called alike."""
    nested = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    own = {one.argval for one in dis.get_instructions(code) if one.opname == "LOAD_GLOBAL"}
    return own.union(*map(_names, nested))


def _is_ours(function: Callable[..., Any], code: AuthoredCode) -> bool:
    return code.owns(function) or function.__module__.startswith("twins.functions")


def _key(content: str, source: str) -> str:
    digest = hashlib.sha256(content.encode())
    digest.update(source.encode())
    for path in sorted(Path(str(twins.__file__)).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    digest.update(f"{numba.__version__} {np.__version__} {llvmlite.binding.get_host_cpu_name()}".encode())
    return digest.hexdigest()[:32]
