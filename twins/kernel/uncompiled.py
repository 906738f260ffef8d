"""A step as plain Python, for a wave of records: arrays of numbers go in, arrays of numbers come out.

Nothing else passes between a step and the twins, so that the call may as well be made in another process
(`twins.apart`), which for its short start imports nothing else of ours.
"""

import copy
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from twins.functions.state_view import ExactStateView, InexactError, StateView

_NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_DETAIL_CHARS = 300
_INT_LIMIT = 2**63
RESULT_TYPES: dict[str, type] = {"float": np.float64, "int": np.int64, "bool": np.bool_}
"""What results are kept as, by their declared type."""


class StepPlan(msgspec.Struct, frozen=True):
    """How a step is called, without what is called.

    Attributes:
        name: Of the step.
        target: `file.py:function`.
        outputs: Name and type of each result, in order.
        finite: Fields of its state that hold floats.
        places: For each argument its place among what the step is given, None for its state.
        time_s: How long one call may take, seconds.
        memory_mb: How much memory its calls may take beyond what its modules took when they were imported, MiB.
    """

    name: str
    target: str
    outputs: tuple[tuple[str, str], ...]
    finite: tuple[str, ...]
    places: tuple[int | None, ...]
    time_s: float
    memory_mb: float


class Failure(NamedTuple):
    """Why a step has no result for a record.

    Attributes:
        detail: For people.
        line: Of the function's file, where it raised; 0 where it did not.
        remedy: For what no record can make right: the step gives something else than its outputs and state can hold.
        not_finite: It gave NaN or infinity.
        no_memory: It asked for more memory than there is for it.
    """

    detail: str
    line: int = 0
    remedy: str = ""
    not_finite: bool = False
    no_memory: bool = False


class _Unusable(Exception):  # noqa: N818 - never leaves this module
    def __init__(
        self, detail: str, line: int = 0, remedy: str = "", *, not_finite: bool = False, no_memory: bool = False
    ) -> None:
        super().__init__(detail)
        self.failure = Failure(detail, line, remedy, not_finite, no_memory)


@dataclass(slots=True)
class Answer:
    """What a step made of m records.

    Attributes:
        results: Outputs by name, each (m,) of its declared type; meaningless where the step failed.
        state: (m,) new state where it did not.
        failures: By the index of the record.
    """

    results: dict[str, NDArray[Any]]
    state: NDArray[np.void]
    failures: dict[int, Failure] = field(default_factory=dict)


class PythonStep(Protocol):
    """What steps records between compiled stretches."""

    plan: StepPlan

    def run(self, given: NDArray[np.void], state: NDArray[np.void]) -> Answer:
        """Step m records; arguments as of `UncompiledStep.run`."""


