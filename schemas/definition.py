"""A twin type's definition: the model behind `twin.yaml`."""

import keyword
import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from schemas.names import DEFAULT_PROJECT, RESERVED_EVENTS, RESERVED_FIELDS, TypeName, check_field, parse_type

ScalarType = Literal["float", "int", "bool", "string"]
Scalar = bool | int | float | str

AMBIENT = {"dt_s": "s", "time_s": "s", "time_ns": "ns", "records": "1"}
"""Names that every step may take without anybody declaring them, with their units.

`dt_s`: event time since the twin's previous accepted record (0 for the first, and for a late one that is flagged);
`time_s` and `time_ns`: event time since the Unix epoch, as a float and as an exact integer; `records`: records accepted
so far, this one included.
"""


def _own_name(text: str) -> str:
    name = parse_type(text)
    if name.project != DEFAULT_PROJECT:
        message = "the project is a field of its own, not a prefix of the name"
        raise ValueError(message)
    return text


def _project(text: str) -> str:
    parse_type(text)
    if "-" in text:
        message = "a project's name has no dash"
        raise ValueError(message)
    return text


def _as_outputs(value: Any) -> Any:  # noqa: ANN401
    """`outputs: [a, b]` is short for two floats without a unit."""
    return {name: {} for name in value} if isinstance(value, list) else value


FieldName = Annotated[str, AfterValidator(check_field)]
OwnTypeName = Annotated[str, AfterValidator(_own_name)]
ProjectName = Annotated[str, AfterValidator(_project)]
Version = Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]


