"""The kernels over the rows of one partition; what an author's step raises concerns one twin."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from schemas.definition import Definition
from twins import admission
from twins.columns import Columns
from twins.kernel.columns import KernelColumns
from twins.kernel.compiler import Kernel, Kernels
from twins.layout import QUARANTINED
from twins.rows import RowTable


@dataclass(frozen=True, slots=True)
class Stepped:
    """What stepping n records, or n twins on a tick, gave.

    Attributes:
        status: (n,) uint8 of `twins.admission`.
        values: (n, columns) float64 as `KernelColumns` says, NaN for a field without a value.
        fired: (n, columns) uint8 likewise.
    """

    status: NDArray[np.uint8]
    values: NDArray[np.float64]
    fired: NDArray[np.uint8]


class KernelRun:
    """Runs a type's kernels over the rows of a table."""

    def __init__(self, definition: Definition, kernels: Kernels, table: RowTable) -> None:
        self._kernels = kernels
        self._table = table
        self._columns = KernelColumns.of(definition)
        self._flag_late = definition.late == "flag"

    def run(self, slot: NDArray[np.int64], offsets: NDArray[np.int64], columns: Columns) -> Stepped:
        """Step n records of the rows at `slot`."""
        found = self._room(len(slot))
        messages = (columns.boot, columns.seq, columns.payload, columns.inputs)
        results = (found.values, found.fired, found.status, self._flag_late)
        self._step(self._kernels.records, slot, columns.time_ns, offsets, found, (*messages, *results))
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
        self._step(self._kernels.ticks, slot, times, offsets, found, (found.values, found.fired, found.status))
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

    def _step(
        self,
        kernel: Kernel,
        slot: NDArray[np.int64],
        time_ns: NDArray[np.int64],
        offsets: NDArray[np.int64],
        found: Stepped,
        rest: tuple[Any, ...],
    ) -> None:
        """Run a kernel to the end, however often a step raises."""
        count, table = len(slot), self._table
        cursor = np.zeros(1, np.int64)
        backup = np.zeros(1, table.layout.dtype)
        while cursor[0] < count or count == 0:
            try:
                kernel(table.rows, backup, cursor, slot, time_ns, offsets, table.tick_ns, *rest)
            except NumbaError:
                raise
            except Exception:
                if not count:
                    raise
                # Whatever an author's step raises concerns one twin.
                self._raised(int(cursor[0]), slot, offsets, found, backup)
                cursor[0] += 1
            if count == 0:
                break

    def _raised(
        self,
        index: int,
        slot: NDArray[np.int64],
        offsets: NDArray[np.int64],
        found: Stepped,
        backup: NDArray[np.void],
    ) -> None:
        self._table.rows[slot[index]] = backup[0]
        row = self._table.row(int(slot[index]))
        row["status"] |= QUARANTINED
        row["revision"] += 1
        row["offset"] = offsets[index]
        found.status[index] = admission.FAILED
        found.fired[index] = 0


def _words(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """Rows as whole numbers, (rows, words)."""
    return rows.view(np.int64).reshape(len(rows), -1)
