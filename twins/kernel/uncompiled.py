"""A step as plain Python, for a wave of records: arrays of numbers go in, arrays of numbers come out.

Nothing else passes between a step and the twins, so that the call may as well be made in another process.
"""

import copy
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from twins import admission
from twins.functions.state_view import ExactStateView, InexactError, StateView
from twins.kernel.fields import DTYPES
from twins.kernel.segments import given_fields
from twins.layout import RowLayout
from twins.wiring import WiredStep

if TYPE_CHECKING:
    from schemas.step import StateField

_NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_DETAIL_CHARS = 300
_INT_LIMIT = 2**63


class Failure(NamedTuple):
    """Why a step has no result for a record.

    Attributes:
        status: `FAILED` or `NOT_FINITE` of `twins.admission`.
        detail: For people.
        line: Of the function's file, where it raised; 0 where it did not.
        remedy: For what no record can make right: the step gives something else than its outputs and state can hold.
    """

    status: int
    detail: str
    line: int = 0
    remedy: str = ""


class _Unusable(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, status: int, detail: str, line: int = 0, remedy: str = "") -> None:
        super().__init__(detail)
        self.failure = Failure(status, detail, line, remedy)


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

    name: str

    def run(self, given: NDArray[np.void], state: NDArray[np.void]) -> Answer:
        """Step m records; arguments as of `UncompiledStep.run`."""


class UncompiledStep:
    """A function of an author, called with one record after another."""

    def __init__(self, step: WiredStep, layout: RowLayout) -> None:
        declared = layout.definition.fields()
        self.name = step.name
        self._function = step.function
        self._outputs = {name: declared[name].type for name in step.outputs}
        self._state: Mapping[str, StateField] = layout.states.get(step.name, {})
        given = iter(range(len(given_fields(step))))
        self._places = tuple(None if kind == "state" else next(given) for kind, _ in step.arguments)
        self._exact = False

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
            {name: np.zeros(len(given), DTYPES[kind]) for name, kind in self._outputs.items()}, state.copy()
        )
        columns = tuple(answer.results.values())
        for index, values in enumerate(given.tolist()):
            # A copy for each call: a step that keeps it has nothing of its twin, and one that fails leaves nothing.
            own = state[index : index + 1].copy()
            try:
                results = self._results(self._call(values, own))
                self._check_state(own)
            except _Unusable as unusable:
                answer.failures[index] = unusable.failure
                continue
            for column, result in zip(columns, results, strict=True):
                column[index] = result
            answer.state[index] = own[0]
        return answer

    def _call(self, values: Sequence[Any], own: NDArray[np.void]) -> Any:  # noqa: ANN401 - whatever an author returns
        view = (ExactStateView if self._exact else StateView)(own)
        try:
            return self._function(*(view if place is None else values[place] for place in self._places))
        except InexactError as error:
            line = _line(error, self._function.__code__.co_filename)
            message = f"step {self.name} writes {error}"
            raise _Unusable(admission.FAILED, message, line, "declare type: float, or write int(…)") from None
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an author's function may raise anything
            line = _line(error, self._function.__code__.co_filename)
            raise _Unusable(admission.FAILED, raised(error, self.name), line) from None

    def _results(self, returned: Any) -> list[bool | int | float]:  # noqa: ANN401 - likewise
        names = tuple(self._outputs)
        remedy = f"return one number for each of {', '.join(names)}"
        if not names:
            return []
        if len(names) == 1:
            returned = (returned,)
        elif not isinstance(returned, tuple | list) and not (isinstance(returned, np.ndarray) and returned.ndim == 1):
            message = f"step {self.name} returned {_kind(returned)}, not {len(names)} values"
            raise _Unusable(admission.FAILED, message, remedy=remedy)
        if len(returned) != len(names):
            message = f"step {self.name} returned {len(returned)} values, not {len(names)}"
            raise _Unusable(admission.FAILED, message, remedy=remedy)
        return [
            self._number(name, kind, value) for (name, kind), value in zip(self._outputs.items(), returned, strict=True)
        ]

    def _number(self, name: str, kind: str, value: Any) -> bool | int | float:  # noqa: ANN401 - likewise
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value[()]
        if not isinstance(value, _NUMBERS):
            message = f"step {self.name} returned {_kind(value)} for {name}, not a number"
            remedy = f"return one number for each of {', '.join(self._outputs)}"
            raise _Unusable(admission.FAILED, message, remedy=remedy)
        if isinstance(value, float | np.floating) and not math.isfinite(value):
            raise _Unusable(admission.NOT_FINITE, f"step {self.name} gave {float(value)} for {name}")
        if self._exact and kind != "float" and isinstance(value, float | np.floating):
            message = f"step {self.name} returned a float for {name}, which {kind} can't hold"
            remedy = "write type: float, or return int(…) or a comparison"
            raise _Unusable(admission.FAILED, message, remedy=remedy)
        if kind == "bool":
            return bool(value)
        if kind == "int":
            whole = int(value)
            if not -_INT_LIMIT <= whole < _INT_LIMIT:
                raise _Unusable(admission.FAILED, f"step {self.name} gave a number for {name} that takes over 64 bits")
            return whole
        try:
            return float(value)
        except OverflowError:
            raise _Unusable(
                admission.NOT_FINITE, f"step {self.name} gave a number for {name} beyond any float"
            ) from None

    def _check_state(self, own: NDArray[np.void]) -> None:
        for name, declared in self._state.items():
            if declared.type == "float" and not np.isfinite(own[name]).all():
                raise _Unusable(admission.NOT_FINITE, f"step {self.name} left NaN or infinity in its state {name}")


def raised(error: BaseException, step: str = "") -> str:
    """What was raised, in one line that is the same at every replay."""
    text = " ".join(_ADDRESS.sub("", str(error)).split())
    named = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"{f'step {step}' if step else 'a step'} raised {named}"[:_DETAIL_CHARS]


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
