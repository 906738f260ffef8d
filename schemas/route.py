"""From twin to twin: where what leaves a twin goes besides, and what it says there."""

from typing import Annotated

from pydantic import AfterValidator, Field

from schemas.names import RESERVED_FIELDS, parse_type
from schemas.quantity import FieldName, Strict


def _type(text: str) -> str:
    return str(parse_type(text))


def _target_input(name: str) -> str:
    if name in RESERVED_FIELDS:
        message = f"{name} is no input: a routed record has the time of its cause"
        raise ValueError(message)
    return name


TargetInput = Annotated[FieldName, AfterValidator(_target_input)]


class Route(Strict):
    """A telemetry record for a twin, of another type or the same, whenever the output leaves.

    Attributes:
        type: Qualified name of the target's type.
        id: Parameter or int field that names the target twin; an empty text names none.
        inputs: Input of the target to the field that it takes its value from.
    """

    type: Annotated[str, AfterValidator(_type)]
    id: FieldName
    inputs: Annotated[dict[TargetInput, FieldName], Field(alias="as", min_length=1)]
