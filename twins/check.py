"""Checks a twin type's folder the way a worker will use it. Imports the author's code: run it in a child process."""

import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from schemas.bundle import Bundle, read_folder
from schemas.definition import Definition
from schemas.definition_file import FILE
from schemas.errors import DefinitionError, Problem
from twins.author_faults import unknown_names
from twins.authored import AuthoredCode
from twins.kernel.compile_faults import compile_faults
from twins.layout import RowLayout, step_state
from twins.processor import TwinType
from twins.unit_faults import unit_faults
from twins.wiring import WiredStep, wired


def check_folder(folder: Path, cache: Path | None = None) -> list[Problem]:
    """Every fault of a folder: definition, wiring, imports and compilation; empty when it can be deployed.

    A fault of one part hides none of another, except that nothing is compiled before everything else is right.

    Args:
        folder: Holds `twin.yaml`.
        cache: Where compiled kernels are kept; a temporary folder when None.
    """
    try:
        bundle = read_folder(folder)
        reading = bundle.examine()
    except DefinitionError as error:
        return list(error.problems)
    definition = reading.definition
    if definition is None:
        return reading.problems
    code = AuthoredCode(folder)
    steps, found = wired(definition, code, reading.replaced)
    found += _unknown_names(definition, steps, code)
    found += unit_faults(definition, {step.name for step in steps})
    problems = reading.problems + [
        problem if problem.line or problem.file != FILE else replace(problem, line=reading.line(problem.path))
        for problem in found
    ]
    return problems or _compiled(bundle, definition, steps, code, cache)


def _unknown_names(definition: Definition, steps: list[WiredStep], code: AuthoredCode) -> list[Problem]:
    declared = {step.name: step for step in definition.pipeline}
    found = []
    for step in steps:
        state = step_state(declared[step.name])
        functions = [step.function]
        for target in declared[step.name].requests.values():
            # One that is not there is a fault of the wiring.
            with suppress(DefinitionError):
                functions.append(code.function(target))
        found += [problem for function in functions for problem in unknown_names(function, state, code)]
    return list(dict.fromkeys(found))


def _compiled(
    bundle: Bundle, definition: Definition, steps: list[WiredStep], code: AuthoredCode, cache: Path | None
) -> list[Problem]:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            TwinType.load(code.folder, definition, bundle.hash, 1, cache or Path(scratch)).warm_up()
        except DefinitionError as error:
            # Each step by itself tells more than the kernel that is made of all of them.
            return compile_faults(RowLayout.of(definition), steps, code) or list(error.problems)
    return []