class UncompiledStep:
    """A function of an author, called with one record after another.

    Args:
        plan: How.
        function: What.
        folder: Of the author's files.
    """

    def __init__(self, plan: StepPlan, function: Callable[..., Any], folder: Path) -> None:
        self.plan = plan
        self._function = function
        self._folder = folder
        self._exact = False
        self._names = tuple(name for name, _ in plan.outputs)

    def exactly(self) -> "UncompiledStep":
        """The same step, whose floats for an int or a boolean, also of its state, are failures instead of cut off."""
        found = copy.copy(self)
        found._exact = True  # noqa: SLF001 - its own
        return found

    def run(self, given: NDArray[np.void], state: NDArray[np.void]) -> Answer:
        """Step m records, each of another twin.

        Args:
            given: (m,) the arguments other than the state, as `twins.kernel.segments` orders them.
            state: (m,) the twins' states; not changed.
        """
        answer = Answer(
            {name: np.zeros(len(given), RESULT_TYPES[kind]) for name, kind in self.plan.outputs}, state.copy()
        )
        self.step(given, answer, _nobody, answer.failures.__setitem__)
        return answer

    def step(
        self,
        given: NDArray[np.void],
        answer: Answer,
        at: Callable[[int], None],
        failed: Callable[[int, Failure], None],
    ) -> None:
        """The same, into an answer whose `state` is that of before.

        Args:
            given: As of `run`.
            answer: Gets results and state of each record as soon as it is done.
            at: Told each record before it is stepped.
            failed: Told of each that has no result.
        """
        columns, states = tuple(answer.results.values()), answer.state
        for index, values in enumerate(given.tolist()):
            at(index)
            # A copy for each call: a step that keeps it has nothing of its twin, and one that fails leaves nothing.
            own = states[index : index + 1].copy()
            try:
                results = self._results(self._call(values, own))
                self._check_state(own)
            except _Unusable as unusable:
                failed(index, unusable.failure)
                continue
            for column, result in zip(columns, results, strict=True):
                column[index] = result
            states[index] = own[0]

    def _call(self, values: Sequence[Any], own: NDArray[np.void]) -> Any:  # noqa: ANN401 - whatever an author returns
        view = (ExactStateView if self._exact else StateView)(own)
        try:
            return self._function(*(view if place is None else values[place] for place in self.plan.places))
        except InexactError as error:
            line = _line(error, self._function.__code__.co_filename)
            message = f"step {self.plan.name} writes {error}"
            raise _Unusable(message, line, "declare type: float, or write int(…)") from None
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an author's function may raise anything
            line = _line(error, self._function.__code__.co_filename)
            no_memory = isinstance(error, MemoryError)
            raise _Unusable(raised(error, self.plan.name, self._folder), line, no_memory=no_memory) from None

    def _results(self, returned: Any) -> list[bool | int | float]:  # noqa: ANN401 - likewise
        names = self._names
        remedy = f"return one number for each of {', '.join(names)}"
        if not names:
            return []
        if len(names) == 1:
            returned = (returned,)
        elif not isinstance(returned, tuple | list) and not (isinstance(returned, np.ndarray) and returned.ndim == 1):
            message = f"step {self.plan.name} returned {_kind(returned)}, not {len(names)} values"
            raise _Unusable(message, remedy=remedy)
        if len(returned) != len(names):
            message = f"step {self.plan.name} returned {len(returned)} values, not {len(names)}"
            raise _Unusable(message, remedy=remedy)
        return [
            self._number(name, kind, value) for (name, kind), value in zip(self.plan.outputs, returned, strict=True)
        ]

    def _number(self, name: str, kind: str, value: Any) -> bool | int | float:  # noqa: ANN401 - likewise
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value[()]
        if not isinstance(value, _NUMBERS):
            message = f"step {self.plan.name} returned {_kind(value)} for {name}, not a number"
            remedy = f"return one number for each of {', '.join(self._names)}"
            raise _Unusable(message, remedy=remedy)
        if isinstance(value, float | np.floating) and not math.isfinite(value):
            raise _Unusable(f"step {self.plan.name} gave {float(value)} for {name}", not_finite=True)
        if self._exact and kind != "float" and isinstance(value, float | np.floating):
            message = f"step {self.plan.name} returned a float for {name}, which {kind} can't hold"
            remedy = "write type: float, or return int(…) or a comparison"
            raise _Unusable(message, remedy=remedy)
        if kind == "bool":
            return bool(value)
        if kind == "int":
            whole = int(value)
            if not -_INT_LIMIT <= whole < _INT_LIMIT:
                raise _Unusable(f"step {self.plan.name} gave a number for {name} that takes over 64 bits")
            return whole
        try:
            return float(value)
        except OverflowError:
            message = f"step {self.plan.name} gave a number for {name} beyond any float"
            raise _Unusable(message, not_finite=True) from None

    def _check_state(self, own: NDArray[np.void]) -> None:
        for name in self.plan.finite:
            if not np.isfinite(own[name]).all():
                raise _Unusable(f"step {self.plan.name} left NaN or infinity in its state {name}", not_finite=True)


def _nobody(index: int) -> None:
    """Told nothing."""


def raised(error: BaseException, step: str, folder: Path) -> str:
    """What a step raised, and at which line of its folder where that is known: one line, the same at every replay."""
    text = " ".join(_ADDRESS.sub("", str(error)).split())
    named = f"{type(error).__name__}: {text}" if text else type(error).__name__
    place = place_of(error, folder)
    return f"step {step} raised {named}"[:_DETAIL_CHARS] + (f" ({place})" if place else "")


def place_of(error: BaseException, folder: Path) -> str:
    """The innermost line of a folder that an error went through, `FILE:LINE`; `""` for none."""
    found = ""
    trace = error.__traceback__
    while trace is not None:
        if own := file_in(folder, trace.tb_frame.f_code.co_filename):
            found = f"{own}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def file_in(folder: Path, file: str) -> str:
    """A file's path within a folder; machine code may have been made of the same files in another one."""
    path = Path(file)
    if path.is_relative_to(folder):
        return path.relative_to(folder).as_posix()
    # No more parts than a folder has; our own files and libraries lie elsewhere than a folder's file of their name.
    known = next((path.parts[-count:] for count in (1, 2) if folder.joinpath(*path.parts[-count:]).is_file()), ())
    return "/".join(known) if path.suffix == ".py" else ""


def _line(error: BaseException, file: str) -> int:
    """Where a file was when an error was raised in it, or in what it called."""
    lines = [0]
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return lines[-1]


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return f"a {type(value).__name__}"
