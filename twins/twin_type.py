"""One version of a twin type, compiled."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba.core.errors import NumbaExperimentalFeatureWarning

from schemas.definition import Definition
from schemas.errors import DefinitionError, Problem
from twins import account_scan, arrival
from twins.authored import AuthoredCode
from twins.columns import Columns
from twins.kernel.compile_faults import compile_problem
from twins.kernel.compiler import Kernels, compile_kernels
from twins.kernel.run import KernelRun
from twins.layout import RowLayout
from twins.rows import RowTable
from twins.wiring import wire

ROW_MAX_BYTES = 900 * 1024
"""Leaves room for the frame of a record: Kafka takes record batches of up to 1 MiB unless a topic says otherwise."""


@dataclass(frozen=True)
class TwinType:
    """A version of a type, compiled: shared by all partitions of a worker.

    Attributes:
        content: Content hash of its folder.
        partitions: Of its input topic.
        await_process: Waits for a process where its steps in plain Python are called in processes of their own, and
            raises what `twins.apart.steps` has it raise when there is none; None where they are called here.
    """

    definition: Definition
    content: str
    layout: RowLayout
    kernels: Kernels
    code: AuthoredCode
    partitions: int
    await_process: Callable[[], None] | None = None

    @classmethod
    def load(cls, folder: Path, definition: Definition, content: str, partitions: int, cache: Path) -> "TwinType":
        """Import the author's code and prepare the kernel.

        Raises:
            DefinitionError: with every fault.
        """
        code = AuthoredCode(folder)
        steps = wire(definition, code)
        layout = RowLayout.of(definition)
        if layout.dtype.itemsize > ROW_MAX_BYTES:
            message = f"a twin's row takes {layout.dtype.itemsize} bytes, and at most {ROW_MAX_BYTES} can be stored"
            raise DefinitionError([Problem("twin.yaml", 0, "pipeline", message, "declare less state")])
        kernels = compile_kernels(layout, steps, code, content, cache)
        return cls(definition, content, layout, kernels, code, partitions)

    def warm_up(self) -> None:
        """Compile, or load what was compiled before, by stepping an empty block.

        Raises:
            DefinitionError: a step can't be compiled.
        """
        nothing = np.zeros(0, np.int64)
        arrival.warm_up()
        account_scan.warm_up()
        try:
            with warnings.catch_warnings():
                # What all kernels share may have been compiled for a row that this one's begins with: the same fields
                # at the same places.
                warnings.simplefilter("ignore", NumbaExperimentalFeatureWarning)
                run = KernelRun(self.definition, self.kernels, RowTable(self.layout))
                run.run(nothing, nothing, Columns.empty(len(self.definition.inputs)))
                run.tick(nothing, 0, 0)
        except Exception as error:  # noqa: BLE001 - of an empty block only the compiler can complain
            raise DefinitionError([compile_problem(error, self.code.folder)]) from None
