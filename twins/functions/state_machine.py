"""A state machine: named states, guarded transitions between them, and the values that each state gives."""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, WithJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

from schemas.expression import Condition, parse_condition
from schemas.quantity import FieldName, Strict
from schemas.step import StateField, StepOutput
from twins.functions.built_in import BoundStep, BuiltIn
from twins.functions.generated import check_arguments, function_from
from twins.functions.ranges import LARGEST
from twins.functions.state_machine_faults import machine_faults
from twins.functions.state_machine_source import SCOPE, MachineSource, machine_source

EVERY_OTHER = "*"
"""In place of the names of states: every state but the one that the transition leads to."""

OWN_NAMES = ("elapsed_s", "records_in_state")
"""What a guard may use besides fields."""

LONGEST_S = 1e9
WHOLE_LIMIT = 2**53
"""Whole numbers up to here are exact floats, which rows hold."""


def _as_states(value: Any) -> Any:  # noqa: ANN401
    """`from: heating` is short for `from: [heating]`."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _as_duration(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, str):
        check_arguments((value,), taken=("state", *OWN_NAMES))
    elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_S:
        message = f"must be seconds from 0 to {LONGEST_S:g}, or the name of a field that has them"
        raise ValueError(message)
    return value


def _as_guard(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, bool):  # YAML reads `when: true` so
        return str(value).lower()
    if not isinstance(value, str):
        message = "must be a condition such as `temperature > 40 and not lid_open`"
        raise ValueError(message)  # noqa: TRY004 - a fault of the definition
    condition = parse_condition(value)
    check_arguments(condition.names, taken={"state"})
    if numbers := [name for name in condition.truths if name in OWN_NAMES]:
        message = f"{numbers[0]} is a number, not a condition: compare it with something"
        raise ValueError(message)
    return value


def _as_value(value: Any) -> Any:  # noqa: ANN401
    limit = WHOLE_LIMIT if isinstance(value, int) else LARGEST
    if not isinstance(value, bool | int | float) or not -limit <= value <= limit:
        message = "must be true, false or a number"
        raise ValueError(message)
    return value


# Not minimum lengths of the fields: those would count a faulty item as none and report a second fault.
def _some(items: tuple[Any, ...]) -> tuple[Any, ...]:
    return _at_least(items, 1)


def _several(items: tuple[Any, ...]) -> tuple[Any, ...]:
    return _at_least(items, 2)


def _at_least(items: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    if len(items) < count:
        message = f"name at least {count}"
        raise ValueError(message)
    return items


Names = Annotated[
    tuple[str, ...],
    BeforeValidator(_as_states),
    AfterValidator(_some),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Guard = Annotated[str, BeforeValidator(_as_guard), WithJsonSchema({"type": ["string", "boolean"]})]
Duration = Annotated[float | str, BeforeValidator(_as_duration), WithJsonSchema({"type": ["number", "string"]})]
Value = Annotated[Any, BeforeValidator(_as_value), WithJsonSchema({"type": ["boolean", "number"]})]


class Transition(Strict):
    """A way from one state to another.

    Attributes:
        from_: `from`: a state, a list of them, or `"*"` for every state but `to`.
        to: The state that it leads to; one of `from` begins that state anew.
        when: A condition over fields, `elapsed_s` and `records_in_state`; true unless given.
        after_s: It waits until the state is so many seconds old, by event time: a number, or the name of a field whose
            value counts as it is when the state is entered.
    """

    from_: Annotated[Names, Field(alias="from")]
    to: str
    when: Guard = "true"
    after_s: Duration = 0.0

    @property
    def guard(self) -> Condition:
        """`when` as a checked condition."""
        return parse_condition(self.when)

    def leaves(self, state: str) -> bool:
        """Whether it leads away from a state."""
        return state in self.from_ or (self.from_ == (EVERY_OTHER,) and state != self.to)


class StateMachineConfig(Strict):
    """Settings of `state_machine`.

    Attributes:
        states: Names of the states. Steps, conditions and time series have the index into this list, the API, documents
            and the data of events the name.
        initial: Where a twin begins; the first of `states` unless given.
        transitions: In order of priority.
        values: State to its values, such as `heating: {heater: true}`: each name becomes an output. A value that a
            state does not name is `false`, or 0 for a number.
        report: Further outputs: whether this record led to a state (`changed`), seconds since then (`elapsed_s`), and
            the records (`records_in_state`).
    """

    states: Annotated[tuple[FieldName, ...], Field(max_length=64, strict=False), AfterValidator(_several)]
    initial: str | None = None
    transitions: Annotated[tuple[Transition, ...], Field(max_length=256, strict=False), AfterValidator(_some)]
    values: dict[str, dict[FieldName, Value]] = Field(default_factory=dict)
    report: Annotated[
        tuple[Literal["changed", "elapsed_s", "records_in_state"], ...], Field(max_length=3, strict=False)
    ] = ()

    @property
    def timed(self) -> bool:
        """Whether anything depends on how long a state lasts; only then the row keeps its time."""
        return any(way.after_s or "elapsed_s" in way.guard.names for way in self.transitions) or (
            "elapsed_s" in self.report
        )

    @property
    def counted(self) -> bool:
        """Whether anything depends on the number of records in a state; only then the row keeps it."""
        return "records_in_state" in (*self.report, *(name for way in self.transitions for name in way.guard.names))

    @property
    def begin(self) -> str:
        """The state that a twin begins in."""
        return self.states[0] if self.initial is None else self.initial


class _Names(NamedTuple):
    """Names that a machine reads: all of them, those that must be booleans, and where each stands."""

    arguments: tuple[str, ...]
    truths: tuple[str, ...]
    places: dict[str, str]


def _names(config: StateMachineConfig) -> _Names:
    truths: dict[str, None] = {}
    places: dict[str, str] = {}
    for index, transition in enumerate(config.transitions):
        truths |= dict.fromkeys(transition.guard.truths)
        for name in transition.guard.names:
            places.setdefault(name, f"config.transitions.{index}.when")
        if isinstance(transition.after_s, str):
            places.setdefault(transition.after_s, f"config.transitions.{index}.after_s")
    read = [name for name in places if name not in OWN_NAMES]
    if config.timed and "time_ns" not in read:
        read.append("time_ns")
    return _Names(tuple(read), tuple(truths), places)


def _typed_values(config: StateMachineConfig) -> dict[str, tuple[str, tuple[bool | int | float, ...]]]:
    """Type and value in every state of each value."""
    found: dict[str, tuple[str, tuple[bool | int | float, ...]]] = {}
    for name in dict.fromkeys(name for values in config.values.values() for name in values):
        given = [config.values.get(state, {}).get(name) for state in config.states]
        if any(isinstance(value, bool) for value in given):
            found[name] = "bool", tuple(bool(value) for value in given)
        elif any(isinstance(value, float) for value in given):
            found[name] = "float", tuple(float(value or 0) for value in given)
        else:
            found[name] = "int", tuple(int(value or 0) for value in given)
    return found


def _make(config: StateMachineConfig) -> BoundStep:
    """Be in one of several states, and go from one to another as guarded transitions say.

    With each record at most one transition is taken: of those that leave the present state, in the order in which they
    are declared, the first whose condition `when` is true and whose `after_s` is over. The outputs are those of the
    state that the record leads to (a Moore machine, so that they hold as long as the state does):

        state(k) = to of the first transition from state(k - 1) that is enabled at record k, else state(k - 1);
        outputs(k) = values of state(k).

    A state's time begins with the record that led to it, the initial one's with the first record. It is event time in
    whole nanoseconds: `after_s: 20` is over with a record exactly 20 s later, and a late record turns no time back.
    `elapsed_s` is that time as a float, `records_in_state` the number of records (for a step that runs on ticks: of
    those) that found the machine in this state, the present one included.
    Source: transitions with guards and timeouts of statecharts, D. Harel, Science of Computer Programming 8 (1987)
    231-274; one transition a record, in order of priority, as the transitions of IEC 61131-3 sequential function charts
    are evaluated once a cycle.

    Outputs are the state's index in `states`, then the values in order of appearance, then what `report` names.
    """
    if faults := machine_faults(config.states, config.begin, config.transitions, config.values):
        lines = [
            InitErrorDetails(
                type=PydanticCustomError("state_machine", "{message}", {"message": message, "remedy": remedy}),
                loc=place,
                input=None,
            )
            for place, message, remedy in faults
        ]
        raise ValidationError.from_exception_data("state_machine", lines)
    names, values = _names(config), _typed_values(config)
    source = machine_source(
        MachineSource(
            arguments=names.arguments,
            ways={
                index: [
                    (config.states.index(way.to), way.guard.source(_local), way.after_s, _fault(state, way))
                    for way in config.transitions
                    if way.leaves(state)
                ]
                for index, state in enumerate(config.states)
            },
            initial=config.states.index(config.begin),
            values=[column for _, column in values.values()],
            report=config.report,
            timed=config.timed,
            counted=config.counted,
        )
    )
    kinds: dict[str, Literal["bool", "int", "float"]] = {
        "changed": "bool",
        "elapsed_s": "float",
        "records_in_state": "int",
    }
    shown = ", ".join(f"{index} {state}" for index, state in enumerate(config.states))
    outputs = {"state": StepOutput(type="int", description=shown)}
    outputs |= {name: StepOutput(type=kind) for name, (kind, _) in values.items()}  # type: ignore[arg-type]
    outputs |= {name: StepOutput(type=kinds[name]) for name in config.report}
    return BoundStep(
        function=function_from(source, "state_machine", SCOPE),
        arguments=names.arguments,
        outputs=outputs,
        state=_state(config, shown),
        units={argument: "s" for waits in _waits(config).values() for argument in waits}
        | {name: "s" for name in config.report if name == "elapsed_s"},
        truths=names.truths,
        names={"state": config.states},
        places=names.places,
    )


def _state(config: StateMachineConfig, shown: str) -> dict[str, StateField]:
    """What a row keeps of a machine."""
    state = {"state": StateField(type="int", description=shown, initial=config.states.index(config.begin))}
    if config.timed:
        state["started"] = StateField(type="bool")
        state |= {name: StateField(type="int", unit="ns") for name in ("entered_ns", "latest_ns")}
    if config.counted:
        state["records"] = StateField(type="int", unit="1")
    if timers := max(len(waits) for waits in _waits(config).values()):
        state["waits_ns"] = StateField(type="int", unit="ns", shape=(timers,))
    return state


def _waits(config: StateMachineConfig) -> dict[str, list[str]]:
    """Of each state, the fields whose values are taken when it is entered."""
    return {
        state: [way.after_s for way in config.transitions if way.leaves(state) and isinstance(way.after_s, str)]
        for state in config.states
    }


def _fault(state: str, way: Transition) -> str:
    """What a condition that divides raises when that is by zero, `""` for any other."""
    text = " ".join(way.when.split())
    return f"the transition from {state} to {way.to} divides by zero: {text}" if way.guard.divides else ""


def _local(name: str) -> str:
    """Fields are arguments; the machine's own names have an underscore, which no field has."""
    return f"_{name}" if name in OWN_NAMES else name


EXAMPLE = {
    "states": ["idle", "filling"],
    "transitions": [
        {"from": "idle", "to": "filling", "when": "level < 1.8"},
        {"from": "filling", "to": "idle", "when": "level > 2.2", "after_s": 10},
    ],
    "values": {"filling": {"pump": True}},
}

BUILT_IN = BuiltIn("state_machine", StateMachineConfig, _make, _make.__doc__ or "", EXAMPLE)
