"""Checks a twin type's folder the way a worker will use it. Imports the author's code: run it in a child process."""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from schemas.bundle import Bundle, read_folder
from schemas.definition import AMBIENT, Definition
from schemas.definition_file import FILE, Reading
from schemas.errors import DefinitionError, Problem
from schemas.yaml_text import line_of
from twins.author_faults import unknown_names
from twins.authored import AuthoredCode
from twins.kernel.compile_faults import compile_faults, kernel_faults
from twins.kernel.cost import step_costs
from twins.kernel.trial_faults import Tried, tried
from twins.layout import RowLayout, step_state
from twins.text_faults import handler_text_faults, text_faults
from twins.twin_type import TwinType
from twins.unit_faults import unit_faults
from twins.unrepeatable import unrepeatable
from twins.wiring import WiredStep, wired

Trying = Callable[[TwinType, list[WiredStep]], Tried]
"""Steps a twin of a type by records that have every input at mid-range."""


def check_folder(
    folder: Path,
    cache: Path | None = None,
    importing: AbstractContextManager[None] | None = None,
    trying: Trying = tried,
) -> list[Problem]:
    """Every fault of a folder; arguments as for `examine_folder`."""
    return examine_folder(folder, cache, importing, trying).problems


def examine_folder(
    folder: Path,
    cache: Path | None = None,
    importing: AbstractContextManager[None] | None = None,
    trying: Trying = tried,
) -> Tried:
    """Every fault of a folder: definition, wiring, imports, compilation, and steps that can't be run.

    A fault of one part hides none of another, except that only steps whose definition is right are compiled, and that
    only a type without other faults is stepped. A step that never ends is left running: end the process soon.

    Args:
        folder: Holds `twin.yaml`.
        cache: Where compiled kernels are kept; a temporary folder when None.
        importing: Surrounds what runs the author's modules.
        trying: Runs the steps.

    Returns:
        No problems when it can be deployed; else those of `twin.yaml` first, each with a line and a path: of keys, of a
        function, or `file`.
    """
    lines: dict[str, int] = {}
    found = Tried()
    try:
        bundle = read_folder(folder)
        reading = bundle.examine()
        lines = reading.lines
        found = _beyond_reading(bundle, reading, AuthoredCode(folder), cache, importing, trying)
        problems = reading.problems + found.problems
    except DefinitionError as error:
        problems = list(error.problems)
    located = [
        replace(one, line=one.line or (line_of(one.path, lines) if one.file == FILE else 1), path=one.path or "file")
        for one in problems
    ]
    problems = sorted(dict.fromkeys(located), key=lambda problem: (problem.file != FILE, problem.file, problem.line))
    return Tried(problems, found.notes)


def cost_notes(folder: Path, cache: Path) -> list[str]:
    """What the steps that are not compiled cost, a line each; measured here, by calling them.

    Args:
        folder: Without faults.
        cache: Where `check_folder` kept its compiled kernels.
    """
    bundle = read_folder(folder)
    definition = bundle.definition()
    if all(step.compiled for step in definition.pipeline):
        return []
    twin_type = TwinType.load(folder, definition, bundle.hash, 1, cache)
    twin_type.warm_up()
    return [str(cost) for cost in step_costs(twin_type)]


def _beyond_reading(
    bundle: Bundle,
    reading: Reading,
    code: AuthoredCode,
    cache: Path | None,
    importing: AbstractContextManager[None] | None,
    trying: Trying,
) -> Tried:
    """Faults of wiring, code, units, compilation and running."""
    definition = reading.definition
    if definition is None:
        return Tried()
    with importing or nullcontext():
        steps, found = wired(definition, code, reading.replaced)
    found += _unknown_names(definition, steps, code)
    found += unit_faults(definition, {step.name for step in steps})
    if reading.problems:
        return Tried(found)
    if found:
        return Tried(found + _compiled_apart(definition, steps, code))
    return _compiled(bundle, definition, steps, code, cache, trying)


def _unknown_names(definition: Definition, steps: list[WiredStep], code: AuthoredCode) -> list[Problem]:
    declared = {step.name: step for step in definition.pipeline}
    found = []
    for step in steps:
        state = step_state(declared[step.name])
        functions = [step.function, *(call.function for call in step.calls)]
        found += text_faults(step, definition, code)
        for request, target in declared[step.name].requests.items():
            # One that is not there is a fault of the wiring.
            with suppress(DefinitionError):
                functions.append(code.function(target))
                found += handler_text_faults(functions[-1], request, definition, code)
        found += [problem for function in functions for problem in unknown_names(function, state, code)]
        found += [problem for function in functions for problem in unrepeatable(function, code)]
    return list(dict.fromkeys(found))


def _compiled(
    bundle: Bundle,
    definition: Definition,
    steps: list[WiredStep],
    code: AuthoredCode,
    cache: Path | None,
    trying: Trying,
) -> Tried:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            twin_type = TwinType.load(code.folder, definition, bundle.hash, 1, cache or Path(scratch))
            twin_type.warm_up()
        except DefinitionError as error:
            # Each step by itself tells more than the kernel that is made of all of them.
            return Tried(compile_faults(RowLayout.of(definition), steps, code) or list(error.problems))
        if faults := kernel_faults(twin_type.kernels, twin_type.layout, steps, code):
            return Tried(faults)
        return trying(twin_type, steps)


def _compiled_apart(definition: Definition, steps: list[WiredStep], code: AuthoredCode) -> list[Problem]:
    """Faults of those steps that could be compiled if the others were right."""
    known = {*AMBIENT, *definition.inputs, *definition.numbers, *definition.fields()}
    sound = [
        step
        for step in steps
        if step.authored
        and all(kind != "field" or name in known for kind, name in step.arguments)
        and not _unknown_names(definition, [step], code)
    ]
    if not sound:
        return []
    # What a faulty step remembers is not known; what it gives is.
    wired_names = {step.name for step in steps}
    pipeline = tuple(
        step if step.name in wired_names else step.model_copy(update={"step": "faulty.py:faulty", "state": {}})
        for step in definition.pipeline
    )
    try:
        layout = RowLayout.of(definition.model_copy(update={"pipeline": pipeline}))
    except DefinitionError as error:
        return list(error.problems)
    return compile_faults(layout, sound, code)
