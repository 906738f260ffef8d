"""What the kernel's marks become: events, commands and documents, in record order."""

import numpy as np
from numpy.typing import NDArray

from schemas.definition import Definition
from streams.processor import Outcome
from twins.admission import REFUSALS
from twins.columns import Columns
from twins.kernel_source import REFUSED, value_fields
from twins.output import OutputWriter
from twins.rows import RowTable


class Firing:
    """Writes the outputs that records of one partition set off."""

    def __init__(self, definition: Definition, table: RowTable, output: OutputWriter) -> None:
        self._definition = definition
        self._table = table
        self._output = output
        self._fields = value_fields(definition)

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
            values: (n, fields + 1) results of `run_kernel`.
            fired: (n, events + commands + 2) marks of the kernel.
            outcome: Takes the outputs.
        """
        records, marks = np.nonzero(fired)
        if not len(records):
            return
        outputs, table = self._definition.outputs, self._table
        events, commands = list(outputs.events.items()), list(outputs.commands.items())
        place = {name: index for index, name in enumerate(self._fields)}
        # All at once: touching arrays record by record costs more than what is made of them.
        field_of_mark = [0 for _ in events] + [place[command.field] for _, command in commands] + [0, 0]
        slots = slot[records]
        for index, mark, row, offset, event_ns, arrival_ns, revision, value, kind in zip(
            records.tolist(),
            marks.tolist(),
            slots.tolist(),
            offsets[records].tolist(),
            columns.time_ns[records].tolist(),
            received[records].tolist(),
            table.rows["parameter_revision"][slots].tolist(),
            values[records, np.array(field_of_mark)[marks]].tolist(),
            fired[records, marks].tolist(),
            strict=True,
        ):
            twin = table.ids[row]
            if mark < len(events):
                name, event = events[mark]
                data = {field: self._output.typed(field, float(values[index, place[field]])) for field in event.data}
                self._output.event(
                    outcome, revision, twin, name, severity=event.severity, offset=offset, event_ns=event_ns, data=data
                )
            elif mark < len(events) + len(commands):
                name, command = commands[mark - len(events)]
                if kind == REFUSED:
                    data = {
                        "id": self._output.command_id(offset, twin, name),
                        "name": name,
                        "value": value,
                        "reason": f"outside the declared range {command.range}",
                    }
                    self._output.event(
                        outcome,
                        revision,
                        twin,
                        "command_refused",
                        severity="warning",
                        offset=offset,
                        event_ns=event_ns,
                        data=data,
                    )
                else:
                    self._output.command(outcome, revision, twin, name, value, (offset, event_ns, arrival_ns))
            elif mark == len(events) + len(commands):
                # As it was with this record: what later records of this block made of the twin depends on the cut.
                metadata = {
                    field: self._output.typed(field, float(values[index, place[field]])) for field in outputs.metadata
                }
                self._output.document(outcome, table, row, arrival_ns, (int(values[index, -1]), metadata))
            else:
                self._quarantined(row, offset, event_ns, arrival_ns, REFUSALS[int(status[index])][1], outcome)

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
