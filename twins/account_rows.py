"""What twins' rows have of the loss account."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twins.layout import RATED

if TYPE_CHECKING:
    from twins.population import Population

_NO_ROWS = np.zeros(0, np.int64)


class Rows(NamedTuple):
    """What twins' rows tell: (rows,) hash of source and boot, and the highest counter of it."""

    keys: NDArray[np.int64]
    seqs: NDArray[np.int64]

    @classmethod
    def of(cls, population: "Population | None") -> "Rows":
        """Views of them, to be written to."""
        if population is None:
            return cls(_NO_ROWS, _NO_ROWS)
        rows = population.table.rows
        return cls(rows["account_key"], rows["account_seq"])


def forget_counters(population: "Population") -> None:
    """Make all rows know of no counter."""
    table = population.table
    names = table.layout.dtype.names or ()
    for name in ("account_key", "account_seq", *RATED):
        if name in names:
            table.rows[name][: len(table)] = 0
    table.dirty[: len(table)] = 1
