"""The kernels over the rows of one partition; what an author's step raises concerns one twin."""

from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from schemas.definition import Definition
from twins import admission
from twins.columns import Columns
from twins.kernel.columns import KernelColumns
from twins.kernel.compiler import Kernel, Kernels
from twins.kernel.inputs import missing_inputs
from twins.kernel.loops import TooManyRoundsError
from twins.kernel.printing import PRINTED
from twins.kernel.uncompiled import place_of, raised
from twins.kernel.waves import waves
from twins.layout import QUARANTINED
from twins.rows import RowTable

_NOTHING = np.dtype([])


@dataclass(frozen=True, slots=True)
class Stepped:
    """What stepping n records, or n twins on a tick, gave.

    Attributes:
        status: (n,) uint8 of `twins.admission`.
        values: (n, columns) float64 as `KernelColumns` says, NaN for a field without a value.
        fired: (n, columns) uint8 likewise.
        details: What a step raised or gave instead of numbers, by the index of the record.
    """

    status: NDArray[np.uint8]
    values: NDArray[np.float64]
    fired: NDArray[np.uint8]
    details: dict[int, str] = field(default_factory=dict)


class KernelRun:
    """Runs a type's kernels over the rows of a table."""

    def __init__(self, definition: Definition, kernels: Kernels, table: RowTable) -> None:
        self._definition = definition
        self._kernels = kernels
        self._table = table
        self._columns = KernelColumns.of(definition)
        self._flag_late = definition.late == "flag"

    def run(self, slot: NDArray[np.int64], offsets: NDArray[np.int64], columns: Columns) -> Stepped:
        """Step n records of the rows at `slot`."""
        found = self._room(len(slot))
        messages = (columns.boot, columns.seq, columns.payload, columns.inputs, self._flag_late)
        _Work(self._kernels.records, self._table, slot, columns.time_ns, offsets, found, messages).run()
        for index in np.flatnonzero(found.status == admission.MISSING).tolist():
            names = missing_inputs(self._definition, found.values[index, 0])
            found.details[index] = f"never sent, and without a default to begin with: {names}"
        return found

    def tick(self, slot: NDArray[np.int64], offset: int, time_ns: int) -> Stepped:
        """Step the rows at `slot`, each at most once, on the tick at `offset` that tells `time_ns`.

        A row that differs afterwards is dirty, with a new revision.
        """
        found = self._room(len(slot))
        if self._kernels.ticks is None:
            return found
        table, count = self._table, len(slot)
        before = _words(table.rows)[slot]
        times, offsets = np.full(count, time_ns, np.int64), np.full(count, offset, np.int64)
        _Work(self._kernels.ticks, table, slot, times, offsets, found).run()
        changed = (_words(table.rows)[slot] != before).any(axis=1)
        stepped = slot[changed & (found.status == admission.ACCEPTED)]
        table.rows["revision"][stepped] += 1
        table.rows["offset"][stepped] = offset
        table.dirty[slot[changed]] = 1
        found.values[:, self._columns.revision] = table.rows["revision"][slot]
        return found

    def _room(self, count: int) -> Stepped:
        return Stepped(
            np.empty(count, np.uint8),
            np.empty((count, self._columns.values)),
            np.zeros((count, self._columns.fired), np.uint8),
        )


