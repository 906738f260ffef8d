"""The twins of one partition: takes blocks, gives outputs. The engine's `Processor` for a twin type."""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from numba.core.errors import NumbaExperimentalFeatureWarning
from numpy.typing import NDArray

from schemas.clock import SystemClock
from schemas.definition import Definition
from schemas.errors import DefinitionError, PayloadError, Problem
from schemas.reasons import Reason
from streams.block import Block
from streams.processor import Lineage, Outcome
from twins import admission, arrival
from twins.acknowledgements import Acknowledgements
from twins.arrival import arrivals_ns, others
from twins.authored import AuthoredCode
from twins.columns import Columns
from twins.control import ControlRecords
from twins.firing import Firing
from twins.kernel.commands import SENT
from twins.kernel.compile_faults import compile_problem
from twins.kernel.compiler import Kernels, compile_kernels
from twins.kernel.run import KernelRun, Stepped
from twins.layout import DEFINITION_KEY, LAYOUT_KEY_PREFIX, RowLayout
from twins.output import OutputWriter
from twins.payloads import Payloads
from twins.population import Population
from twins.requests import RequestRunner
from twins.routing import Routes, refuse_far
from twins.series import Series
from twins.telemetry import TelemetryDecoder
from twins.ticks import TICK_KEY, Ticks, is_tick
from twins.wiring import wire

log = structlog.get_logger(__name__)

ROW_MAX_BYTES = 900 * 1024
"""Leaves room for the frame of a record: Kafka takes record batches of up to 1 MiB unless a topic says otherwise."""


@dataclass(frozen=True)
class TwinType:
    """A deployed type, compiled: shared by all partitions of a worker.

    Attributes:
        content: Content hash of its folder.
        partitions: Of its input topic.
    """

    definition: Definition
    content: str
    layout: RowLayout
    kernels: Kernels
    code: AuthoredCode
    partitions: int

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
        try:
            with warnings.catch_warnings():
                # What all kernels share may have been compiled for a row that this one's begins with: the same fields
                # at the same places.
                warnings.simplefilter("ignore", NumbaExperimentalFeatureWarning)
                run = TwinProcessor(self, Lineage("", "", 0)).kernel
                run.run(nothing, nothing, Columns.empty(len(self.definition.inputs)))
                run.tick(nothing, 0, 0)
        except Exception as error:  # noqa: BLE001 - of an empty block only the compiler can complain
            raise DefinitionError([compile_problem(error, self.code.folder)]) from None


