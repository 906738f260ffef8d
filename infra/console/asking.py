"""Changing a twin and asking something of it, as the API does, with an outcome in words."""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from infra.access.caller import Caller
from infra.access.grants import Scope
from infra.console.units import shown
from infra.http import change, lookup, validation
from infra.http.auditing import acting
from infra.http.feed import ACCEPTED
from infra.http.problems import Kind, ProblemError
from infra.http.services import Services
from schemas.headers import Kind as RecordKind
from schemas.quantity import Quantity

OUTCOME_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it.

    Attributes:
        kind: `done`, `refused`, or `open`: nobody answered yet.
        words: For people.
    """

    kind: Literal["done", "refused", "open"]
    words: str


async def change_parameters(
    services: Services, caller: Caller, type_name: str, twin: str, values: dict[str, Any]
) -> Outcome:
    """Set parameters of a twin on behalf of a viewer."""
    try:
        async with acting(services, caller, Scope.REQUEST, "change parameters", type_name, twin, values):
            return await _change(services, type_name, twin, values)
    except ProblemError as error:
        return Outcome("refused", error.detail)


async def request(
    services: Services, caller: Caller, type_name: str, twin: str, name: str, arguments: dict[str, Any]
) -> Outcome:
    """Send a request to a twin on behalf of a viewer, and wait for its outcome."""
    try:
        async with acting(services, caller, Scope.REQUEST, f"request {name}", type_name, twin, arguments):
            return await _request(services, type_name, twin, name, arguments)
    except ProblemError as error:
        return Outcome("refused", error.detail)


async def _change(services: Services, type_name: str, twin: str, values: dict[str, Any]) -> Outcome:
    found = lookup.deployed(services, type_name)
    validation.twin_id(twin)
    if refusals := refusals_of(found.definition.parameters, values):
        raise ProblemError(Kind.INVALID_VALUES, refusals)
    validation.refuse_if(validation.change_faults(found.definition, values, {}, ()))
    result = await change.apply(services, type_name, twin, values, {})
    names = ", ".join(map(_title, values))
    if isinstance(result, change.Pending):
        return Outcome("open", f"{names}: written, and not applied yet; the next record of the twin sees it")
    return Outcome("done", f"{names}: applied")


async def _request(services: Services, type_name: str, twin: str, name: str, arguments: dict[str, Any]) -> Outcome:
    found = lookup.deployed(services, type_name)
    lookup.existing_twin(services, type_name, twin)
    declared = found.definition.request(name)
    if declared is None:
        raise ProblemError(Kind.UNKNOWN_REQUEST, f"{type_name} has no request {name} any more")
    validation.refuse_if(validation.argument_faults(declared, arguments))
    record_id = uuid.uuid4().hex
    with services.feed.outcome(type_name, twin, record_id) as outcome:
        await change.write(
            services, RecordKind.REQUEST, type_name, twin, name=name, body=arguments, record_id=record_id
        )
        try:
            async with asyncio.timeout(OUTCOME_TIMEOUT_S):
                event = await outcome
        except TimeoutError:
            words = f"{_title(name)}: sent, no answer within {OUTCOME_TIMEOUT_S:.0f} s; it comes as an event"
            return Outcome("open", words)
    if event.name == ACCEPTED:
        return Outcome("done", f"{_title(name)}: accepted")
    # The worker decides; what it says is for whoever reads the topic.
    why = refusals_of(declared.arguments, arguments) or f"{_title(name)}: {event.data.get('reason', 'refused')}"
    return Outcome("refused", why)


def value_of(declared: Quantity, given: object) -> object:
    """What somebody entered, as the value that it stands for; what can't be one is left for the check that follows."""
    if declared.type == "bool" or given is None:
        return given
    if declared.type == "string":
        return str(given)
    try:
        number = float(str(given))
    except ValueError:
        return str(given)
    return int(number) if declared.type == "int" and number.is_integer() else number


def refusals_of(declared: Mapping[str, Quantity], values: Mapping[str, Any]) -> str:
    """Why values are not permitted, each with its name, as the page writes them; `""` when they are."""
    found = {name: refusal_of(declared[name], value) for name, value in values.items() if name in declared}
    return "; ".join(f"{_title(name)}: {why}" for name, why in found.items() if why)


def refusal_of(declared: Quantity, value: object) -> str:
    """Why a value is not permitted, with unit and bounds as the page writes them; `""` when it is."""
    refusal = declared.refusal(value)
    if not refusal or declared.type not in {"float", "int"}:
        return refusal
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{value!r:.60} is not a number"
    if declared.type == "int" and not isinstance(value, int):
        return f"{number_text(value)} is not a whole number"
    bounds = permitted(declared)
    if not bounds:
        return refusal
    return f"{number_text(value)} {shown(declared.unit)}".strip() + f" is not permitted; it must be {bounds}"


def permitted(declared: Quantity) -> str:
    """The permitted numbers with their unit, `""` when all are."""
    bounds = bounds_of(declared)
    return f"{bounds} {shown(declared.unit)}".strip() if bounds else ""


def _title(name: str) -> str:
    return name.replace("_", " ")


def bounds_of(declared: Quantity) -> str:
    """The permitted values in a few characters, `""` when all are."""
    if declared.choices:
        return ""
    low = f"> {number_text(declared.above)}" if declared.above is not None else ""
    high = f"< {number_text(declared.below)}" if declared.below is not None else ""
    if declared.range:
        least, most = declared.range
        return f"{low or number_text(least)} … {high or number_text(most)}"
    return f"{low} {high}".strip()


def number_text(value: float) -> str:
    """All digits of a number, and none in vain."""
    return repr(value).removesuffix(".0")
