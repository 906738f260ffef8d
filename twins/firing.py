"""What the kernel's marks become: events, commands and documents, in record order."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from schemas.definition import Definition
from schemas.messages import Value
from streams.processor import Outcome
from twins.admission import REFUSALS
from twins.columns import Columns
from twins.kernel.commands import SENT
from twins.kernel.fields import value_fields
from twins.output import OutputWriter
from twins.rows import RowTable


class Firing:
    """Writes the outputs that records of one partition set off."""

    def __init__(self, definition: Definition, table: RowTable, output: OutputWriter) -> None:
        self._definition = definition
        self._table = table
        self._output = output
        self._places = {field: column for column, field in enumerate(value_fields(definition))}
        self._events = list(definition.outputs.events.items())
        self._commands = list(definition.outputs.commands.items())
        self._command_fields = np.array([self._places[command.field] for _, command in self._commands], np.int64)

    def fire(
        self,
        slot: NDArray[np.int64],
        offsets: NDArray[np.int64],
        received: NDArray[np.int64],
        columns: Columns,
        status: NDArray[np.uint8],
        values: NDArray[np.float64],
        fired: NDArray[np.uint8],
        outcome: Outcome,
    ) -> None:
        """Add the outputs of n stepped records.

        Args:
            slot: (n,) rows.
            offsets: (n,) places in the input.
            received: (n,) arrival, ns.
            columns: What the records said.
            status: (n,) of `twins.admission`.
            values: (n, fields + 1) results of `KernelRun.run`.
            fired: (n, events + commands + 2) marks of the kernel.
            outcome: Takes the outputs.
        """
        records, marks = np.nonzero(fired)
        if not len(records):
            return
        positions = marks - len(self._events)
        sent = (positions >= 0) & (positions < len(self._commands)) & (fired[records, marks] == SENT)
        columns_of = (
            slot[records],
            offsets[records],
            columns.time_ns[records],
            received[records],
            self._table.rows["parameter_revision"][slot[records]],
        )
        # Commands are many: touching arrays record by record would cost more than what is made of them.
        ids = self._table.ids
        rows, *causes = (column[sent].tolist() for column in columns_of)
        numbers = values[records[sent], self._command_fields[positions[sent]]].tolist()
        twins = [ids[row] for row in rows]
        self._output.commands(outcome, zip(positions[sent].tolist(), numbers, twins, *causes, strict=True))
        others = ~sent
        for index, mark, *place in zip(
            records[others].tolist(),
            marks[others].tolist(),
            *(column[others].tolist() for column in columns_of),
            strict=True,
        ):
            self._other(index, mark, place, status, values, outcome)

    def _other(
        self,
        index: int,
        mark: int,
        place: list[int],
        status: NDArray[np.uint8],
        values: NDArray[np.float64],
        outcome: Outcome,
    ) -> None:
        """Whatever is no command that leaves."""
        row, offset, event_ns, arrival_ns, revision = place
        output, twin = self._output, self._table.ids[row]
        position = mark - len(self._events)
        if position < 0:
            name, event = self._events[mark]
            data = self._typed(event.data, values[index])
            output.event(
                outcome, revision, twin, name, severity=event.severity, offset=offset, event_ns=event_ns, data=data
            )
        elif position < len(self._commands):
            name, command = self._commands[position]
            refusal = {
                "id": output.command_id(offset, twin, name),
                "name": name,
                "value": float(values[index, self._command_fields[position]]),
                "reason": f"outside the declared range {command.range}",
            }
            output.event(
                outcome,
                revision,
                twin,
                "command_refused",
                severity="warning",
                offset=offset,
                event_ns=event_ns,
                data=refusal,
            )
        elif position == len(self._commands):
            # As it was with this record: what later records of this block made of the twin depends on the cut.
            metadata = self._typed(self._definition.outputs.metadata, values[index])
            output.document(outcome, self._table, row, arrival_ns, (int(values[index, -1]), metadata))
        else:
            self._quarantined(row, offset, event_ns, arrival_ns, REFUSALS[int(status[index])][1], outcome)

    def _typed(self, fields: Iterable[str], values: NDArray[np.float64]) -> dict[str, Value]:
        return {field: self._output.typed(field, float(values[self._places[field]])) for field in fields}

    def _quarantined(self, slot: int, offset: int, event_ns: int, received: int, detail: str, outcome: Outcome) -> None:
        table = self._table
        self._output.event(
            outcome,
            int(table.row(slot)["parameter_revision"]),
            table.ids[slot],
            "quarantined",
            severity="critical",
            offset=offset,
            event_ns=event_ns,
            data={"reason": detail, "remedy": "mend the type or the parameters, then send the request release"},
        )
        self._output.document(outcome, table, slot, received)
