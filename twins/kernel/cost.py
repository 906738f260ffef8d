"""What steps that are not compiled cost, measured on records with every input at mid-range."""

import math
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from schemas.clock import Clock, SystemClock
from twins.kernel.compiler import Kernel
from twins.kernel.trial import Trial
from twins.kernel.uncompiled import Answer, PythonStep
from twins.twin_type import TwinType

_MOST_TWINS = 256
_WAVE_S = 0.1
_MEASURED_S = 0.6
_MOST_WAVES = 200


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
    measured = _Measured(replace(twin_type, kernels=timed), clock)
    for kernel, on_tick in ((timed.records, False), (timed.ticks, True)):
        if kernel is not None and kernel.uncompiled:
            found += measured.costs(kernel, on_tick=on_tick)
    once = {cost.place: cost for cost in reversed(found)}
    return [once[place] for place in sorted(once)]


class _Timed:
    """A step and the time that it took."""

    def __init__(self, step: PythonStep, clock: Clock) -> None:
        self.plan = step.plan
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


class _Measured:
    """A trial of a type whose steps are timed."""

    def __init__(self, twin_type: TwinType, clock: Clock) -> None:
        self._type = twin_type
        self._clock = clock

    def costs(self, kernel: Kernel, *, on_tick: bool) -> list[StepCost]:
        """Measure a pass."""
        steps = [(index, step) for index, step in kernel.uncompiled if isinstance(step, _Timed)]
        trial = Trial(self._type)
        failure, first_s = self._turn(trial, on_tick=False)
        if on_tick and not failure:
            failure, tick_s = self._turn(trial, on_tick=True)
            first_s = max(first_s, tick_s)
        if not failure:
            trial = Trial(self._type, max(1, min(_MOST_TWINS, int(_WAVE_S / max(first_s, 1e-6)))))
            # What a step on ticks takes comes from a record.
            failure, _ = self._turn(trial, on_tick=False)
        if failure:
            return [StepCost(index, step.plan.name, on_tick, failure=failure) for index, step in steps]
        for _, step in steps:
            step.spent_s = 0.0
        spent_s = 0.0
        rests_s: list[float] = []
        while spent_s < _MEASURED_S and len(rests_s) < _MOST_WAVES and not failure:
            before_s = sum(step.spent_s for _, step in steps)
            failure, turn_s = self._turn(trial, on_tick=on_tick)
            spent_s += turn_s
            rests_s.append(turn_s - (sum(step.spent_s for _, step in steps) - before_s))
        # A step may do its work on every hundredth record: the mean. The rest does the same each time.
        own_us = [step.spent_s / (len(rests_s) * trial.twins) * 1e6 for _, step in steps]
        rest_us = median(rests_s) / trial.twins * 1e6
        most_per_s = 1e6 / (sum(own_us) + rest_us)
        return [
            StepCost(index, step.plan.name, on_tick, us, rest_us, most_per_s, failure)
            for (index, step), us in zip(steps, own_us, strict=True)
        ]

    def _turn(self, trial: Trial, *, on_tick: bool) -> tuple[str, float]:
        """Step all twins once; what failed, and the time it took."""
        began_s = self._clock.monotonic_s()
        failure = trial.turn(on_tick=on_tick)
        return failure, self._clock.monotonic_s() - began_s


def _rounded(number: float) -> float:
    """Two digits: the rest differs from run to run."""
    return round(number, 1 - math.floor(math.log10(number))) if number > 0 else 0.0


def _shown(microseconds: float) -> str:
    return f"{_rounded(microseconds):,g}"
