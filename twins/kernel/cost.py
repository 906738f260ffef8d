"""What steps that are not compiled cost, measured on records with every input at mid-range."""

import math
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from schemas.clock import NS_PER_S, Clock, SystemClock
from schemas.quantity import Input
from twins.columns import NO_SEQ, Columns
from twins.kernel.compiler import Kernel
from twins.kernel.run import KernelRun, Stepped
from twins.kernel.uncompiled import Answer, PythonStep
from twins.rows import RowTable
from twins.twin_type import TwinType

_MOST_TWINS = 256
_WAVE_S = 0.1
_MEASURED_S = 0.6
_MOST_WAVES = 200
_START_NS = 1_700_000_000 * NS_PER_S


@dataclass(frozen=True, slots=True)
class StepCost:
    """What one step costs.

    Attributes:
        place: In the pipeline, from 0.
        name: Of the step.
        on_tick: Whether it runs on ticks alone; it is measured on them then.
        own_us: Of one call.
        rest_us: Of everything that is compiled, for one record or one twin on a tick.
        most_per_s: Records, or twins on ticks, that one core can step in a second.
        failure: Why it could not be measured, `""` when it was.
    """

    place: int
    name: str
    on_tick: bool
    own_us: float = math.nan
    rest_us: float = math.nan
    most_per_s: float = math.nan
    failure: str = ""

    def __str__(self) -> str:
        """Return what people read."""
        begin = f"pipeline.{self.place}: step {self.name} is not compiled"
        if self.failure:
            return f"{begin}: its cost is not known, for with every input at mid-range {self.failure}"
        what, whats = ("twin on each tick", "twins a second") if self.on_tick else ("record", "records/s")
        return (
            f"{begin}: about {_shown(self.own_us)} µs a {what} where the compiled rest takes {_shown(self.rest_us)} µs;"
            f" at most about {_rounded(self.most_per_s):,.0f} {whats} on one core"
        )


def step_costs(twin_type: TwinType, clock: Clock | None = None) -> list[StepCost]:
    """Measure every step that is not compiled, within two seconds unless one call takes as long.

    Args:
        twin_type: Warmed up.
        clock: Takes the times.
    """
    clock = clock or SystemClock()
    kernels, found = twin_type.kernels, []
    timed = replace(kernels, records=_timed(kernels.records, clock))
    if kernels.ticks is not None:
        timed = replace(timed, ticks=_timed(kernels.ticks, clock))
    trial = _Trial(replace(twin_type, kernels=timed), clock)
    for kernel, on_tick in ((timed.records, False), (timed.ticks, True)):
        if kernel is not None and kernel.uncompiled:
            found += trial.costs(kernel, on_tick=on_tick)
    once = {cost.place: cost for cost in reversed(found)}
    return [once[place] for place in sorted(once)]


class _Timed:
    """A step and the time that it took."""

    def __init__(self, step: PythonStep, clock: Clock) -> None:
        self.name = step.name
        self.spent_s = 0.0
        self._step = step
        self._clock = clock

    def run(self, given: NDArray[np.void], state: NDArray[np.void]) -> Answer:
        began_s = self._clock.monotonic_s()
        try:
            return self._step.run(given, state)
        finally:
            self.spent_s += self._clock.monotonic_s() - began_s


def _timed(kernel: Kernel, clock: Clock) -> Kernel:
    return replace(kernel, uncompiled=tuple((index, _Timed(step, clock)) for index, step in kernel.uncompiled))


class _Trial:
    """Twins that send the same record again and again."""

    def __init__(self, twin_type: TwinType, clock: Clock) -> None:
        self._type = twin_type
        self._clock = clock
        self._inputs = [_middle(declared) for declared in twin_type.definition.inputs.values()]
        self._begin(1)

    def costs(self, kernel: Kernel, *, on_tick: bool) -> list[StepCost]:
        """Measure a pass."""
        steps = [(index, step) for index, step in kernel.uncompiled if isinstance(step, _Timed)]
        self._begin(1)
        failure, first_s = self._turn(on_tick=False)
        if on_tick and not failure:
            failure, tick_s = self._turn(on_tick=True)
            first_s = max(first_s, tick_s)
        if not failure:
            self._begin(max(1, min(_MOST_TWINS, int(_WAVE_S / max(first_s, 1e-6)))))
            # What a step on ticks takes comes from a record.
            failure, _ = self._turn(on_tick=False)
        if failure:
            return [StepCost(index, step.name, on_tick, failure=failure) for index, step in steps]
        for _, step in steps:
            step.spent_s = 0.0
        spent_s = 0.0
        rests_s: list[float] = []
        while spent_s < _MEASURED_S and len(rests_s) < _MOST_WAVES and not failure:
            before_s = sum(step.spent_s for _, step in steps)
            failure, turn_s = self._turn(on_tick=on_tick)
            spent_s += turn_s
            rests_s.append(turn_s - (sum(step.spent_s for _, step in steps) - before_s))
        twins = len(self._slot)
        # A step may do its work on every hundredth record: the mean. The rest does the same each time.
        own_us = [step.spent_s / (len(rests_s) * twins) * 1e6 for _, step in steps]
        rest_us = median(rests_s) / twins * 1e6
        most_per_s = 1e6 / (sum(own_us) + rest_us)
        return [
            StepCost(index, step.name, on_tick, us, rest_us, most_per_s, failure)
            for (index, step), us in zip(steps, own_us, strict=True)
        ]

    def _begin(self, twins: int) -> None:
        self._table = RowTable(self._type.layout)
        for number in range(twins):
            self._table.add(b"twin-%d" % number)
        self._run = KernelRun(self._type.definition, self._type.kernels, self._table)
        self._slot = np.arange(twins)
        self._time_ns, self._offset = _START_NS, 0

    def _turn(self, *, on_tick: bool) -> tuple[str, float]:
        """A record of each twin, a second after the one before, or a tick; what failed, and the time it took."""
        self._time_ns += NS_PER_S
        self._offset += len(self._slot)
        began_s = self._clock.monotonic_s()
        if on_tick:
            stepped = self._run.tick(self._slot, self._offset, self._time_ns)
            self._table.tick_ns = self._time_ns
        else:
            stepped = self._records()
        return next(iter(stepped.details.values()), ""), self._clock.monotonic_s() - began_s

    def _records(self) -> Stepped:
        count = len(self._slot)
        nothing = np.zeros(count, np.int64)
        columns = Columns(
            np.tile(np.array(self._inputs), (count, 1)),
            np.full(count, self._time_ns),
            np.full(count, NO_SEQ),
            nothing,
            nothing,
        )
        return self._run.run(self._slot, self._offset + self._slot, columns)


def _middle(declared: Input) -> float:
    """The middle of what an input may be; near its limit where it has but one."""
    if declared.type == "bool":
        return 0.0
    low, high = declared.limits()
    if math.isinf(low) and math.isinf(high):
        return 1.0
    middle = high - 1.0 if math.isinf(low) else low + 1.0 if math.isinf(high) else low + (high - low) / 2.0
    return float(math.floor(middle)) if declared.type == "int" else middle


def _rounded(number: float) -> float:
    """Two digits: the rest differs from run to run."""
    return round(number, 1 - math.floor(math.log10(number))) if number > 0 else 0.0


def _shown(microseconds: float) -> str:
    return f"{_rounded(microseconds):,g}"
