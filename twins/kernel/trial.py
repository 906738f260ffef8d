"""Twins that send the same record again and again, with every input at mid-range: what a new version is tried with."""

import math

import numpy as np

from schemas.clock import NS_PER_S
from schemas.definition import Definition
from schemas.quantity import Input
from twins import admission
from twins.columns import NO_SEQ, Columns
from twins.kernel.run import KernelRun, Stepped
from twins.rows import RowTable
from twins.twin_type import TwinType

_START_NS = 1_700_000_000 * NS_PER_S
_MOST_SHOWN = 6


class Trial:
    """New twins of a type, and the records and ticks that they are stepped by.

    Attributes:
        table: Their rows.
        time_ns: Event time of what they were stepped by last.
    """

    def __init__(self, twin_type: TwinType, twins: int = 1) -> None:
        self._inputs = np.array([middle(declared) for declared in twin_type.definition.inputs.values()])
        self._run = KernelRun(twin_type.definition, twin_type.kernels, table := RowTable(twin_type.layout))
        for number in range(twins):
            table.add(b"twin-%d" % number)
        self.table = table
        self.time_ns = _START_NS
        self._slot = np.arange(twins)
        self._offset = 0

    @property
    def twins(self) -> int:
        """How many there are."""
        return len(self._slot)

    def turn(self, *, on_tick: bool) -> str:
        """Step each twin by a record, a second after the one before, or by a tick; return what failed first."""
        self.time_ns += NS_PER_S
        self._offset += self.twins
        if on_tick:
            stepped = self._run.tick(self._slot, self._offset, self.time_ns)
            self.table.tick_ns = self.time_ns
        else:
            stepped = self._records()
        if stepped.details:
            return next(iter(stepped.details.values()))
        return "a step gave NaN or infinity" if admission.NOT_FINITE in stepped.status else ""

    def _records(self) -> Stepped:
        nothing = np.zeros(self.twins, np.int64)
        columns = Columns(
            np.tile(self._inputs, (self.twins, 1)),
            np.full(self.twins, self.time_ns),
            np.full(self.twins, NO_SEQ),
            nothing,
            nothing,
        )
        return self._run.run(self._slot, self._offset + self._slot, columns)


def middle(declared: Input) -> float:
    """The middle of what an input may be; near its limit where it has but one."""
    if declared.type == "bool":
        return 0.0
    low, high = declared.limits()
    if math.isinf(low) and math.isinf(high):
        return 1.0
    middle = high - 1.0 if math.isinf(low) else low + 1.0 if math.isinf(high) else low + (high - low) / 2.0
    return float(math.floor(middle)) if declared.type == "int" else middle


def shown(definition: Definition) -> str:
    """Every input at mid-range, for people."""
    words = [f"{name} = {declared.decode(middle(declared))}" for name, declared in definition.inputs.items()]
    more = ", …" if len(words) > _MOST_SHOWN else ""
    return ", ".join(words[:_MOST_SHOWN]).replace("= False", "= false") + more
