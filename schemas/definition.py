"""A twin type's definition: the model behind `twin.yaml`."""

import re
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from schemas.errors import InvalidNameError
from schemas.names import DEFAULT_PROJECT, TypeName, check_field, check_twin_id, parse_type
from schemas.outputs import Outputs
from schemas.quantity import Argument, FieldName, Input, Parameter, Strict
from schemas.step import Step, StepOutput

SHORTEST_TICK_S = 0.05
LONGEST_TICK_S = 86400.0
LONGEST_REORDER_S = 3600.0

AMBIENT = {"dt_s": "s", "time_s": "s", "time_ns": "ns", "records": "1", "random_seed": "1"}
"""Names that every step may take without anybody declaring them, with their units.

`dt_s`: event time since the twin's previous accepted record (0 for the first, and for a late one that is flagged);
`time_s` and `time_ns`: event time since the Unix epoch, as a float and as an exact integer; `records`: records accepted
so far, this one included; `random_seed`: for `twins.functions.random`, of the twin, the record's offset and the step.

On a tick event time is the tick's, and the twin's own does not move; `dt_s` is the time since the previous tick, or for
a step that runs on both since the latest of both, 0 where there was none.
"""

AMBIENT_MEANINGS = {
    "dt_s": "event time since the previous record, in s",
    "time_s": "event time since 1970, in s",
    "time_ns": "event time since 1970, in ns",
    "records": "records accepted so far",
    "random_seed": "for random numbers",
}


def _own_name(text: str) -> str:
    name = parse_type(text)
    if name.project != DEFAULT_PROJECT:
        message = "the project is a field of its own, not a prefix of the name"
        raise ValueError(message)
    return text


def outside_field(name: str) -> str:
    """The field that says whether an input was outside its limits."""
    return f"{name}_outside"


def stale_field(name: str) -> str:
    """The field that says whether an input is too old."""
    return f"{name}_stale"


def _tick_period(seconds: float) -> float:
    if seconds and not SHORTEST_TICK_S <= seconds <= LONGEST_TICK_S:
        message = f"tick_s is 0 for no ticks, or from {SHORTEST_TICK_S:g} to {LONGEST_TICK_S:g} s"
        raise ValueError(message)
    return seconds


def _project(text: str) -> str:
    parse_type(text)
    if "-" in text:
        message = "a project's name has no dash"
        raise ValueError(message)
    return text


def _version(text: str) -> str:
    if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", text):
        message = f"expected three numbers with dots between them, got {ascii(text)[:60]}"
        raise PydanticCustomError("version", "{message}", {"message": message, "remedy": three_numbers(text)})
    return text


def three_numbers(text: str) -> str:
    """What to write for a version that is none."""
    parts = re.findall("[0-9]{1,9}", text) if re.match(r"v?[0-9]", text) else ["1"]
    return f"write three numbers: {'.'.join([*parts, '0', '0'][:3])}"


def _state_path(text: str) -> str:
    step, dot, name = text.partition(".")
    if not dot:
        message = f"{ascii(text)[:60]} must be a step and its state, with a dot between them"
        raise ValueError(message)
    check_field(step, "step")
    check_field(name, "state")
    return text


_AsName = WithJsonSchema({"type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$"})
OwnTypeName = Annotated[str, AfterValidator(_own_name), _AsName]
ProjectName = Annotated[str, AfterValidator(_project), _AsName]
Version = Annotated[str, AfterValidator(_version), WithJsonSchema({"type": "string", "pattern": r"^\d+\.\d+\.\d+$"})]


class Request(Strict):
    """Something operators may ask of a twin.

    Attributes:
        description: What it is for, for people.
        arguments: Argument to what it may be.
        sets: Parameter to the argument that it takes its new value from.
    """

    description: str = ""
    arguments: dict[FieldName, Argument] = Field(default_factory=dict)
    sets: dict[FieldName, FieldName] = Field(default_factory=dict)


_StatePath = Annotated[
    str,
    AfterValidator(_state_path),
    WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9_]*\.[A-Za-z][A-Za-z0-9_]*$"}),
]


class Migration(Strict):
    """How this version goes on from an earlier one where names differ; what is called alike goes on by itself.

    A line whose old name the version in force does not have is refused by `deploy`, unless the new name is there
    already: then it counts as carried out, whatever it names as the old one, and does nothing; so does a line that the
    version in force has, too. A rollback takes the names back.

    Attributes:
        state: State of a step, `step.field`, to what it was called before, `step.field`.
        parameters: Parameter to what it was called before.
    """

    state: dict[_StatePath, _StatePath] = Field(default_factory=dict)
    parameters: dict[FieldName, FieldName] = Field(default_factory=dict)


BUILT_IN_REQUESTS: dict[str, Request] = {
    "reset": Request(description="Start every step anew; parameters and tags stay."),
    "release": Request(description="End a quarantine; the last good state goes on."),
}