class TwinProcessor:
    """Rows of one partition and what happens to them.

    Attributes:
        kernel: Steps telemetry.

    What becomes of records is counted in the outcomes: `accepted`, `duplicate`, `late`, `extra` (fields), `tick`,
    `tick_ignored` and, with its reason, `deadletter`.
    """

    def __init__(self, twin_type: TwinType, lineage: Lineage) -> None:
        definition = twin_type.definition
        self._type = twin_type
        self._definition = definition
        self._lineage = lineage
        self._decoder = TelemetryDecoder(definition)
        self._output = OutputWriter(definition, twin_type.content, lineage, twin_type.layout)
        self._population = Population(definition, twin_type.layout, lineage, twin_type.partitions, self._output)
        self._table = self._population.table
        self.kernel = KernelRun(definition, twin_type.kernels, self._table)
        self._firing = Firing(definition, self._table, self._output)
        self._routes = Routes(definition, self._table, lineage)
        self._series = Series(definition, self._population.lines)
        self._ticks = Ticks(definition, self._table, self.kernel, self._series, self._firing, self._routes)
        requests = RequestRunner(definition, twin_type.code)
        acknowledgements = Acknowledgements(definition, self._table, self._output)
        self._control = ControlRecords(self._population, requests, acknowledgements, self._output)
        self._layout_written = self._definition_written = False

    # -- the engine's side ---------------------------------------------------------------------------------------

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take in changelog records. Nothing here writes tombstones; one that somebody else wrote deletes the twin."""
        for key, value in rows:
            if key.startswith(LAYOUT_KEY_PREFIX):
                fingerprint = bytes.fromhex(key.removeprefix(LAYOUT_KEY_PREFIX).decode())
                self._table.learn_layout(fingerprint, value or b"")
                self._layout_written |= fingerprint == self._type.layout.fingerprint
            elif key == TICK_KEY:
                self._ticks.restore(value)
            elif key == DEFINITION_KEY:
                self._definition_written = value == self._type.content.encode()
            elif value is not None:
                self._table.restore(key, value)
            else:
                self._table.forget(key)

    def restored(self) -> Outcome:
        """Prepare what is derived from the rows; under another definition than before every document is due."""
        outcome = Outcome()
        for parameter, twins in self._table.refused.items():
            log.warning("stored text is no longer a choice: the default holds", parameter=parameter, twins=twins)
        self._table.refused.clear()
        now_ns = SystemClock().now_ns()
        self._default_parameters()
        for slot, twin in enumerate(self._table.ids):
            self._population.set_prefix(slot)
            if twin and not self._definition_written:
                self._output.document(outcome, self._table, slot, now_ns)
        return outcome

    def process(self, block: Block) -> Outcome:
        """Step a block in record order: runs of telemetry by the kernel, everything else one by one."""
        outcome = Outcome()
        received = arrivals_ns(block)
        first = 0
        for index in others(block).tolist():
            self._telemetry(block.part(first, index), received[first:index], outcome)
            if is_tick(block, index):
                self._tick(block, index, outcome)
            else:
                self._control.take(block, index, outcome)
            first = index + 1
        self._telemetry(block.part(first, len(block)), received[first:], outcome)
        self._output.dead_letters(outcome)
        return outcome

    def refuse(self, record: Block, detail: str) -> Outcome:
        """Make a dead letter of a record that processing fails on, whatever it is."""
        outcome = Outcome()
        self._output.dead_letter(outcome, record, 0, Reason.STEP_FAILED, f"processing failed: {detail}")
        self._output.dead_letters(outcome)
        return outcome

    def snapshot(self) -> list[tuple[bytes, bytes | None]]:
        """Changed rows; on the first occasion the layout they need and the definition they are under."""
        rows: list[tuple[bytes, bytes | None]] = []
        if not self._layout_written:
            layout = self._type.layout
            rows.append((LAYOUT_KEY_PREFIX + layout.fingerprint.hex().encode(), layout.description))
            self._layout_written = True
        if not self._definition_written:
            rows.append((DEFINITION_KEY, self._type.content.encode()))
            self._definition_written = True
        rows.extend(self._ticks.snapshot())
        rows.extend(self._table.snapshot())
        return rows

    @property
    def tick_s(self) -> float:
        """Period of the ticks that the twins want."""
        return self._definition.tick_s

    def note(self) -> Mapping[str, str]:
        """Fingerprints for the position record."""
        return {"layout": self._type.layout.fingerprint.hex(), "definition": self._type.content}

    def _tick(self, block: Block, index: int, outcome: Outcome) -> None:
        try:
            self._ticks.take(block, index, outcome)
        except PayloadError as error:
            self._output.dead_letter(outcome, block, index, error.reason, error.detail)

    # -- telemetry -----------------------------------------------------------------------------------------------

    def _telemetry(self, block: Block, received: NDArray[np.int64], outcome: Outcome) -> None:
        if not len(block):
            return
        columns = self._decoder.decode(Payloads.of_block(block), received)
        hops = arrival.hops(block)
        if hops is not None:
            refuse_far(columns, hops)
        slot = self._population.find(block, columns.refused, received, outcome)
        for index, (reason, detail) in sorted(columns.refused.items()):
            self._output.dead_letter(outcome, block, index, reason, detail)
        if columns.extra:
            outcome.count("extra", times=columns.extra)
        offsets = block.offsets
        if columns.refused:
            good = np.flatnonzero(slot >= 0)
            columns, slot, offsets, received = columns.take(good), slot[good], offsets[good], received[good]
            block = block.take(good)
            hops = None if hops is None else hops[good]
        if len(slot):
            self._step(block, slot, offsets, received, columns, hops, outcome)

    def _step(
        self,
        block: Block,
        slot: NDArray[np.int64],
        offsets: NDArray[np.int64],
        received: NDArray[np.int64],
        columns: Columns,
        hops: NDArray[np.int64] | None,
        outcome: Outcome,
    ) -> None:
        found = self.kernel.run(slot, offsets, columns)
        status, values, fired = found.status, found.values, found.fired
        self._table.dirty[slot] = 1
        accepted = status <= admission.ACCEPTED_LATE
        lines = self._series.add(slot, columns.time_ns, values, accepted, outcome)
        outcome.count("accepted", times=int(accepted.sum()))
        if not accepted.all() or bool((status == admission.ACCEPTED_LATE).any()):
            self._account(block, found, outcome)
        fired[(status == admission.FAILED) | (status == admission.NOT_FINITE), -1] = SENT
        self._firing.fire(slot, offsets, received, columns.time_ns, found, outcome)
        if self._routes:
            self._routes.send(slot, offsets, received, columns.time_ns, lines, found, hops, outcome)

    def _account(self, block: Block, found: Stepped, outcome: Outcome) -> None:
        """Count the records that were not simply accepted; those that nobody could use become dead letters."""
        status = found.status
        outcome.count("duplicate", times=int((status == admission.DUPLICATE).sum()))
        late = (status == admission.LATE) | (status == admission.ACCEPTED_LATE)
        outcome.count("late", times=int(late.sum()))
        if self._definition.late == "deadletter":
            for index in np.flatnonzero(status == admission.LATE).tolist():
                self._output.dead_letter(outcome, block, index, Reason.LATE, "older than the twin's last record")
        for index in np.flatnonzero(status >= admission.IN_QUARANTINE).tolist():
            reason, detail = admission.REFUSALS[int(status[index])]
            self._output.dead_letter(outcome, block, index, reason, found.details.get(index, detail))

    def _default_parameters(self) -> None:
        """A changed default holds for every twin that never set that parameter."""
        table = self._table
        used = len(table)
        for name, declared in self._definition.numbers.items():
            default = declared.encode(declared.default)
            values = table.rows[f"p_{name}"][:used]
            stale = np.flatnonzero((table.rows["set"][name][:used] == 0) & (values != default))
            table.rows[f"p_{name}"][stale] = default
            table.dirty[stale] = 1