class Strict(BaseModel):
    """Base: unknown keys are faults, and nothing is changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Quantity(Strict):
    """What a value may be.

    Attributes:
        unit: Unit by the names of pint, such as `degC`, `W/K`, `m**3/s`; `""` for a pure number.
        range: Smallest and largest permitted value, both inclusive, in `unit`.
        above: Values must be greater.
        below: Values must be smaller.
        choices: The permitted values of a string; a step gets the index into this list.
    """

    type: ScalarType = "float"
    unit: str = ""
    description: str = ""
    range: tuple[float, float] | None = Field(default=None, strict=False)
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        numeric = self.type in {"float", "int"}
        if not numeric and (self.range or self.above is not None or self.below is not None):
            message = f"range, above and below need type float or int, not {self.type}"
            raise ValueError(message)
        if self.range and not (all(map(math.isfinite, self.range)) and self.range[0] <= self.range[1]):
            message = f"range {list(self.range)} must be two finite numbers, the smaller first"
            raise ValueError(message)
        if self.type == "string" and not self.choices:
            message = "type string needs choices: the permitted values"
            raise ValueError(message)
        if self.type != "string" and self.choices:
            message = f"choices need type string, not {self.type}"
            raise ValueError(message)
        return self

    def bounds(self) -> tuple[float, float]:
        """Smallest and largest permitted number, exclusive bounds already narrowed to the next float."""
        low, high = self.range or (-math.inf, math.inf)
        if self.above is not None:
            low = max(low, math.nextafter(self.above, math.inf))
        if self.below is not None:
            high = min(high, math.nextafter(self.below, -math.inf))
        return low, high

    def refusal(self, value: object) -> str:
        """Why `value` is not permitted, `""` when it is."""
        if self.type == "bool":
            return "" if isinstance(value, bool) else f"expected true or false, got {ascii(value)[:60]}"
        if self.type == "string":
            return "" if value in self.choices else f"expected one of {list(self.choices)}, got {ascii(value)[:60]}"
        if isinstance(value, bool) or not isinstance(value, int if self.type == "int" else int | float):
            return f"expected {self.type}, got {ascii(value)[:60]}"
        return self._number_refusal(value)

    def _number_refusal(self, value: float) -> str:
        try:
            number = float(value)
        except OverflowError:
            return f"{ascii(value)[:60]} does not fit a float"
        if not math.isfinite(number):
            return f"{number} is not finite"
        low, high = self.bounds()
        if low <= number <= high:
            return ""
        limit = f"below {self.below}" if self.below is not None and number >= self.below else f"in [{low}, {high}]"
        return f"{value} {self.unit} is not {limit}".replace("  ", " ")

    def encode(self, value: Scalar) -> float:
        """The number a step sees: booleans 0 or 1, strings their index among the choices."""
        return float(self.choices.index(value)) if isinstance(value, str) else float(value)

    def decode(self, number: float) -> Scalar:
        """Undo `encode`."""
        if self.type == "bool":
            return bool(number)
        if self.type == "string":
            return self.choices[int(number)]
        return int(number) if self.type == "int" else float(number)


class Input(Quantity):
    """A measured value that devices send."""

    @model_validator(mode="after")
    def _no_string(self) -> Self:
        if self.type == "string":
            message = "an input is float, int or bool"
            raise ValueError(message)
        return self


class Parameter(Quantity):
    """A constant of one twin, which people change."""

    default: Scalar

    @model_validator(mode="after")
    def _default_fits(self) -> Self:
        if refusal := self.refusal(self.default):
            message = f"default: {refusal}"
            raise ValueError(message)
        return self


class StateField(Strict):
    """One remembered value of a step: a scalar, a vector or a small matrix.

    Attributes:
        shape: Empty for a scalar, else the sizes of one or two axes.
        initial: A number for every element.
    """

    type: Literal["float", "int", "bool"] = "float"
    unit: str = ""
    description: str = ""
    shape: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(default=(), max_length=2, strict=False)
    initial: bool | int | float = 0


class StepOutput(Strict):
    """One result of a step."""

    type: Literal["float", "int", "bool"] = "float"
    unit: str = ""
    description: str = ""


class Step(Strict):
    """One stage of the pipeline.

    Attributes:
        step: `file.py:function` of the folder, or the name of a built-in.
        inputs: Argument to field; an argument that is not named takes the field of its own name.
        config: Constants of a built-in, compiled into it.
        state: What the step remembers between records of one twin.
        outputs: Fields it gives, in the order in which it returns them.
        requests: Request to the function of the folder that carries it out on this step's state.
    """

    name: FieldName
    step: str
    inputs: dict[FieldName, FieldName] = {}
    config: dict[str, Any] = {}
    state: dict[FieldName, StateField] = {}
    outputs: Annotated[dict[FieldName, StepOutput], BeforeValidator(_as_outputs)]
    requests: dict[FieldName, str] = {}

    @model_validator(mode="after")
    def _target(self) -> Self:
        for target in (self.step, *self.requests.values()):
            if not re.fullmatch(r"[A-Za-z0-9_/]+\.py:[A-Za-z_][A-Za-z0-9_]*|[a-z][a-z0-9_]*", target):
                message = f"{target!r} must be file.py:function or the name of a built-in"
                raise ValueError(message)
        return self


class TimeseriesOutput(Strict):
    """What becomes time series: one line per accepted record.

    Attributes:
        fields: Names of outputs or inputs.
        tags: Names of twin tags that go along with the tag `twin`.
    """

    fields: tuple[FieldName, ...] = Field(default=(), strict=False)
    tags: tuple[FieldName, ...] = Field(default=(), strict=False)


class EventOutput(Strict):
    """An event on an edge of a boolean field.

    Attributes:
        when: The boolean field.
        edge: `rising`, `falling` or `both`; before the first record the field counts as false.
        data: Fields that go along.
    """

    when: FieldName
    edge: Literal["rising", "falling", "both"] = "rising"
    severity: Literal["info", "warning", "critical"] = "info"
    data: tuple[FieldName, ...] = Field(default=(), strict=False)


class CommandOutput(Strict):
    """A command whose value follows a field.

    It leaves with a twin's first record, when the value changes, and again with the first record at least
    `refresh_s` of event time after the last command of this name.

    Attributes:
        field: The field whose value is commanded.
        refresh_s: 0 for never.
        expires_s: Time to live, counted from the arrival of the cause.
    """

    field: FieldName
    type: Literal["float", "int", "bool"] = "float"
    unit: str = ""
    range: tuple[float, float] | None = Field(default=None, strict=False)
    refresh_s: Annotated[float, Field(ge=0)] = 0.0
    expires_s: Annotated[float, Field(gt=0)] = 30.0

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.range and not (all(map(math.isfinite, self.range)) and self.range[0] <= self.range[1]):
            message = f"range {list(self.range)} must be two finite numbers, the smaller first"
            raise ValueError(message)
        return self


class Outputs(Strict):
    """What leaves a twin."""

    timeseries: TimeseriesOutput = TimeseriesOutput()
    events: dict[FieldName, EventOutput] = {}
    commands: dict[FieldName, CommandOutput] = {}
    metadata: tuple[FieldName, ...] = Field(default=(), strict=False)


class Argument(Quantity):
    """An argument of a request."""

    required: bool = True


class Request(Strict):
    """Something operators may ask of a twin.

    Attributes:
        sets: Parameter to the argument that it takes its new value from.
    """

    description: str = ""
    arguments: dict[FieldName, Argument] = {}
    sets: dict[FieldName, FieldName] = {}


BUILT_IN_REQUESTS: dict[str, Request] = {
    "reset": Request(description="Start every step anew; parameters and tags stay."),
    "release": Request(description="End a quarantine; the last good state goes on."),
}


class Definition(Strict):
    """A twin type.

    Attributes:
        provision: Whether the first telemetry of an unknown id creates the twin.
        extra: What becomes of a record with undeclared fields.
        missing: What becomes of a record that lacks a declared input.
        late: What becomes of a record older than the twin's last.
        max_ahead_s: How far event time may be ahead of arrival; 0 switches the check off.
    """

    name: OwnTypeName
    project: ProjectName = DEFAULT_PROJECT
    version: Version
    description: str = ""
    provision: Literal["automatic", "declared"] = "automatic"
    extra: Literal["ignore", "deadletter"] = "ignore"
    missing: Literal["deadletter", "hold_last"] = "deadletter"
    late: Literal["drop", "deadletter", "flag"] = "drop"
    max_ahead_s: Annotated[float, Field(ge=0)] = 86400.0
    inputs: Annotated[dict[FieldName, Input], Field(min_length=1)]
    parameters: dict[FieldName, Parameter] = {}
    pipeline: Annotated[tuple[Step, ...], Field(strict=False)] = ()
    outputs: Outputs = Outputs()
    requests: dict[FieldName, Request] = {}

    @property
    def type_name(self) -> TypeName:
        """Project and name."""
        return TypeName(self.project, self.name)

    def fields(self) -> dict[str, StepOutput]:
        """Every output of the pipeline, in order."""
        return {name: output for step in self.pipeline for name, output in step.outputs.items()}

    def request(self, name: str) -> Request | None:
        """A declared or built-in request."""
        return self.requests.get(name) or BUILT_IN_REQUESTS.get(name)

    def unit_of(self, field: str) -> str:
        """Unit of an input or output, `""` when there is none."""
        if field in self.inputs:
            return self.inputs[field].unit
        output = self.fields().get(field)
        return output.unit if output else ""


def wiring_faults(definition: Definition) -> list[tuple[str, str, str]]:
    """Faults between the parts of a definition that are each well-formed.

    Returns:
        Key path, message and remedy of each fault.
    """
    known: dict[str, str] = dict.fromkeys(AMBIENT, "a built-in name")
    faults = _declaration_faults(definition, known)
    steps: set[str] = set()
    for index, step in enumerate(definition.pipeline):
        if step.name in steps:
            faults.append((f"pipeline.{index}.name", f"a second step {step.name}", "step names are unique"))
        steps.add(step.name)
        faults += _step_faults(definition, index, step, known)
    return faults + _output_faults(definition) + _request_faults(definition)


def _declaration_faults(definition: Definition, known: dict[str, str]) -> list[tuple[str, str, str]]:
    """Faults of inputs and parameters; adds their names to `known`."""
    faults = []
    for place, names in (("inputs", definition.inputs), ("parameters", definition.parameters)):
        for name in names:
            if name in RESERVED_FIELDS:
                faults.append((f"{place}.{name}", f"{name} is reserved", "choose another name"))
            if name in known:
                faults.append((f"{place}.{name}", f"{name} is {known[name]} already", "choose another name"))
            known[name] = f"one of {place}"
    return faults


def _step_faults(definition: Definition, index: int, step: Step, known: dict[str, str]) -> list[tuple[str, str, str]]:
    """Faults of one step's names; adds its outputs to `known`."""
    path = f"pipeline.{index}"
    remedy = f"fields known here: {', '.join(sorted(known))}"
    faults = [
        (f"{path}.inputs.{argument}", f"no field {field} before this step", remedy)
        for argument, field in step.inputs.items()
        if field not in known
    ]
    faults += [
        (f"{path}.requests.{request}", f"no request {request}", "declare it under requests")
        for request in step.requests
        if definition.request(request) is None
    ]
    faults += [
        (f"{path}.state.{name}", f"{name} is a word of Python's own", "choose another name")
        for name in step.state
        if keyword.iskeyword(name)
    ]
    for output in step.outputs:
        if output in known or output in RESERVED_FIELDS:
            taken = known.get(output, "a reserved name")
            faults.append((f"{path}.outputs.{output}", f"{output} is {taken} already", "choose another name"))
        known[output] = f"an output of step {step.name}"
    return faults


