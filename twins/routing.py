"""From twin to twin: what leaves as telemetry for others, and how far it may go on."""

from collections.abc import Callable
from math import isnan
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.definition import Definition
from schemas.headers import CAUSE, HOPS, HOPS_LIMIT, RECEIVED, SOURCE
from schemas.reasons import Reason
from schemas.topics import TypeTopics
from streams.processor import Lineage, Outcome
from twins.columns import Columns
from twins.kernel.columns import KernelColumns
from twins.kernel.commands import SENT
from twins.kernel.fields import value_fields
from twins.kernel.run import Stepped
from twins.output import ENCODERS
from twins.rows import RowTable
from twins.texts import text_of
from twins.traces import Traces

if TYPE_CHECKING:
    from schemas.quantity import Input
    from schemas.route import Route
    from schemas.step import StepOutput


def refuse_far(columns: Columns, hops: NDArray[np.int64]) -> None:
    """Refuse the records that were routed too often; take those that were routed for no duplicates.

    A record that was routed is there exactly once, and others may well say the same at the same time.

    Args:
        columns: What n records say.
        hops: (n,) how often each was routed, -1 for one that can't be read.
    """
    columns.payload[hops != 0] = 0
    for index in np.flatnonzero((hops < 0) | (hops >= HOPS_LIMIT)).tolist():
        said = f"routed {hops[index]} times, {HOPS_LIMIT - 1} are permitted: does it go in circles?"
        detail = said if hops[index] >= 0 else f"header {HOPS} is no number"
        columns.refused[index] = (Reason.TOO_MANY_HOPS, detail)


class _Form(NamedTuple):
    """What all records of one route have in common."""

    topic: str
    target: Callable[[int, list[float]], str]
    """Id of the target twin, from the row and the values; empty for none."""
    inputs: tuple[tuple[bytes, int, Callable[[float], bytes]], ...]
    """Beginning of the text, column and how to write its value, of each input of the target."""


class Routes:
    """Routes of one type, seen from one partition."""

    def __init__(self, definition: Definition, table: RowTable, lineage: Lineage, traces: Traces) -> None:
        self._traces = traces
        self._definition = definition
        self._table = table
        self._cause = f"{TypeTopics(str(definition.type_name)).telemetry}/{lineage.partition}/"
        self._places = {field: column for column, field in enumerate(value_fields(definition))}
        outputs, columns = definition.outputs, KernelColumns.of(definition)
        self._of_lines = outputs.timeseries.route is not None
        self._marks: list[int] = []
        self._forms: list[_Form] = []
        if outputs.timeseries.route is not None:
            self._forms.append(self._form(outputs.timeseries.route))
        marked = list(enumerate((event.route for event in outputs.events.values()), columns.events))
        marked += enumerate((command.route for command in outputs.commands.values()), columns.commands)
        for mark, route in marked:
            if route is not None:
                self._marks.append(mark)
                self._forms.append(self._form(route))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._forms)

    def send(
        self,
        slot: NDArray[np.int64],
        offsets: NDArray[np.int64],
        received: NDArray[np.int64],
        time_ns: NDArray[np.int64],
        lines: NDArray[np.bool_],
        stepped: Stepped,
        hops: NDArray[np.int64] | None,
        outcome: Outcome,
    ) -> None:
        """Add the telemetry that n stepped records lead to elsewhere, in their order.

        Args:
            slot: (n,) rows.
            offsets: (n,) places in the input.
            received: (n,) arrival, ns.
            time_ns: (n,) event time.
            lines: (n,) which of them became a line of time series.
            stepped: What stepping them gave.
            hops: (n,) how often they were routed before; None for never.
            outcome: Takes the records.
        """
        due = stepped.fired[:, self._marks] == SENT
        if self._of_lines:
            due = np.column_stack([lines, due])
        records, routes = np.nonzero(due)
        for index, number in zip(records.tolist(), routes.tolist(), strict=True):
            form, row = self._forms[number], stepped.values[index].tolist()
            target = form.target(int(slot[index]), row)
            if not target:
                outcome.count("unrouted")
                continue
            cause = f"{self._cause}{offsets[index]}".encode()
            headers = (
                (RECEIVED, b"%d" % received[index]),
                (SOURCE, b"kafka:" + cause),
                (HOPS, b"%d" % (1 if hops is None else hops[index] + 1)),
                (CAUSE, cause),
                *self._traces.of(int(offsets[index])),
            )
            outcome.route(form.topic, target.encode(), _payload(form, int(time_ns[index]), row), headers)
            outcome.count("routed")
        if len(records):
            outcome.urgent = True

    def _form(self, route: "Route") -> _Form:
        definition, places = self._definition, self._places
        fields: dict[str, Input | StepOutput] = {**definition.inputs, **definition.fields()}
        inputs = tuple(
            (b',"%b":' % name.encode(), places[field], ENCODERS[fields[field].type])
            for name, field in route.inputs.items()
        )
        return _Form(TypeTopics(route.type).telemetry, self._target(route), inputs)

    def _target(self, route: "Route") -> Callable[[int, list[float]], str]:
        table, name = self._table, route.id
        declared = self._definition.parameters.get(name)
        if declared is None:
            column = self._places[name]
            return lambda _, values: "" if isnan(values[column]) else str(int(values[column]))
        if declared.is_text:
            return lambda slot, _: text_of(table.tags[slot], name, declared)
        return lambda slot, _: str(declared.decode(float(table.rows[f"p_{name}"][slot])))


def _payload(form: _Form, time_ns: int, values: list[float]) -> bytes:
    """Flat JSON; a field that has no value yet is left out."""
    said = (begin + encode(values[column]) for begin, column, encode in form.inputs if not isnan(values[column]))
    return b'{"time":%d%b}' % (time_ns, b"".join(said))
