"""A pipeline's steps, each called by itself, with every input at mid-range: which of a kernel's steps never ends."""

from typing import Any

import numba

from twins.functions.state_view import StateView
from twins.kernel.compiler import jit
from twins.kernel.fields import DTYPES
from twins.kernel.trial import Trial, middle
from twins.twin_type import TwinType
from twins.wiring import WiredStep


class Single:
    """One twin, as far as its steps have come."""

    def __init__(self, twin_type: TwinType) -> None:
        definition, trial = twin_type.definition, Trial(twin_type)
        self._code = twin_type.code
        self._compiled: dict[str, Any] = {}
        self._rows = trial.table.rows
        self._types = {name: output.type for name, output in definition.fields().items()}
        self._values: dict[str, Any] = {name: DTYPES[kind](0) for name, kind in self._types.items()}
        for name, declared in definition.inputs.items():
            self._values[name] = DTYPES[declared.type](middle(declared))
        for name, parameter in definition.numbers.items():
            self._values[name] = DTYPES[parameter.type](parameter.encode(parameter.default))
        now_ns = trial.time_ns
        self._values |= {"dt_s": 1.0, "time_s": now_ns * 1e-9, "time_ns": now_ns, "records": 1, "random_seed": 1}

    def compile(self, step: WiredStep) -> None:
        """Compile a step, so that `run` only calls it; for what it is given now."""
        if step.name not in self._compiled:
            function = jit(step.function, self._code)
            function.compile(tuple(map(numba.typeof, self._arguments(step, plain=False))))
            self._compiled[step.name] = function

    def run(self, step: WiredStep, *, plain: bool = False) -> None:
        """Call a step, compiled before or as it stands in its file, and keep what it gives."""
        function = step.function if plain else self._compiled[step.name]
        given = function(*self._arguments(step, plain=plain))
        results = given if len(step.outputs) > 1 else (given,)
        for name, result in zip(step.outputs, results, strict=False):
            self._values[name] = DTYPES[self._types[name]](result)

    def _arguments(self, step: WiredStep, *, plain: bool) -> list[Any]:
        return [self._argument(step, kind, name, plain=plain) for kind, name in step.arguments]

    def _argument(self, step: WiredStep, kind: str, name: str, *, plain: bool) -> Any:  # noqa: ANN401
        if kind == "state":
            own = self._rows[f"s_{step.name}"]
            return StateView(own) if plain else own[0]
        if kind == "constant":
            return step.constants[name]
        if kind == "converted":
            field, linear = step.conversions[name]
            return self._values[field] * linear.factor + linear.offset
        return self._values[name]
