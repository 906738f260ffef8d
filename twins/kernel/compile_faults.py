"""What numba says against an author's step, as one sentence at the author's own line."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import types
from numba.core.types.common import Buffer
from numba.core.types.containers import DictType
from numba.core.types.containers import List as ListType
from numba.core.types.misc import NoneType, Optional, StringLiteral, UnicodeType

from schemas.definition_file import FILE
from schemas.errors import DefinitionError, Problem
from twins.author_faults import attributes_of, file_of
from twins.authored import AuthoredCode
from twins.folder_calls import FolderCall
from twins.kernel.compiler import Kernels, jit
from twins.kernel.fields import argument_type
from twins.kernel.narrowing import narrowing_faults
from twins.layout import RowLayout
from twins.wiring import WiredStep

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_PLACE = re.compile(r'File "([^"]+)", line (\d+)|(\S+\.py) \((\d+)\)')
_CALL = re.compile(r"No implementation of function .* found for signature:\s*>>> ([^\n]+)")
_LITERAL = re.compile(r"Literal\[(\w+)\]\([^)]*\)")
_MODULE = re.compile(r"Module\(<module '([\w.]+)'[^>]*>\)")
_RETURNED: tuple[tuple[Any, str], ...] = (
    (UnicodeType, "a text"),
    (StringLiteral, "a text"),
    (Buffer, "an array"),
    (types.NestedArray, "an array"),
    (types.Record, "its state"),
    (ListType, "a list"),
    (DictType, "a dictionary"),
)
_TYPE_NAMES = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"nestedarray\(\w+, \((\d+), (\d+)\)\)", r"array of \1 x \2"),
        (r"nestedarray\(\w+, \((\d+),\)\)", r"array of \1"),
        (r"array\(\w+, (\d)d, \w\)", r"array of \1 axes"),
        (r"<iv=[^>]*>", ""),
        (r"\bfloat64\b", "float"),
        (r"\bint64\b", "int"),
        (r"\bunicode_type\b", "str"),
    )
)
_NOISE = ("Failed in nopython mode", "Failed in native mode", "File ", "During:", "- During:", "Enable")
_MESSAGE_CHARS = 200
_REMEDY = (
    "use numbers, math, NumPy scalars and plain functions of this folder;"
    " or declare compiled: false, and the step runs as plain Python, much slower"
)
_GLOBAL = re.compile(r"(?:global name|variable) '(\w+)'")
_IN_STATE = "what a step keeps is its state: declare state: in twin.yaml, take state, and write state.x = …"
_WORDS = (
    (
        r"exception_match\(\w+, (\w+)\)",
        r"except \1 can't be told from others",
        "ask beforehand, such as if x == 0; or declare compiled: false, and the step runs as plain Python, much slower",
    ),
    (
        r"IMPORT_NAME",
        "it imports within the function",
        "import at the top of the file; a clock differs from replay to replay: take time_s, time_ns or dt_s instead",
    ),
    (
        r"STORE_GLOBAL",
        "it assigns to a global, and steps keep nothing in globals",
        _IN_STATE,
    ),
)
"""What numba says, the same in words, and the way out."""

_TYPES = {"bool": types.boolean, "int": types.int64, "string": types.int64, "float": types.float64}


def compile_faults(layout: RowLayout, steps: list[WiredStep], code: AuthoredCode) -> list[Problem]:
    """Compile each step of the folder by itself; a fault for each one that can't be, or that returns something else.

    So too each function of the folder that a built-in calls.
    """
    problems = []
    for step in steps:
        if not step.compiled:
            continue
        problems += [fault for call in step.calls for fault in _call_faults(call, step, layout, code)]
        if not step.authored:
            continue
        try:
            compiled = jit(step.function, code, step.rounds)
            compiled.compile(tuple(_type(kind, name, step, layout) for kind, name in step.arguments))
        except DefinitionError as error:
            problems += error.problems
            continue
        except Exception as error:  # noqa: BLE001 - numba raises many kinds
            problems.append(_fault(error, step.function, code))
            continue
        problems += _result_faults(compiled, step, layout, code)
    return problems


def kernel_faults(kernels: Kernels, layout: RowLayout, steps: list[WiredStep], code: AuthoredCode) -> list[Problem]:
    """Faults of the steps of the folder that compile, and lose something of what they return or remember."""
    problems = []
    for index, step in enumerate(steps):
        if step.authored and step.compiled and code.owns(step.function):
            compiled = kernels.step(index)
            if not compiled.signatures:  # the kernel's machine code was made before
                compiled.compile(tuple(_type(kind, name, step, layout) for kind, name in step.arguments))
            problems += _result_faults(compiled, step, layout, code)
    return problems


def _result_faults(compiled: Any, step: WiredStep, layout: RowLayout, code: AuthoredCode) -> list[Problem]:  # noqa: ANN401
    """Faults of what a compiled step returns, and of what it writes into its state."""
    returned = compiled.overloads[compiled.signatures[-1]].signature.return_type
    if _fits(returned, step):
        return narrowing_faults(compiled, step, layout, code)
    file, line = _definition(step.function, code)
    wanted = f"the step has {len(step.outputs)} output{'s' if len(step.outputs) != 1 else ''}"
    message = f"{step.function.__name__} returns {_returned(returned)}, but {wanted}"
    remedy = f"return one number for each of {', '.join(step.outputs)}"
    return [Problem(file, line, step.function.__name__, message, remedy)]


def _call_faults(call: FolderCall, step: WiredStep, layout: RowLayout, code: AuthoredCode) -> list[Problem]:
    given = [types.Array(types.float64, dimensions, "C") for dimensions in call.arrays]
    given += [_type(kind, name, step, layout) for kind, name in call.arguments]
    try:
        jit(call.function, code, step.rounds).compile(tuple(given))
    except DefinitionError as error:
        return list(error.problems)
    except Exception as error:  # noqa: BLE001 - numba raises many kinds
        return [_fault(error, call.function, code)]
    return []


def _type(kind: str, name: str, step: WiredStep, layout: RowLayout) -> Any:  # noqa: ANN401 - numba has no types here
    definition = layout.definition
    if kind == "state":
        return numba.from_dtype(layout.dtype[f"s_{step.name}"])
    if kind == "converted":
        return types.float64
    return _TYPES[argument_type(name, definition)]


def _fits(returned: Any, step: WiredStep) -> bool:  # noqa: ANN401 - likewise
    if not step.outputs:
        return True
    values = list(returned) if len(step.outputs) > 1 and hasattr(returned, "__iter__") else [returned]
    return len(values) == len(step.outputs) and all(isinstance(v, types.Number | types.Boolean) for v in values)


def _returned(returned: Any) -> str:  # noqa: ANN401 - likewise
    if isinstance(returned, NoneType):
        return "nothing"
    if isinstance(returned, Optional):
        return "nothing on one of its ways"
    if str(returned).startswith(("unicode_type", "Literal[str]")):
        return "a text"
    values = list(returned) if hasattr(returned, "__iter__") else []
    if values:
        return f"{len(values)} values" if len(values) > 1 else "a tuple of one"
    for kind, words in _RETURNED:
        if isinstance(returned, kind):
            return words
    return str(returned).partition("(")[0]


def compile_problem(error: Exception, folder: Path) -> Problem:
    """What numba says against a whole kernel, at the author's line if it names one."""
    file, line = _place(error, folder) or (FILE, 0)
    return Problem(file, line, "pipeline", f"the pipeline can't be compiled: {_sentence(error)}", _REMEDY)


