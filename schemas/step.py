"""One stage of a twin type's pipeline, as `twin.yaml` declares it."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from schemas.quantity import FieldName, Strict


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


class StateField(Strict):
    """One remembered value of a step: a scalar, a vector or a small matrix.

    Attributes:
        type: Of each element.
        unit: Unit by the names of pint.
        description: What it is, for people.
        shape: Empty for a scalar, else the sizes of one or two axes.
        initial: A number for every element.
    """

    type: Literal["float", "int", "bool"] = "float"
    unit: str = ""
    description: str = ""
    shape: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(default=(), max_length=2, strict=False)
    initial: bool | int | float = 0


class StepOutput(Strict):
    """One result of a step.

    Attributes:
        type: What the step's result is taken as.
        unit: Unit by the names of pint; `""` when it is not stated.
        description: What it is, for people.
    """

    type: Literal["float", "int", "bool"] = "float"
    unit: str = ""
    description: str = ""


class Converted(Strict):
    """A field, converted before a step gets it; a float.

    Attributes:
        field: The field.
        to: Unit that the step gets it in.
    """

    field: FieldName
    to: Annotated[str, Field(min_length=1)]


class Previous(Strict):
    """What a field was with the twin's previous record, so that a step may depend on a later one.

    Attributes:
        previous: An input or an output of any step. Where there is none yet, at first and after a reset, it is 0 or
            false.
    """

    previous: FieldName


def _kind(value: Any) -> str:  # noqa: ANN401
    # None of these is a key of the file: pydantic puts them into the places of faults.
    if isinstance(value, Previous) or (isinstance(value, dict) and "previous" in value):
        return "of before"
    return "converted" if isinstance(value, dict | Converted) else "field"


Wire = Annotated[
    Annotated[FieldName, Tag("field")] | Annotated[Converted, Tag("converted")] | Annotated[Previous, Tag("of before")],
    Discriminator(_kind),
]
"""Where an argument comes from: a field as it is, converted, or as it was with the previous record."""


def _meant(text: str) -> str:
    """What to write for a target that is none."""
    found = re.fullmatch(r"([A-Za-z0-9_/]+?)(?:\.py)?[.:]([A-Za-z_][A-Za-z0-9_]*)(?:\(\))?", text)
    if found:
        return f"write {found[1]}.py:{found[2]}"
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])|[ -]+", "_", text).lower()
    return f"write {plain}" if re.fullmatch("[a-z][a-z0-9_]*", plain) else "write such as steps.py:clean, or pid"


def _target(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_/]+\.py:[A-Za-z_][A-Za-z0-9_]*|[a-z][a-z0-9_]*", text):
        message = f"{ascii(text)[:100]} must be file.py:function or the name of a built-in"
        raise PydanticCustomError("target", "{message}", {"message": message, "remedy": _meant(text)})
    return text


Target = Annotated[str, AfterValidator(_target)]
"""A function."""


class StepLimits(Strict):
    """How much a step may use before its twin goes into quarantine.

    Attributes:
        time_s: Of a step with `compiled: false`: seconds of computing or waiting in one call.
        memory_mb: Of a step with `compiled: false`: MiB of memory beyond what importing the type's modules took.
        iterations: Of a compiled step: rounds of the loops of a function in one call of it.
    """

    time_s: Annotated[float, Field(gt=0.0, le=60.0)] = 0.25
    memory_mb: Annotated[float, Field(gt=0.0)] = 256.0
    iterations: Annotated[int, Field(ge=1)] = 1_000_000


class Step(Strict):
    """One stage of the pipeline.

    Attributes:
        name: Of the step, unique in the pipeline.
        step: `file.py:function` of the folder, or the name of a built-in.
        inputs: Argument to field, to `{field: F, to: UNIT}` for a converted one, or to `{previous: F}` for its value
            with the previous record; an argument that is not named takes the field of its own name.
        expects: Argument to the unit that the function of the folder takes it in; a field of another unit is a fault.
        runs_on: Whether it runs on every record, on every tick or on both; on a tick only when every field that it
            takes has a value.
        config: Constants of a built-in, compiled into it.
        state: What the step remembers between records of one twin.
        outputs: Fields it gives, in the order in which it returns them.
        compiled: False for a function of the folder that can't be compiled: it runs as plain Python, record by record.
        limits: How much it may use before its twin goes into quarantine.
        requests: Request to the function of the folder that carries it out on this step's state.
    """

    name: FieldName
    step: Target
    inputs: dict[FieldName, Wire] = Field(default_factory=dict)
    expects: dict[FieldName, str] = Field(default_factory=dict)
    runs_on: Literal["records", "ticks", "both"] = "records"
    config: dict[str, Any] = Field(default_factory=dict)
    state: dict[FieldName, StateField] = Field(default_factory=dict)
    outputs: Annotated[
        dict[FieldName, StepOutput],
        BeforeValidator(_as_outputs, json_schema_input_type=dict[FieldName, StepOutput] | list[FieldName]),
    ]
    compiled: bool = True
    limits: StepLimits = Field(default_factory=StepLimits)
    requests: dict[FieldName, Target] = Field(default_factory=dict)

    def field_of(self, argument: str) -> str:
        """The field that an argument takes, be it converted or of the previous record."""
        wire = self.inputs.get(argument, argument)
        if isinstance(wire, Previous):
            return wire.previous
        return wire.field if isinstance(wire, Converted) else wire