class Definition(Strict):
    """A twin type.

    Attributes:
        name: Of the type: small letters, digits and underscores.
        project: Keeps types of the same name apart.
        version: Three numbers, such as 1.0.0.
        description: What it is the twin of, for people.
        provision: Whether the first telemetry of an unknown id creates the twin.
        extra: What becomes of a record with undeclared fields.
        missing: What becomes of a record that lacks a declared input.
        late: What becomes of a record older than the twin's last. With `flag` it is stepped (`dt_s` is 0) and stored at
            its own time. Does it bring an input of which a later value is known, it is outdated: this input and all
            outputs stay what they were, and it leads to no command, no document and no event but those of `edge: each`;
            what steps keep goes on with it, and its other inputs count from the next record or tick on. Else it counts
            like any other, at the twin's time.
        reorder_s: So long a record waits for earlier ones of its twin, in event time, before it is stepped: those that
            come out of order by less are stepped in order. Twins fall back by as much; a record waits until one later
            by this comes, or a tick tells that it arrived so long ago, so that ticks are needed. What comes later still
            is late. Requests and parameters wait for nothing, and a switch to another version lets everything go.
        max_ahead_s: How far event time may be ahead of arrival; 0 switches the check off.
        tick_s: Period of ticks, which step the twins while nothing arrives; 0 for none.
        expected_rate_hz: Messages per second that a device without a counter sends, for the loss account; 0: not known.
        inputs: What devices send, by field.
        parameters: Constants of each twin, which people change.
        pipeline: The steps, in the order in which each record passes them.
        outputs: What leaves a twin.
        requests: What operators may ask of a twin.
        migration: How this version goes on from an earlier one where names differ.
    """

    name: OwnTypeName
    project: ProjectName = DEFAULT_PROJECT
    version: Version
    description: str = ""
    provision: Literal["automatic", "declared"] = "automatic"
    extra: Literal["ignore", "deadletter"] = "ignore"
    missing: Literal["deadletter", "hold_last"] = "deadletter"
    late: Literal["drop", "deadletter", "flag"] = "drop"
    reorder_s: Annotated[float, Field(ge=0, le=LONGEST_REORDER_S, allow_inf_nan=False)] = 0.0
    max_ahead_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 86400.0
    tick_s: Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(_tick_period)] = 0.0
    expected_rate_hz: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 0.0
    inputs: Annotated[dict[FieldName, Input], Field(min_length=1)]
    parameters: dict[FieldName, Parameter] = Field(default_factory=dict)
    pipeline: Annotated[tuple[Step, ...], Field(strict=False)] = ()
    outputs: Outputs = Outputs()
    requests: dict[FieldName, Request] = Field(default_factory=dict)
    migration: Migration = Migration()

    @property
    def type_name(self) -> TypeName:
        """Project and name."""
        return TypeName(self.project, self.name)

    @property
    def steps_on_ticks(self) -> bool:
        """Whether any step runs on ticks."""
        return bool(self.tick_s) and any(step.runs_on != "records" for step in self.pipeline)

    def implied(self) -> dict[str, StepOutput]:
        """Fields that inputs bring along: `X_outside` and `X_stale`."""
        found = {}
        for name, declared in self.inputs.items():
            if declared.outside != "refuse":
                found[outside_field(name)] = StepOutput(type="bool", description=f"{name} was outside its limits")
            if declared.max_age_s is not None:
                found[stale_field(name)] = StepOutput(type="bool", description=f"{name} is too old")
        return found

    def fields(self) -> dict[str, StepOutput]:
        """Every field that is no input: what inputs bring along, then every output of the pipeline, in order."""
        return self.implied() | {name: output for step in self.pipeline for name, output in step.outputs.items()}

    @cached_property
    def stale_inputs(self) -> tuple[str, ...]:
        """Inputs that grow stale."""
        return tuple(name for name, declared in self.inputs.items() if declared.max_age_s is not None)

    @property
    def takes_late(self) -> bool:
        """Whether late records are stepped."""
        return self.late == "flag"

    @cached_property
    def timed_inputs(self) -> tuple[str, ...]:
        """Inputs of which it counts when each had its latest value."""
        return tuple(self.inputs) if self.times_each else self.stale_inputs

    @property
    def times_each(self) -> bool:
        """Whether a late record may bring an input of which no later value is known."""
        return self.takes_late and self.missing == "hold_last"

    @property
    def leaves_untold(self) -> bool:
        """Whether an outdated record may change what the twin's document says."""
        return self.times_each and any(name in self.inputs for name in self.outputs.metadata)

    @cached_property
    def has_status(self) -> bool:
        """Whether twins of the type may be stale or drifting."""
        status = self.outputs.status
        return bool(self.stale_inputs or status.drifting or status.stale)

    @cached_property
    def texts(self) -> dict[str, Parameter]:
        """Parameters that are any text, which steps don't see."""
        return {name: parameter for name, parameter in self.parameters.items() if parameter.is_text}

    @cached_property
    def numbers(self) -> dict[str, Parameter]:
        """Parameters that steps see, each as a number."""
        return {name: parameter for name, parameter in self.parameters.items() if not parameter.is_text}

    def parameter_refusal(self, name: str, value: object) -> str:
        """Why a declared parameter can't have a value, `""` when it can."""
        refusal = self.parameters[name].refusal(value)
        if refusal or not value or name not in self.texts:
            return refusal
        if any(route.id == name for route in self.outputs.routes().values()):
            try:
                check_twin_id(str(value))
            except InvalidNameError as error:
                return str(error)
        return ""

    def request(self, name: str) -> Request | None:
        """A declared or built-in request."""
        return self.requests.get(name) or BUILT_IN_REQUESTS.get(name)

    def unit_of(self, field: str) -> str:
        """Unit of an input, an output, a parameter or an ambient name; `""` when none is stated."""
        if field in AMBIENT:
            return AMBIENT[field]
        declared: Input | Parameter | StepOutput | None
        declared = self.inputs.get(field) or self.fields().get(field) or self.parameters.get(field)
        return declared.unit if declared else ""
