"""What a version's steps do with a record that has every input at mid-range: that they end, and what they give."""

import ast
import re
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schemas.definition_file import FILE
from schemas.errors import Problem
from twins.author_faults import file_of
from twins.kernel.compiler import Kernel
from twins.kernel.patience import Patience
from twins.kernel.trial import Trial, shown
from twins.kernel.uncompiled import Answer, Failure, PythonStep, UncompiledStep
from twins.twin_type import TwinType
from twins.wiring import WiredStep

if TYPE_CHECKING:
    from types import FrameType

STEP_LIMIT_S = 10.0
"""How long the steps may take for one record, unless told otherwise."""

_LOOK_S = 0.05

_ROUNDS = re.compile(r"step (\w+) made (more than [\d,]+ rounds of its loops in one call).* \((.+):(\d+)\)$")

_ENDLESS = "give its loops an end: mend their condition, or write for _ in range(…)"


@dataclass(slots=True)
class Tried:
    """What came of it.

    Attributes:
        problems: Steps that never end; and of those that are not compiled, which nothing else tells of, all that give
            what is no number, or not of the declared type.
        notes: That one raises, or gives NaN: there are other records.
    """

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def tried(twin_type: TwinType, steps: list[WiredStep], limit_s: float = STEP_LIMIT_S) -> Tried:
    """Step a new twin by two records and, where there are ticks, by one of them and another record.

    Steps that never end are left running: end this process soon.

    Args:
        twin_type: Warmed up.
        steps: Its pipeline.
        limit_s: How long they may compute for each record.
    """
    watch = _Watch()
    kernels = replace(twin_type.kernels, records=watch.over(twin_type.kernels.records))
    if kernels.ticks is not None:
        kernels = replace(kernels, ticks=watch.over(kernels.ticks))
    trial = Trial(replace(twin_type, kernels=kernels))
    inputs, failure = shown(twin_type.definition), ""
    for on_tick in (False, False, True, False) if kernels.ticks is not None else (False, False):
        said: list[str] = []
        thread = _finished(partial(_turn, trial, said, on_tick=on_tick), limit_s)
        if thread is not None and watch.failures:
            break
        if thread is not None:
            what = "a tick after a record" if on_tick else "a record"
            late = f"did not finish within {limit_s:g} s for {what} with all inputs at mid-range ({inputs})"
            return Tried([_endless(thread, watch, twin_type, steps, late)])
        failure = failure or "".join(said or ["they could not be stepped"])
        if endless := _ROUNDS.match(failure):
            return Tried([_too_many_rounds(endless, twin_type, inputs)])
        if watch.failures:
            break
    faults = [_fault(steps[index], one, twin_type, inputs) for index, one in sorted(watch.failures.items())]
    notes = [f"with all inputs at mid-range ({inputs}) twins go into quarantine: {failure}"] if failure else []
    return Tried(faults, [] if faults else notes)


def _turn(trial: Trial, said: list[str], *, on_tick: bool) -> None:
    said.append(trial.turn(on_tick=on_tick))


def _finished(work: Callable[[], None], limit_s: float) -> threading.Thread | None:
    """Do some work, whatever it raises; the thread that still does it when its time is over.

    That is so many seconds of computing by this process; of waiting, some times as many.
    """

    def guarded() -> None:
        with suppress(Exception):
            work()

    thread = threading.Thread(target=guarded, daemon=True)
    patience = Patience(limit_s)
    thread.start()
    while thread.is_alive() and not patience.is_over():
        thread.join(_LOOK_S)
    return thread if thread.is_alive() else None


class _Watch:
    """Sees which step that is not compiled is at work, and which fail."""

    def __init__(self) -> None:
        self.at_work: int | None = None
        self.failures: dict[int, Failure] = {}

    def over(self, kernel: Kernel) -> Kernel:
        """The same kernel, watched."""
        watched = []
        for index, step in kernel.uncompiled:
            exact = step.exactly() if isinstance(step, UncompiledStep) else step
            watched.append((index, _Watched(index, exact, self)))
        return replace(kernel, uncompiled=tuple(watched))


class _Watched:
    def __init__(self, index: int, step: PythonStep, watch: _Watch) -> None:
        self.plan = step.plan
        self._index = index
        self._step = step
        self._watch = watch

    def run(self, given: NDArray[np.void], state: NDArray[np.void]) -> Answer:
        self._watch.at_work = self._index
        answer = self._step.run(given, state)
        self._watch.at_work = None
        failure = answer.failures.get(0)
        if failure is None or not failure.remedy:
            return answer
        # What follows gets zeros, so that more is found.
        self._watch.failures.setdefault(self._index, failure)
        return replace(answer, failures={})


def _fault(step: WiredStep, failure: Failure, twin_type: TwinType, inputs: str) -> Problem:
    message = f"{failure.detail}, for a record with all inputs at mid-range ({inputs})"
    return _problem(step, twin_type, failure.line, message, failure.remedy)


def _problem(step: WiredStep, twin_type: TwinType, line: int, message: str, remedy: str) -> Problem:
    if not twin_type.code.owns(step.function):
        index = [one.name for one in twin_type.definition.pipeline].index(step.name)
        return Problem(FILE, 0, f"pipeline.{index}.step", message, remedy)
    function = step.function
    file, line = file_of(function, twin_type.code), line or function.__code__.co_firstlineno
    return Problem(file, line, function.__name__, message, remedy)


def _endless(
    thread: threading.Thread, watch: _Watch, twin_type: TwinType, steps: list[WiredStep], late: str
) -> Problem:
    if watch.at_work is not None:
        step = steps[watch.at_work]
        return _problem(step, twin_type, _line(thread, step), f"step {step.name} {late}", _ENDLESS)
    compiled = ", ".join(step.name for step in steps if step.compiled)
    return Problem(FILE, 0, "pipeline", f"one of the steps {compiled} {late}", _ENDLESS)


def _too_many_rounds(found: re.Match[str], twin_type: TwinType, inputs: str) -> Problem:
    """A loop of a compiled step that goes round too often."""
    name, what, file, line = found.groups()
    message = f"step {name} made {what}, for a record with all inputs at mid-range ({inputs})"
    whole = ast.parse((twin_type.code.folder / file).read_bytes())
    around = [one for one in ast.walk(whole) if isinstance(one, ast.FunctionDef) and _holds(one, int(line))]
    function = around[-1].name if around else name
    return Problem(file, int(line), function, message, f"{_ENDLESS}; or raise limits.iterations")


def _holds(function: ast.FunctionDef, line: int) -> bool:
    return function.lineno <= line <= (function.end_lineno or 0)


def _line(thread: threading.Thread, step: WiredStep) -> int:
    """Where in its step's file a thread is."""
    frame: FrameType | None = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - Python has no other way to see a thread
    while frame is not None:
        if frame.f_code.co_filename == step.function.__code__.co_filename:
            return frame.f_lineno
        frame = frame.f_back
    return 0
