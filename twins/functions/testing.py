"""Steps as plain Python, in a notebook or a test: an author's function with a state for it, and built-ins by name."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.definition_file import FILE, read_definition
from schemas.step import StateField, Step
from twins.authored import AuthoredCode
from twins.folder_calls import linked
from twins.functions.registry import BUILT_INS
from twins.functions.state_view import StateView

START_NS = 1_700_000_000 * 10**9
"""Event time at which trials of steps begin."""

_TYPES = {"float": "f8", "int": "i8", "bool": "?"}


def new_records(fields: Mapping[str, StateField], count: int = 1) -> NDArray[np.void]:
    """States of `count` twins with the declared fields at their initial values, as a structured array."""
    # As in rows: numba has no nested arrays of booleans.
    types = {name: "u1" if one.shape and one.type == "bool" else _TYPES[one.type] for name, one in fields.items()}
    dtype = np.dtype([(name, types[name], declared.shape) for name, declared in fields.items()])
    records: NDArray[np.void] = np.zeros(count, dtype)
    for name, declared in fields.items():
        records[name] = declared.initial
    return records


def new_state(fields: Mapping[str, StateField]) -> StateView:
    """A fresh state of one twin.

    Args:
        fields: As `Definition.pipeline[i].state` or `BoundStep.state` has them.

    Returns:
        A record that takes reads and writes as the compiled step's does: `state.x[0] = 1.0`, `state.count += 1`.
    """
    return StateView(new_records(fields))


def load_step(folder: Path, name: str) -> tuple[Callable[..., Any], StateView]:
    """The function of an authored step, and a fresh state of one twin for it.

    Args:
        folder: The twin type's.
        name: Of the step in the pipeline; one that is written in the folder, not a built-in.

    Raises:
        DefinitionError: `twin.yaml` or the step's file has faults.
        KeyError: the pipeline has no step of that name, or it is a built-in.
    """
    step = _step(folder, name)
    if ":" not in step.step:
        message = f"{name} is the built-in {step.step}, no function of the folder: use load_trial"
        raise KeyError(message)
    return AuthoredCode(folder).function(step.step), new_state(step.state)


def _step(folder: Path, name: str) -> Step:
    pipeline = read_definition((folder / FILE).read_text(encoding="utf-8")).pipeline
    for step in pipeline:
        if step.name == name:
            return step
    message = f"no step {name} in {folder / FILE}: there are {', '.join(step.name for step in pipeline) or 'none'}"
    raise KeyError(message)


class Trial:
    """One step of one twin, called with its arguments by name and giving its outputs by name.

    Attributes:
        state: What the step remembers, None when it remembers nothing.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        outputs: tuple[str, ...],
        state: StateView | None = None,
        constants: Mapping[str, Any] | None = None,
    ) -> None:
        self.state = state
        self._function = function
        self._outputs = outputs
        self._given: dict[str, Any] = dict(constants or {}) | ({} if state is None else {"state": state})
        self._takes = set(inspect.signature(function).parameters) - set(self._given)
        self._time_ns: int | None = None
        self._records = 0

    def __call__(self, at_s: float | None = None, /, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401
        """Step one record.

        Args:
            at_s: Event time in seconds since the trial's start; gives `dt_s`, `time_s`, `time_ns` and `records` to a
                step that takes them and is not given them.
            arguments: Everything else that the step takes.

        Returns:
            Output to value.

        Raises:
            TypeError: an argument is missing, or is none of the step's.
        """
        if at_s is not None:
            arguments = {name: value for name, value in self._times(at_s).items() if name in self._takes} | arguments
        results = self._function(**self._given, **arguments)
        return dict(zip(self._outputs, results if len(self._outputs) > 1 else (results,), strict=True))

    def _times(self, at_s: float) -> dict[str, int | float]:
        time_ns = START_NS + round(at_s * 1e9)
        dt_s = 0.0 if self._time_ns is None else max(0, time_ns - self._time_ns) * 1e-9
        self._time_ns = time_ns if self._time_ns is None else max(self._time_ns, time_ns)
        self._records += 1
        return {"dt_s": dt_s, "time_s": time_ns * 1e-9, "time_ns": time_ns, "records": self._records}


def built_in(
    name: str, config: Mapping[str, Any] | None = None, functions: Mapping[str, Callable[..., Any]] | None = None
) -> Trial:
    """A built-in step with a fresh state, its outputs under the names of `docs/functions.md`.

    Args:
        name: Of the built-in.
        config: As the definition has it.
        functions: For one that calls functions of a folder, these, by the setting that names each.

    Raises:
        KeyError: there is no built-in of that name.
        pydantic.ValidationError: with every fault of `config`.
    """
    bound = BUILT_INS[name].bind(config or {})
    if bound.link is not None:
        bound = bound.link({setting: (functions or {})[setting] for setting in bound.calls})
    return Trial(bound.function, tuple(bound.outputs), new_state(bound.state) if bound.state else None, bound.constants)


def load_trial(folder: Path, name: str) -> Trial:
    """Any step of a folder's pipeline with a fresh state, its outputs under the names of `twin.yaml`.

    Arguments are those of the function, which `inputs` in `twin.yaml` may wire to fields of other names.

    Args:
        folder: The twin type's.
        name: Of the step in the pipeline.

    Raises:
        DefinitionError: `twin.yaml` or the step's file has faults.
        KeyError: the pipeline has no step of that name.
    """
    step = _step(folder, name)
    code, outputs = AuthoredCode(folder), tuple(step.outputs)
    if ":" in step.step:
        function = code.function(step.step)
        return Trial(function, outputs, new_state(step.state) if step.state else None)
    bound = BUILT_INS[step.step].bind(step.config)
    bound, _ = linked(bound, "config", lambda target, _: code.function(target), lambda name: ("field", name))
    return Trial(bound.function, outputs, new_state(bound.state) if bound.state else None, bound.constants)
