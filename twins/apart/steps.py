"""Steps in plain Python, called in processes of their own; what one does to its process concerns one twin."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from numpy.typing import NDArray

from streams.processor import NotNowError
from twins.apart.plan import Format, Function, Plan
from twins.apart.process import NotStartedError, Stretch
from twins.apart.processes import Processes, Told
from twins.kernel.compiler import Kernel, Kernels
from twins.kernel.uncompiled import RESULT_TYPES, Answer, Failure, StepPlan
from twins.twin_type import TwinType

if TYPE_CHECKING:
    from collections.abc import Mapping

log = structlog.get_logger(__name__)


class ApartStep:
    """A step in a process of its type.

    Args:
        plan: Of the step.
        number: Of its function in the processes' plan.
    """

    def __init__(self, plan: StepPlan, number: int, processes: Processes) -> None:
        self.plan = plan
        self._number = number
        self._processes = processes

    def run(self, given: NDArray[np.void], state: NDArray[np.void]) -> Answer:
        """Step m records, each of another twin; arguments as of `UncompiledStep.run`.

        Raises:
            NotNowError: the machine gives no process in time.
        """
        count = len(given)
        results: dict[str, NDArray[Any]] = {
            name: np.zeros(count, RESULT_TYPES[kind]) for name, kind in self.plan.outputs
        }
        answer, first, again = Answer(results, state.copy()), 0, -1
        while first < count:
            try:
                stretch = self._stretch(given[first:], state[first:], fresh=again >= first)
            except NotStartedError as error:
                if not error.is_of_author:
                    message = f"no process can be started for step {self.plan.name}: {error}"
                    raise NotNowError(message) from error
                why = Failure(f"step {self.plan.name} can't be called: {error}: mend it and deploy anew")
                answer.failures |= dict.fromkeys(range(first, count), why)
                break
            upto = first + stretch.upto
            if not stretch.is_certain and upto - 1 != again:
                # It may have been what others left behind: it is called once more, where there is nothing of them.
                again = upto - 1
                stretch.upto -= 1
                del stretch.failures[stretch.upto]
                upto -= 1
            for name, column in results.items():
                column[first:upto] = stretch.answer.results[name][: stretch.upto]
            answer.state[first:upto] = stretch.answer.state[: stretch.upto]
            answer.failures |= {first + record: why for record, why in stretch.failures.items()}
            first = upto
        return answer

    def _stretch(self, given: NDArray[np.void], state: NDArray[np.void], *, fresh: bool) -> Stretch:
        """What one process makes of the records, before it is ended for one of them or done."""
        with self._processes.one(fresh=fresh) as process:
            found = process.step(self._number, given, state)
            if not found.limit:
                self._processes.take_back(process)
                return found
            self._processes.end(process)
        self._processes.told(found.limit)
        shown = {"type": self._processes.type_name, "step": self.plan.name, "limit": found.limit}
        why = found.failures.get(found.upto - 1) if found.limit != "grown" else None
        log.warning("a process for steps was replaced", why=why.detail if why else "", **shown)
        return found


def apart(twin_type: TwinType, told: Told) -> tuple[TwinType, Processes | None]:
    """The same type with its steps in plain Python in processes of their own, and those; None without such steps.

    Args:
        twin_type: Prepared; its steps are still called here.
        told: Of every process that was ended, and why.
    """
    functions: dict[str, Function] = {}
    kernels = twin_type.kernels
    for kernel in (kernels.records, kernels.ticks):
        if kernel is not None:
            for index, step in kernel.uncompiled:
                functions[step.plan.name] = _function(index, step.plan, kernel, twin_type)
    if not functions:
        return twin_type, None
    plan = Plan(str(twin_type.code.folder), tuple(functions.values()))
    processes = Processes(plan, str(twin_type.definition.type_name), told)
    steps = {name: ApartStep(one.step, number, processes) for number, (name, one) in enumerate(functions.items())}

    def await_process() -> None:
        try:
            processes.await_one()
        except NotStartedError as error:
            # What is the author's fault, the step says of its records.
            if not error.is_of_author:
                message = f"no process can be started for steps: {error}"
                raise NotNowError(message) from error

    return replace(twin_type, kernels=_replaced(kernels, steps), await_process=await_process), processes


def _replaced(kernels: Kernels, steps: dict[str, ApartStep]) -> Kernels:
    def over(kernel: Kernel) -> Kernel:
        return replace(kernel, uncompiled=tuple((index, steps[one.plan.name]) for index, one in kernel.uncompiled))

    return replace(kernels, records=over(kernels.records), ticks=over(kernels.ticks) if kernels.ticks else None)


def _function(index: int, plan: StepPlan, kernel: Kernel, twin_type: TwinType) -> Function:
    nothing = np.dtype([])
    given: Mapping[str, Any] = kernel.hold.fields or {}
    state: Mapping[str, Any] = twin_type.layout.dtype.fields or {}
    return Function(
        plan,
        Format.of(given[f"g_{index}"][0] if f"g_{index}" in given else nothing),
        Format.of(state[f"s_{plan.name}"][0] if f"s_{plan.name}" in state else nothing),
    )
