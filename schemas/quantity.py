"""What one declared value may be: its type, unit and limits; inputs, parameters and arguments of requests are such."""

import math
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from schemas.docstrings import attributes, summary
from schemas.names import FIELD_PATTERN, check_field

ScalarType = Literal["float", "int", "bool", "string"]
Scalar = bool | int | float | str
FieldName = Annotated[
    str, AfterValidator(check_field), WithJsonSchema({"type": "string", "pattern": FIELD_PATTERN, "maxLength": 128})
]


class Strict(BaseModel):
    """Base: unknown keys are faults, and nothing is changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A JSON Schema that tells what the docstrings tell."""
        found = handler(core_schema)
        schema = handler.resolve_ref_schema(found)
        schema["description"] = summary(cls.__doc__ or "")
        said = attributes(cls)
        keys = schema.get("properties", {})
        for name, field in cls.model_fields.items():
            key = field.alias or name
            if name in said and key in keys:
                keys[key]["description"] = said[name]
        return found


TEXT_LENGTH = 64
"""Most characters of a parameter that is a text without choices; a twin id has no more."""


class Quantity(Strict):
    """What a value may be.

    Attributes:
        type: `float`, `int`, `bool` or `string`; a string is one of `choices`, a parameter also any text.
        unit: Unit by the names of pint, such as `degC`, `W/K`, `m**3/s`; `""` when it is not stated.
        description: What it is, for people.
        range: Smallest and largest permitted value, both inclusive, in `unit`.
        above: Values must be greater.
        below: Values must be smaller.
        choices: The permitted values of a string; a step gets the index into this list.
    """

    _free_text: ClassVar[bool] = False

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
        if self.is_text and not self._free_text:
            message = "type string needs choices: the permitted values"
            raise ValueError(message)
        if self.type != "string" and self.choices:
            message = f"choices need type string, not {self.type}"
            raise ValueError(message)
        return self

    @property
    def is_text(self) -> bool:
        """Whether it is any text, which has no number for steps."""
        return self.type == "string" and not self.choices

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
            return "" if isinstance(value, bool) else f"expected true or false, got {repr(value)[:60]}"
        if self.is_text:
            fits = isinstance(value, str) and len(value) <= TEXT_LENGTH and value.isprintable()
            return "" if fits else f"expected a text of at most {TEXT_LENGTH} characters, got {repr(value)[:80]}"
        if self.type == "string":
            return "" if value in self.choices else f"expected one of {list(self.choices)}, got {repr(value)[:60]}"
        if isinstance(value, bool) or not isinstance(value, int if self.type == "int" else int | float):
            return f"expected {self.type}, got {repr(value)[:60]}"
        return self._number_refusal(value)

    def _number_refusal(self, value: float) -> str:
        try:
            number = float(value)
        except OverflowError:
            return f"{repr(value)[:60]} does not fit a float"
        if not math.isfinite(number):
            return f"{number} is not finite"
        low, high = self.bounds()
        if low <= number <= high:
            return ""
        if self.below is not None and number >= self.below:
            limit = f"below {self.below}"
        elif self.above is not None and number <= self.above:
            limit = f"above {self.above}"
        else:
            limit = f"in [{low}, {high}]"
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
    """A measured value that devices send.

    Attributes:
        outside: What a value outside `range`, `above` and `below` means: `refuse` makes the record a dead letter,
            `clamp` takes the nearest permitted value, `flag` takes it as it is. With the latter two there is a boolean
            field `X_outside` beside the input X.
        max_age_s: With it there is a boolean field `X_stale` beside the input X: event time, or that of a tick, is
            later than the last value that came of it by more than this.
        default: What it counts as until its first value comes, where a record may come without it
            (`missing: hold_last`).
    """

    outside: Literal["refuse", "clamp", "flag"] = "refuse"
    max_age_s: Annotated[float, Field(gt=0, le=86400 * 366, allow_inf_nan=False)] | None = None
    default: Scalar | None = None

    @model_validator(mode="after")
    def _no_string(self) -> Self:
        if self.type == "string":
            message = "an input is float, int or bool"
            raise ValueError(message)
        if self.outside != "refuse" and not any(map(math.isfinite, self.bounds())):
            message = f"outside: {self.outside} needs range, above or below"
            raise ValueError(message)
        low, high = self.limits()
        if self.outside == "clamp" and low > high:
            message = f"outside: clamp needs a permitted value, and none is in {list(self.bounds())}"
            raise ValueError(message)
        if self.default is not None and (refusal := self.refusal(self.default)):
            message = f"default: {refusal}"
            raise ValueError(message)
        return self

    def limits(self) -> tuple[float, float]:
        """Smallest and largest permitted number of the type: of an int whole ones."""
        low, high = self.bounds()
        if self.type != "int":
            return low, high
        return (math.ceil(low) if math.isfinite(low) else low, math.floor(high) if math.isfinite(high) else high)


class Parameter(Quantity):
    """A constant of one twin, which people change.

    A string without choices is any text of at most 64 characters: it can name the target of a route, and no step sees
    it.

    Attributes:
        default: What it is for a twin that was never given another value.
    """

    _free_text: ClassVar[bool] = True

    default: Scalar

    @model_validator(mode="after")
    def _default_fits(self) -> Self:
        if refusal := self.refusal(self.default):
            message = f"default: {refusal}"
            raise ValueError(message)
        return self


class Argument(Quantity):
    """An argument of a request.

    A string without choices is any text of at most 64 characters: it can set such a parameter, and functions that carry
    the request out get it as text.

    Attributes:
        required: Whether a request without it is refused.
    """

    _free_text: ClassVar[bool] = True

    required: bool = True