def _output_faults(definition: Definition) -> list[tuple[str, str, str]]:
    outputs, results = definition.outputs, definition.fields()
    stored = {*results, *definition.inputs}
    remedy = f"fields are: {', '.join(sorted(stored)) or 'none'}"
    wanted = [(f"outputs.timeseries.fields.{i}", f) for i, f in enumerate(outputs.timeseries.fields)]
    wanted += [(f"outputs.metadata.{i}", f) for i, f in enumerate(outputs.metadata)]
    for name, event in outputs.events.items():
        wanted += [(f"outputs.events.{name}.when", event.when)]
        wanted += [(f"outputs.events.{name}.data.{i}", f) for i, f in enumerate(event.data)]
    wanted += [(f"outputs.commands.{name}.field", command.field) for name, command in outputs.commands.items()]
    faults = [(path, f"no field {field}", remedy) for path, field in wanted if field not in stored]
    faults += [
        (f"outputs.events.{name}", f"{name} is an event of twinstream itself", "choose another name")
        for name in outputs.events
        if name in RESERVED_EVENTS
    ]
    for name, event in outputs.events.items():
        declared = results.get(event.when) or definition.inputs.get(event.when)
        if declared is not None and declared.type != "bool":
            faults.append((f"outputs.events.{name}.when", f"{event.when} is {declared.type}", "name a bool field"))
    return faults


def _request_faults(definition: Definition) -> list[tuple[str, str, str]]:
    faults = []
    for name, request in definition.requests.items():
        for parameter, argument in request.sets.items():
            path = f"requests.{name}.sets.{parameter}"
            if parameter not in definition.parameters:
                faults.append((path, f"no parameter {parameter}", "declare it under parameters"))
            if argument not in request.arguments:
                faults.append((path, f"no argument {argument}", f"declare it under requests.{name}.arguments"))
    return faults