@dataclass(frozen=True, slots=True)
class _Work:
    """A pass over n records, or n twins on a tick."""

    kernel: Kernel
    table: RowTable
    slot: NDArray[np.int64]
    time_ns: NDArray[np.int64]
    offsets: NDArray[np.int64]
    found: Stepped
    messages: tuple[Any, ...] = ()

    def run(self) -> None:
        """Step all of them."""
        with redirect_stdout(PRINTED):
            if self.kernel.uncompiled:
                # Of no records at all, too: that is how it is compiled before there are any.
                for wave in waves(self.slot) or [self.slot]:
                    self._wave(wave)
            else:
                backup = np.zeros(1, self.table.layout.dtype)
                self._compiled(self.kernel.entries[0], np.arange(len(self.slot)), backup)

    def _wave(self, wave: NDArray[np.int64]) -> None:
        """Step records of different twins: stretch, step, stretch and so on, over all of them each."""
        hold = np.zeros(len(wave), self.kernel.hold)
        backup = np.zeros(len(wave), self.table.layout.dtype)
        for place, entry in enumerate(self.kernel.entries):
            self._compiled(entry, wave, backup, wave, hold)
            if place < len(self.kernel.uncompiled):
                self._uncompiled(place, wave, backup, hold)

    def _compiled(
        self,
        entry: Callable[..., None],
        places: NDArray[np.int64],
        backup: NDArray[np.void],
        *more: NDArray[Any],
    ) -> None:
        """Run a function to its end, however often a step raises.

        Args:
            entry: The function.
            places: (w,) the records it steps, in its order.
            backup: (w,) or (1,) where it keeps rows as they were.
            more: Arguments that follow all others.
        """
        cursor, table, found = np.zeros(2, np.int64), self.table, self.found
        first = (self.slot, self.time_ns, self.offsets, table.tick_ns, found.values, found.fired, found.status)
        while True:
            try:
                entry(table.rows, backup, cursor, *first, *self.messages, *more)
            except NumbaError:
                raise
            except Exception as error:
                if not len(places):
                    raise
                # Whatever an author's step raises concerns one twin.
                at = int(cursor[0])
                step = table.layout.definition.pipeline[int(cursor[1])].name
                said = _said(error, step, self.kernel.folder)
                self._put_back(int(places[at]), backup[min(at, len(backup) - 1)], admission.FAILED, said)
                cursor[0] += 1
            if cursor[0] >= len(places):
                return

    def _uncompiled(
        self, place: int, wave: NDArray[np.int64], backup: NDArray[np.void], hold: NDArray[np.void]
    ) -> None:
        """Call the step behind the stretch at `place` for every record that is due, and take in what it gives."""
        index, step = self.kernel.uncompiled[place]
        due = np.flatnonzero((self.found.status[wave] <= admission.ACCEPTED_LATE) & hold[f"d_{index}"])
        if not len(due):
            return
        rows, slots, state, given = self.table.rows, self.slot[wave[due]], f"s_{step.plan.name}", f"g_{index}"
        nothing = np.zeros(len(due), _NOTHING)
        own = state in (rows.dtype.names or ())
        answer = step.run(
            hold[given][due] if given in (hold.dtype.names or ()) else nothing,
            rows[state][slots] if own else nothing,
        )
        for at, failure in answer.failures.items():
            status = admission.NOT_FINITE if failure.not_finite else admission.FAILED
            self._put_back(int(wave[due[at]]), backup[due[at]], status, failure.detail)
        done = np.delete(np.arange(len(due)), list(answer.failures))
        for name, results in answer.results.items():
            hold[f"x_{name}"][due[done]] = results[done]
            if f"k_{name}" in (hold.dtype.names or ()):
                hold[f"k_{name}"][due[done]] = True
        if own:
            rows[state][slots[done]] = answer.state[done]

    def _put_back(self, index: int, row: np.void, status: int, detail: str) -> None:
        """Give a twin its row as it was before a record, and put it into quarantine."""
        slot = int(self.slot[index])
        self.table.rows[slot] = row
        now = self.table.row(slot)
        now["status"] |= QUARANTINED
        now["revision"] += 1
        now["offset"] = self.offsets[index]
        self.found.status[index] = status
        self.found.fired[index] = 0
        self.found.details[index] = detail


def _said(error: Exception, step: str, folder: Path) -> str:
    if isinstance(error, TooManyRoundsError):
        return f"step {step} made {error} ({place_of(error, folder)})"
    return raised(error, step, folder)


def _words(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """Rows as whole numbers, (rows, words)."""
    return rows.view(np.int64).reshape(len(rows), -1)