def _fault(error: Exception, function: Callable[..., Any], code: AuthoredCode) -> Problem:
    file, line = _place(error, code.folder) or _definition(function, code)
    if not _plain(error):
        line = _replaced(function) or line
    name, sentence = function.__name__, _sentence(error)
    for pattern, words, way_out in _WORDS:
        if known := re.search(pattern, sentence):
            return Problem(file, line, name, f"{name} can't be compiled: {known.expand(words)}", way_out)
    if (known := _GLOBAL.search(_plain(error))) and isinstance(values := function.__globals__.get(known[1]), list):
        shown = ", ".join(map(repr, values[:3])) + (", …" if len(values) > 3 else "," * (len(values) == 1))  # noqa: PLR2004
        message = f"{name} can't be compiled: {known[1]} is a list of the module, which no compiled step reads"
        remedy = f"write a tuple: {known[1]} = ({shown})" if values else f"a tuple is read; {_IN_STATE}"
        return Problem(file, line, name, message, remedy)
    remedy = f"take one element of the array, or a function of NumPy; {_REMEDY}" if "array of" in sentence else _REMEDY
    return Problem(file, line, name, f"{name} can't be compiled: {sentence}", remedy)


def _replaced(function: Callable[..., Any]) -> int | None:
    """Line of the first `state.x = …`."""
    stored = (one for one in attributes_of(function) if isinstance(one.ctx, ast.Store))  # type: ignore[arg-type]
    return next((one.lineno for one in stored if isinstance(one.value, ast.Name) and one.value.id == "state"), None)


def _place(error: Exception, folder: Path) -> tuple[str, int] | None:
    """File of the folder and line, where numba names one."""
    # What was called last comes first.
    named = [(shown or other, line or other_line) for shown, line, other, other_line in _PLACE.findall(_plain(error))]
    location = getattr(error, "loc", None)
    if location is not None:
        named.append((location.filename, location.line))
    for file, line in named:
        # Numba writes paths relative to where this process stands.
        path = Path(file).resolve()
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix(), int(line)
    return None


def _plain(error: Exception) -> str:
    return _ANSI.sub("", str(error))


def _sentence(error: Exception) -> str:
    text = _plain(error)
    if isinstance(error, KeyError):
        return f"nothing here has a field {text}"
    if call := _CALL.search(text):
        return f"there is no {_shown(call[1])}"
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith(_NOISE)]
    if not lines:
        # An assertion of numba's own, which it makes of nothing else that authors write.
        return "an array of the state is not replaced as a whole; write into it: state.x[:] = …"
    first = re.split(r" Raised from|: %", lines[0])[0].rstrip(".")
    return _shown(_MODULE.sub(r"module \1", first))


def _shown(signature: str) -> str:
    """With Python's names of types instead of numba's."""
    text = _LITERAL.sub(r"\1", signature)
    for pattern, words in _TYPE_NAMES:
        text = pattern.sub(words, text)
    return text[:_MESSAGE_CHARS]


def _definition(function: Callable[..., Any], code: AuthoredCode) -> tuple[str, int]:
    """File and line; of a function that no file of the folder holds, only that the definition names it."""
    return (file_of(function, code), function.__code__.co_firstlineno) if code.owns(function) else (FILE, 0)
