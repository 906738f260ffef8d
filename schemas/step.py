"""One stage of a twin type's pipeline, as `twin.yaml` declares it."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

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
