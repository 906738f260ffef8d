"""A twin type's definition: the model behind `twin.yaml`."""

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from schemas.names import DEFAULT_PROJECT, TypeName, check_field, parse_type
from schemas.quantity import Argument, Input, Parameter, Strict

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
    if not isinstance(value, list):
        return value
    if not all(isinstance(name, str) for name in value):
        message = "a list of outputs is one of names"
        raise ValueError(message)
    if twice := sorted({name for name in value if value.count(name) > 1}):
        message = f"{', '.join(twice)} named twice"
        raise ValueError(message)
    return {name: {} for name in value}


FieldName = Annotated[str, AfterValidator(check_field)]
OwnTypeName = Annotated[str, AfterValidator(_own_name)]
ProjectName = Annotated[str, AfterValidator(_project)]
Version = Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]


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
    inputs: dict[FieldName, FieldName] = Field(default_factory=dict)
    config: dict[str, Any] = Field(default_factory=dict)
    state: dict[FieldName, StateField] = Field(default_factory=dict)
    outputs: Annotated[dict[FieldName, StepOutput], BeforeValidator(_as_outputs)]
    requests: dict[FieldName, str] = Field(default_factory=dict)

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
    refresh_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    expires_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.range and not (all(map(math.isfinite, self.range)) and self.range[0] <= self.range[1]):
            message = f"range {list(self.range)} must be two finite numbers, the smaller first"
            raise ValueError(message)
        return self


class Outputs(Strict):
    """What leaves a twin."""

    timeseries: TimeseriesOutput = TimeseriesOutput()
    events: dict[FieldName, EventOutput] = Field(default_factory=dict)
    commands: dict[FieldName, CommandOutput] = Field(default_factory=dict)
    metadata: tuple[FieldName, ...] = Field(default=(), strict=False)


class Request(Strict):
    """Something operators may ask of a twin.

    Attributes:
        sets: Parameter to the argument that it takes its new value from.
    """

    description: str = ""
    arguments: dict[FieldName, Argument] = Field(default_factory=dict)
    sets: dict[FieldName, FieldName] = Field(default_factory=dict)


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
    max_ahead_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 86400.0
    inputs: Annotated[dict[FieldName, Input], Field(min_length=1)]
    parameters: dict[FieldName, Parameter] = Field(default_factory=dict)
    pipeline: Annotated[tuple[Step, ...], Field(strict=False)] = ()
    outputs: Outputs = Outputs()
    requests: dict[FieldName, Request] = Field(default_factory=dict)

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
