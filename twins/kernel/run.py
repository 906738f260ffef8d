"""The kernel over the rows of one partition; what an author's step raises concerns one twin."""

import numpy as np
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from schemas.definition import Definition
from twins import admission
from twins.columns import Columns
from twins.kernel.columns import KernelColumns
from twins.kernel.compiler import Kernel
from twins.layout import QUARANTINED
from twins.rows import RowTable


class KernelRun:
    """Runs a type's kernel over the rows of a table."""

    def __init__(self, definition: Definition, kernel: Kernel, table: RowTable) -> None:
        self._definition = definition
        self._kernel = kernel
        self._table = table
        self._columns = KernelColumns.of(definition)

    def run(
        self, slot: NDArray[np.int64], offsets: NDArray[np.int64], columns: Columns
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.uint8]]:
        """Step n records.

        Returns:
            status (n,), values and fired, (n, columns) each as `KernelColumns` says.
        """
        count = len(slot)
        table, columns_of = self._table, self._columns
        status = np.empty(count, np.uint8)
        values = np.empty((count, columns_of.values))
        fired = np.zeros((count, columns_of.fired), np.uint8)
        cursor = np.zeros(1, np.int64)
        backup = np.zeros(1, table.layout.dtype)
        flag_late = self._definition.late == "flag"
        while cursor[0] < count or count == 0:
            try:
                self._kernel(
                    table.rows,
                    backup,
                    cursor,
                    slot,
                    columns.time_ns,
                    offsets,
                    columns.boot,
                    columns.seq,
                    columns.payload,
                    columns.inputs,
                    values,
                    fired,
                    status,
                    flag_late,
                )
            except NumbaError:
                raise
            except Exception:
                if not count:
                    raise
                # Whatever an author's step raises concerns one twin.
                self._raised(int(cursor[0]), slot, offsets, status, fired, backup)
                cursor[0] += 1
            if count == 0:
                break
        return status, values, fired

    def _raised(
        self,
        index: int,
        slot: NDArray[np.int64],
        offsets: NDArray[np.int64],
        status: NDArray[np.uint8],
        fired: NDArray[np.uint8],
        backup: NDArray[np.void],
    ) -> None:
        self._table.rows[slot[index]] = backup[0]
        row = self._table.row(int(slot[index]))
        row["status"] |= QUARANTINED
        row["revision"] += 1
        row["offset"] = offsets[index]
        status[index] = admission.FAILED
        fired[index] = 0
