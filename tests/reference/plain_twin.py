"""A twin whose steps run as plain Python, wired by name: the slow twin that every author could write."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.definition import BUILT_IN_REQUESTS, Definition
from schemas.definition_file import read_definition
from schemas.step import Converted, Previous
from schemas.units import conversion
from twins.functions.random import seed_of
from twins.functions.registry import BUILT_INS
from twins.functions.testing import new_state
from twins.kernel.fields import salt_of
from twins.layout import identity

if TYPE_CHECKING:
    from schemas.step import Step

EXAMPLES = Path(__file__).parents[2] / "examples"


class PlainTwin:
    """One twin of the type in `folder`; its random numbers are those of the twin with this id."""

    def __init__(self, folder: Path, parameters: Mapping[str, Any] | None = None, twin: bytes = b"") -> None:
        self.folder = folder
        self.definition: Definition = read_definition((folder / "twin.yaml").read_text())
        declared = self.definition.parameters
        self.parameters = {name: parameter.default for name, parameter in declared.items()} | dict(parameters or {})
        self.last: dict[str, Any] = {}
        self._time_ns: int | None = None
        self._tick_ns: int | None = None
        self._records = 0
        self._identity = identity(twin)
        self._steps: list[tuple[Step, Callable[..., Any], tuple[str, ...], tuple[Any, ...], Any]] = []
        self._start()

    def step(self, record: Mapping[str, Any], offset: int = 0) -> dict[str, Any]:
        """Outputs for one record, which has `time` in nanoseconds and the inputs, and lies at an offset."""
        time_ns = record["time"]
        since = {"records": self._time_ns, "both": max((t for t in (self._time_ns, self._tick_ns) if t), default=None)}
        self._time_ns, self._records = time_ns, self._records + 1
        given = {name: record[name] for name in self.definition.inputs if name in record}
        first = {name: item.default for name, item in self.definition.inputs.items() if item.default is not None}
        return self._run(time_ns, {**first, **self.last, **given}, since, offset)

    def tick(self, time_ns: int, offset: int = 0) -> dict[str, Any]:
        """Outputs after a tick, None for one that nothing gave a value yet."""
        since = {"ticks": self._tick_ns, "both": max((t for t in (self._time_ns, self._tick_ns) if t), default=None)}
        self._tick_ns = time_ns
        return self._run(time_ns, dict(self.last), since, offset)

    def _run(self, time_ns: int, scope: dict[str, Any], since: Mapping[str, int | None], offset: int) -> dict[str, Any]:
        """Run the steps that run on what `since` names, each when all that it takes is there."""
        scope |= self._encoded()
        scope |= {"time_s": time_ns * 1e-9, "time_ns": time_ns, "records": self._records}
        for step, function, arguments, constants, state in self._steps:
            if step.runs_on not in since:
                continue
            last_ns = since[step.runs_on]
            scope["dt_s"] = 0.0 if last_ns is None else max(0.0, (time_ns - last_ns) * 1e-9)
            wires = [step.inputs.get(argument, argument) for argument in arguments]
            taken = {wire.field if isinstance(wire, Converted) else wire for wire in wires}
            if not {name for name in taken if isinstance(name, str)} <= scope.keys():
                continue
            scope["random_seed"] = seed_of(self._identity, offset, salt_of(self.definition, step.name))
            values = [self._value(step, argument, scope) for argument in arguments]
            results = function(*([state] if state is not None else []), *values, *constants)
            names = tuple(step.outputs)
            given = results if len(names) > 1 else (results,) if names else ()
            scope |= zip(names, given, strict=True)
        self.last = scope
        return {name: scope.get(name) for name in self.definition.fields()}

    def request(self, name: str, arguments: Mapping[str, Any]) -> str | None:
        """Carry out a request; returns the reason of a refusal."""
        request = self.definition.request(name)
        assert request is not None
        for argument, declared in request.arguments.items():
            if refusal := declared.refusal(arguments[argument]):
                return refusal
        self.parameters |= {parameter: arguments[argument] for parameter, argument in request.sets.items()}
        if request is BUILT_IN_REQUESTS["reset"]:
            self.last = {name: value for name, value in self.last.items() if name in self.definition.inputs}
            self._start()
        for step, _, _, _, state in self._steps:
            if name in step.requests:
                handler, names = self._authored(step.requests[name])
                scope = {**self.last, **self._encoded(), **arguments, "state": state}
                if refusal := handler(**{argument: scope.get(argument, float("nan")) for argument in names}):
                    return str(refusal)
        return None

    def _start(self) -> None:
        self._steps = []
        for step in self.definition.pipeline:
            if ":" in step.step:
                function, arguments = self._authored(step.step)
                state = new_state(step.state) if step.state else None
                self._steps.append((step, function, tuple(a for a in arguments if a != "state"), (), state))
            else:
                bound = BUILT_INS[step.step].bind(step.config)
                if bound.link is not None:
                    bound = bound.link({name: load(self.folder, call.target) for name, call in bound.calls.items()})
                state = new_state(bound.state) if bound.state else None
                self._steps.append((step, bound.function, bound.arguments, tuple(bound.constants.values()), state))

    def _value(self, step: "Step", argument: str, scope: Mapping[str, Any]) -> Any:
        wire = step.inputs.get(argument, argument)
        if isinstance(wire, Previous):
            declared = self.definition.inputs.get(wire.previous) or self.definition.fields()[wire.previous]
            return self.last.get(wire.previous, {"float": 0.0, "int": 0, "bool": False}[declared.type])
        if not isinstance(wire, Converted):
            return scope[wire]
        linear = conversion(self.definition.unit_of(wire.field), wire.to)
        assert linear is not None
        return linear.factor * scope[wire.field] + linear.offset

    def _encoded(self) -> dict[str, Any]:
        return {
            name: declared.encode(self.parameters[name]) if declared.type == "string" else self.parameters[name]
            for name, declared in self.definition.parameters.items()
            if name not in self.definition.texts
        }

    def _authored(self, target: str) -> tuple[Callable[..., Any], tuple[str, ...]]:
        function = load(self.folder, target)
        return function, function.__code__.co_varnames[: function.__code__.co_argcount]


def load(folder: Path, target: str) -> Callable[..., Any]:
    """`file.py:name` of a folder; each folder has modules of its own."""
    file, _, name = target.partition(":")
    qualified = f"{folder.name}_{Path(file).stem}"
    if qualified not in sys.modules:
        spec = importlib.util.spec_from_file_location(qualified, folder / file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[qualified] = module
        spec.loader.exec_module(module)
    function: Callable[..., Any] = getattr(sys.modules[qualified], name)
    return function
