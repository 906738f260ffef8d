"""Time series of one partition: which records and ticks lead to a line."""

import numpy as np
from numpy.typing import NDArray

from schemas.definition import Definition
from schemas.topics import TypeTopics
from streams.processor import Outcome
from twins.kernel.columns import KernelColumns
from twins.lines import LineWriter
from twins.traces import Traces


class Series:
    """Adds the lines that a type's policy asks for to outcomes."""

    def __init__(self, definition: Definition, lines: LineWriter, traces: Traces) -> None:
        self._traces = traces
        series = definition.outputs.timeseries
        self._topic = TypeTopics(str(definition.type_name)).timeseries
        self._lines = lines
        self._line = KernelColumns.of(definition).line
        # Without fields there is no line, but a route may follow from one that is due.
        self._marked = series.when in {"change", "interval"}
        self._on_records = self._marked or series.when in {"record", "both"}
        self._on_ticks = self._marked or series.when in {"tick", "both"}

    def add(
        self,
        slot: NDArray[np.int64],
        time_ns: NDArray[np.int64],
        values: NDArray[np.float64],
        stepped: NDArray[np.bool_],
        outcome: Outcome,
        *,
        on_tick: bool = False,
        offset: NDArray[np.int64] | None = None,
    ) -> NDArray[np.bool_]:
        """Add the lines of n records, or of n twins on a tick.

        Args:
            slot: (n,) rows.
            time_ns: (n,) time stamps.
            values: (n, columns) of `KernelColumns`.
            stepped: (n,) which of them were stepped, and well.
            outcome: Takes the lines.
            on_tick: Which of the two it is.
            offset: (n,) of the records, None on a tick.

        Returns:
            (n,) for which of them a line is due.
        """
        if not (self._on_ticks if on_tick else self._on_records):
            return np.zeros(len(slot), np.bool_)
        due = stepped & (values[:, self._line] != 0.0) if self._marked else stepped
        kept = slice(None) if due.all() else np.flatnonzero(due)
        traced = offset[kept].tolist() if offset is not None and self._traces.headers else []
        first = 0
        for text, last in self._lines.write(slot[kept], time_ns[kept], values[kept]):
            outcome.add(self._topic, None, text, self._traces.of_all(traced[first:last]))
            first = last
        return due
