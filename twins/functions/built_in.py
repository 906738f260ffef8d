"""What a built-in step declares: its configuration, arguments, state and outputs."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from schemas.quantity import Strict
from schemas.step import StateField, StepOutput

State: TypeAlias = Any
"""A step's state: a record with attribute access. No Python type can say which fields a definition declares."""

Array: TypeAlias = NDArray[np.float64]
Constant: TypeAlias = bool | int | float | Array


_FOLDER_FUNCTION = r"^[A-Za-z0-9_/]+\.py:[A-Za-z_][A-Za-z0-9_]*$"


def _folder_function(text: str) -> str:
    if not re.match(_FOLDER_FUNCTION, text):
        message = f"{text} must be a function of the folder, written file.py:function"
        raise ValueError(message)
    return text


FolderFunction = Annotated[
    str, AfterValidator(_folder_function), Field(json_schema_extra={"pattern": _FOLDER_FUNCTION})
]
"""A setting that names a function of the twin type's folder, as `file.py:function`."""


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the folder that a built-in calls.

    Attributes:
        target: `file.py:function`.
        arrays: Its first arguments, arrays of floats that the built-in gives, with their number of dimensions. All
            further ones are wired by name like a step's.
    """

    target: str
    arrays: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class BoundStep:
    """A built-in with its configuration applied: what the pipeline compiles and calls.

    The call is positional: the state first if the step has any, then one value for each of `arguments`, then
    `constants` in order. It returns one scalar, or a tuple in the order of `outputs`.

    Attributes:
        function: Plain scalar function of one twin, which numba can compile.
        arguments: Fields that it takes, by the names that `inputs` may map to others.
        outputs: What it returns. A definition names the outputs anew, by position.
        state: What it remembers between records.
        constants: Configuration as the function takes it; arrays are read-only.
        units: By argument or output, the unit that its field must have, where the field's is stated. `{value}` stands
            for the unit of the argument `value`, `{delta value}` for that of differences of it (K for degC); such as
            `{"setpoint": "{value}", "rate": "{delta value}/s"}`. What is not named may have any unit.
        truths: Arguments that are taken for true or false, and so must be booleans.
        names: By output or state, what its numbers from 0 on are called; people are told the name instead.
        places: Where the config names an argument, as a key path within the step, for those that it names.
        calls: Functions of the folder that it calls, by the setting that names them.
        link: Where it calls any, makes the whole step of these functions, by setting; until then `function` raises and
            `arguments` lacks those of the author's functions. Outputs and state are known without them.
    """

    function: Callable[..., Any]
    arguments: tuple[str, ...]
    outputs: dict[str, StepOutput]
    state: dict[str, StateField] = field(default_factory=dict)
    constants: dict[str, Constant] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    truths: tuple[str, ...] = ()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    calls: Mapping[str, Call] = field(default_factory=dict)
    link: "Callable[[Mapping[str, Callable[..., Any]]], BoundStep] | None" = None


class NoConfig(Strict):
    """For a step without settings."""


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """One built-in step.

    Attributes:
        name: What `step:` in a `twin.yaml` says.
        config: Model of its `config:`; `make` gets an instance of it.
        make: Applies a configuration.
        doc: Formula, units and source, for people; a docstring.
        example: A usual `config:`, which the reference of functions shows.
    """

    name: str
    config: type[Strict]
    make: Callable[[Any], BoundStep]
    doc: str
    example: Mapping[str, Any] = field(default_factory=dict)

    def bind(self, config: Mapping[str, Any]) -> BoundStep:
        """Check and apply the `config:` of a definition.

        Raises:
            pydantic.ValidationError: with every fault of `config`.
        """
        return self.make(self.config.model_validate(dict(config)))


def constant_array(values: Any) -> Array:  # noqa: ANN401
    """A read-only float array, so that the compiler may treat it as a constant."""
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array
