"""What the kernel's marks become: events, commands and documents, in record order."""

from collections.abc import Iterable
from math import isnan

import numpy as np
from numpy.typing import NDArray

from schemas.definition import Definition
from schemas.messages import Value, stable_id
from streams.processor import Outcome
from twins.acknowledgements import whole_offset
from twins.admission import REFUSALS
from twins.kernel.columns import KernelColumns
from twins.kernel.commands import SENT, SUPPRESSED, failures, refusals
from twins.kernel.fields import value_fields
from twins.kernel.marks import DOCUMENT
from twins.kernel.run import Stepped
from twins.layout import ISSUED_DEPTH
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
        self._columns = KernelColumns.of(definition)
        self._outcomes = {
            first + number: (name, self._columns.offsets[name], reason)
            for name, first in self._columns.outcomes.items()
            for number, reason in enumerate(failures(definition.outputs.commands[name]))
        }

    def fire(
        self,
        slot: NDArray[np.int64],
        offsets: NDArray[np.int64],
        received: NDArray[np.int64],
        time_ns: NDArray[np.int64],
        stepped: Stepped,
        outcome: Outcome,
    ) -> None:
        """Add the outputs of n stepped records.

        Args:
            slot: (n,) rows.
            offsets: (n,) places in the input.
            received: (n,) arrival, ns.
            time_ns: (n,) event time, or that of the tick.
            stepped: What became of them.
            outcome: Takes the outputs.
        """
        values, fired = stepped.values, stepped.fired
        # In one dimension, and of truth values: NumPy finds those several times as fast.
        records, marks = np.divmod(np.flatnonzero(fired.reshape(-1) != 0), fired.shape[1])
        if not len(records):
            return
        decisions = fired[records, marks]
        positions = marks - self._columns.commands
        of_command = (positions >= 0) & (positions < len(self._commands))
        suppressed = of_command & (decisions == SUPPRESSED)
        wanted = of_command & ~suppressed
        outcome.count("refused", "suppressed", times=int(suppressed.sum()))
        columns_of = (
            slot[records],
            offsets[records],
            time_ns[records],
            received[records],
            self._table.rows["parameter_revision"][slot[records]],
        )
        # Commands are many: touching arrays record by record would cost more than what is made of them.
        ids = self._table.ids
        rows, *causes = (column[wanted].tolist() for column in columns_of)
        numbers = values[records[wanted], self._command_fields[positions[wanted]]].tolist()
        twins = [ids[row] for row in rows]
        self._output.commands(
            outcome,
            zip(positions[wanted].tolist(), decisions[wanted].tolist(), numbers, twins, *causes, strict=True),
        )
        others = ~(of_command & ((decisions == SENT) | suppressed))
        outcome.count("refused", "told", times=int((wanted & others).sum()))
        for index, mark, decision, *place in zip(
            records[others].tolist(),
            marks[others].tolist(),
            decisions[others].tolist(),
            *(column[others].tolist() for column in columns_of),
            strict=True,
        ):
            self._other(index, mark, decision, place, stepped, outcome)

    def _other(
        self,
        index: int,
        mark: int,
        decision: int,
        place: list[int],
        stepped: Stepped,
        outcome: Outcome,
    ) -> None:
        """Whatever is no command that leaves."""
        row, offset, event_ns, arrival_ns, revision = place
        values = stepped.values
        output, twin, columns = self._output, self._table.ids[row], self._columns
        position = mark - columns.commands
        if position < 0:
            name, event = self._events[mark]
            data = self._typed(event.data, values[index])
            output.event(
                outcome, revision, twin, name, severity=event.severity, offset=offset, event_ns=event_ns, data=data
            )
        elif position < len(self._commands):
            self._refused(position, decision, place, values[index], outcome)
        elif mark < columns.metadata:
            self._settled(mark, decision, place, values[index], outcome)
        elif mark == columns.metadata:
            # As it was with this record: what later records of this block made of the twin depends on the cut.
            metadata = self._typed(self._definition.outputs.metadata, values[index])
            then = (int(values[index, columns.revision]), metadata, decision - DOCUMENT)
            output.document(outcome, self._table, row, arrival_ns, then, offset)
        else:
            reason = stepped.details.get(index) or REFUSALS[int(stepped.status[index])][1]
            self._quarantined(row, offset, event_ns, arrival_ns, reason, outcome)

    def _refused(
        self, position: int, decision: int, place: list[int], values: NDArray[np.float64], outcome: Outcome
    ) -> None:
        row, offset, event_ns, _, revision = place
        output, twin = self._output, self._table.ids[row]
        name, command = self._commands[position]
        command_id = output.command_id(offset, twin, name)
        output.event(
            outcome,
            revision,
            twin,
            "command_refused",
            severity="warning",
            offset=offset,
            event_ns=event_ns,
            data={
                "id": command_id,
                "name": name,
                "value": float(values[self._command_fields[position]]),
                "reason": refusals(command)[decision],
            },
            event_id=stable_id("refused", command_id),
        )

    def _settled(self, mark: int, ages: int, place: list[int], values: NDArray[np.float64], outcome: Outcome) -> None:
        """Tell what became of commands that left before, oldest first; `ages` are bits."""
        row, offset, event_ns, _, revision = place
        output, twin = self._output, self._table.ids[row]
        name, offsets, reason = self._outcomes[mark]
        for age in reversed(range(ISSUED_DEPTH)):
            if not ages >> age & 1:
                continue
            command_id = output.command_id(whole_offset(int(values[offsets + age]), offset), twin, name)
            said = {"reason": reason} if reason else {"by": "confirmation"}
            output.event(
                outcome,
                revision,
                twin,
                "command_failed" if reason else "command_acknowledged",
                severity="warning" if reason else "info",
                offset=offset,
                event_ns=event_ns,
                data={"id": command_id, "name": name, **said},
                event_id=stable_id("failed" if reason else "confirmed", command_id),
            )

    def _typed(self, fields: Iterable[str], values: NDArray[np.float64]) -> dict[str, Value]:
        """Fields that have a value by now."""
        numbers = {field: float(values[self._places[field]]) for field in fields}
        return {field: self._output.typed(field, number) for field, number in numbers.items() if not isnan(number)}

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
        self._output.documents(outcome, table, [slot], [received], offset)
