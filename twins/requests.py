"""Requests and parameter changes: validated, carried out on one row, answered by an event."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from schemas.definition import Definition, Request
from schemas.nesting import NESTING_LIMIT, is_deep
from schemas.quantity import TEXT_LENGTH, Scalar
from twins.authored import AuthoredCode
from twins.functions.random import seed_of
from twins.functions.state_view import StateView
from twins.kernel.fields import salt_of
from twins.layout import QUARANTINED
from twins.rows import RowTable
from twins.texts import MARK, text_key
from twins.wiring import handler_arguments

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the JSON that was asked for."""

_DEEP = f"nested deeper than {NESTING_LIMIT} levels"

TAGS_LIMIT_BYTES = 16 * 1024
"""They go into every row, document and, where declared, line."""


class Refusal(Exception):  # noqa: N818 - the answer to a request, no error of ours
    """A request that is not carried out; the text is the reason that its sender gets."""


class ParameterChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Value of a `parameters` record."""

    parameters: dict[str, bool | int | float | str] = {}
    tags: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class _Handler:
    step: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]


@dataclass(slots=True)
class RequestRunner:
    """Carries out requests of one type on rows of a table."""

    definition: Definition
    code: AuthoredCode
    _handlers: dict[str, list[_Handler]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Look the handlers up."""
        for step in self.definition.pipeline:
            for request, target in step.requests.items():
                function = self.code.function(target)
                handler = _Handler(step.name, function, handler_arguments(function))
                self._handlers.setdefault(request, []).append(handler)

    def change(self, table: RowTable, slot: int, payload: bytes) -> None:
        """Apply a `parameters` record.

        Raises:
            Refusal: it can't be read, or a name or value is not permitted; nothing was changed.
        """
        if is_deep(payload):
            raise Refusal(f"not a parameter change: {_DEEP}")
        try:
            change = msgspec.json.decode(payload, type=ParameterChange)
        except UNREADABLE as error:
            raise Refusal(f"not a parameter change: {error}") from None
        if reserved := [name for name in change.tags if name.startswith(MARK)]:
            raise Refusal(f"no tag can be called {reserved[0][:TEXT_LENGTH]}")
        tags = {**table.tags[slot], **change.tags}
        if len(msgspec.json.encode(tags)) > TAGS_LIMIT_BYTES:
            raise Refusal(f"the tags of a twin take at most {TAGS_LIMIT_BYTES // 1024} KiB as JSON")
        self._set_parameters(table, slot, change.parameters)
        table.tags[slot] = {**table.tags[slot], **change.tags}

    def request(self, table: RowTable, slot: int, name: str, payload: bytes, offset: int) -> None:
        """Carry out a request, the record at `offset`.

        Raises:
            Refusal: with the reason; the row may have been touched and must be put back.
        """
        declared = self.definition.request(name)
        if declared is None:
            raise Refusal(f"{self.definition.type_name} has no request {name}")
        given = _arguments(declared, payload)
        new = {parameter: given[argument] for parameter, argument in declared.sets.items() if argument in given}
        if new:
            self._set_parameters(table, slot, new)
        row = table.row(slot)
        if name == "release" and name not in self.definition.requests:
            row["status"] &= ~QUARANTINED
        if name == "reset" and name not in self.definition.requests:
            table.layout.reset_steps(table.rows[slot : slot + 1])
        for handler in self._handlers.get(name, []):
            self._run(handler, self._scope(table, slot, handler.step, offset), table, slot, declared, given)

    def _run(
        self,
        handler: _Handler,
        scope: dict[str, Any],
        table: RowTable,
        slot: int,
        declared: Request,
        given: dict[str, Scalar],
    ) -> None:
        for name, argument in declared.arguments.items():
            if argument.is_text:
                scope[name] = given.get(name, "")
            else:
                scope[name] = _numeric(argument.encode(given[name]), argument.type) if name in given else math.nan
        if "state" in handler.arguments:
            scope["state"] = StateView(table.rows[f"s_{handler.step}"], slot)
        missing = [name for name in handler.arguments if name not in scope]
        if missing:
            raise Refusal(f"the handler takes {missing[0]}, which is no field, parameter or argument")
        try:
            answer = handler.function(**{name: scope[name] for name in handler.arguments})
        except Exception as error:  # noqa: BLE001 - an author's handler may raise anything
            raise Refusal(f"the handler failed: {error!r}") from None
        if isinstance(answer, str):
            raise Refusal(answer)
        for name, kept in table.layout.states.get(handler.step, {}).items():
            if kept.type == "float" and not np.isfinite(table.rows[f"s_{handler.step}"][name][slot]).all():
                raise Refusal(f"the handler left NaN or infinity in the state {name}")

    def _scope(self, table: RowTable, slot: int, step: str, offset: int) -> dict[str, Any]:
        """What a handler may take: latest inputs and outputs, parameters, event time."""
        row = table.row(slot)
        definition = self.definition
        scope: dict[str, Any] = {
            name: _numeric(float(row[f"p_{name}"]), declared.type) for name, declared in definition.numbers.items()
        }
        for prefix, fields in (("i", definition.inputs), ("o", definition.fields())):
            for name, field_ in fields.items():
                scope[name] = _numeric(float(row[f"{prefix}_{name}"]), field_.type)
        time_ns = int(row["event_time_ns"])
        return scope | {
            "dt_s": 0.0,
            "time_s": time_ns * 1e-9,
            "time_ns": time_ns,
            "records": int(row["records"]),
            "random_seed": seed_of(int(row["identity"]), offset, salt_of(definition, step)),
        }

    def _set_parameters(self, table: RowTable, slot: int, new: dict[str, Scalar]) -> None:
        declared = self.definition.parameters
        reasons = [f"{name}: no such parameter" for name in new if name not in declared]
        reasons += [
            f"{name}: {why}"
            for name, value in new.items()
            if name in declared and (why := self.definition.parameter_refusal(name, value))
        ]
        if reasons:
            raise Refusal("; ".join(reasons))
        row = table.row(slot)
        texts = {text_key(name): str(value) for name, value in new.items() if declared[name].is_text}
        if texts:
            table.tags[slot] = {**table.tags[slot], **texts}
        for name, value in new.items():
            if declared[name].is_text:
                continue
            row[f"p_{name}"] = declared[name].encode(value)
            row["set"][name] = True
        if new:
            row["parameter_revision"] += 1


def _arguments(declared: Request, payload: bytes) -> dict[str, Scalar]:
    if is_deep(payload):
        raise Refusal(f"not JSON: {_DEEP}")
    try:
        given = msgspec.json.decode(payload or b"{}")
    except UNREADABLE as error:
        raise Refusal(f"not JSON: {error}") from None
    if not isinstance(given, dict):
        raise Refusal("expected a JSON object of arguments")
    reasons = [f"{name}: no such argument" for name in given if name not in declared.arguments]
    for name, argument in declared.arguments.items():
        if name not in given:
            if argument.required:
                reasons.append(f"{name}: missing")
        elif why := argument.refusal(given[name]):
            reasons.append(f"{name}: {why}")
    if reasons:
        raise Refusal("; ".join(reasons))
    return given


def _numeric(number: float, kind: str) -> bool | int | float:
    if math.isnan(number):
        return number
    return bool(number) if kind == "bool" else int(number) if kind in {"int", "string"} else number
