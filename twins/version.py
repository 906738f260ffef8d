"""One version of a type at work in one partition: its twins' rows, and what records do to them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import structlog
from numpy.typing import NDArray

from schemas.errors import PayloadError
from schemas.reasons import Reason
from streams.block import Block, ReadRecord
from streams.processor import HeldRecordsError, Lineage, NotNowError, Outcome
from twins import admission
from twins.account import Account, Looked
from twins.acknowledgements import Acknowledgements
from twins.arrival import Arrivals, arrivals
from twins.columns import NO_SEQ, Columns
from twins.control import ControlRecords
from twins.dead_letters import DeadLetters
from twins.firing import Firing
from twins.kernel.commands import SENT
from twins.kernel.run import KernelRun, Stepped
from twins.output import OutputWriter
from twins.payloads import Payloads
from twins.population import Population
from twins.reordering import NEVER_NS, Reordering
from twins.requests import RequestRunner
from twins.routing import Routes, refuse_far
from twins.series import Series
from twins.telemetry import TelemetryDecoder
from twins.ticks import Ticks
from twins.traces import Traces
from twins.twin_type import TwinType

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(__name__)

_NOBODY = np.zeros(0, np.uint8)
_BECAME = {
    admission.ACCEPTED: "accepted",
    admission.ACCEPTED_LATE: "accepted",
    admission.DUPLICATE: "duplicate",
    admission.LATE: "late",
}
"""Outcomes of redriven records that nobody refused."""


class Version:
    """A version of a type and the rows that live under it.

    Attributes:
        type: The version.
        population: The partition's twins.
        table: Their rows.
        control: Carries out records that are no telemetry.
        kernel: Steps telemetry.
        ticks: Let time go by.
        waiting: Records that wait for earlier ones.
        watch: Is told offsets and statuses, (n,) of `twins.admission`, when not all of n records were simply accepted.

    Args:
        twin_type: The version.
        lineage: Where records come from.
        letters: Takes what can't be used.
        account: Takes what came.
        traces: Which traces they belong to.

    What becomes of records is counted in the outcomes: `accepted`, `duplicate`, `late`, `extra` (fields), `tick`,
    `tick_ignored` and, with its reason, `deadletter`.
    """

    def __init__(
        self, twin_type: TwinType, lineage: Lineage, letters: DeadLetters, account: Account, traces: Traces
    ) -> None:
        definition = twin_type.definition
        self.type = twin_type
        self.watch: Callable[[NDArray[np.int64], NDArray[np.uint8]], None] | None = None
        self._definition = definition
        self._letters = letters
        self._account = account
        self._decoder = TelemetryDecoder(definition)
        self._traces = traces
        self._output = OutputWriter(definition, twin_type.content, lineage, twin_type.layout, traces)
        self.population = Population(definition, twin_type.layout, lineage, twin_type.partitions, self._output)
        self.table = self.population.table
        self.kernel = KernelRun(definition, twin_type.kernels, self.table)
        self._firing = Firing(definition, self.table, self._output)
        self._routes = Routes(definition, self.table, lineage, traces)
        self._series = Series(definition, self.population.lines, traces)
        self.ticks = Ticks(definition, self.table, self.kernel, self._series, self._firing, self._routes)
        self.waiting = Reordering(definition.reorder_s)
        self._partition = lineage.partition
        requests = RequestRunner(definition, twin_type.code)
        acknowledgements = Acknowledgements(definition, self.table, self._output)
        self.control = ControlRecords(self.population, requests, acknowledgements, self._output, letters)

    def begin(self, earlier: "Version | None" = None) -> None:
        """Prepare what is derived from the rows, once they are there; `earlier` had the same twins before."""
        for parameter, twins in self.table.refused.items():
            log.warning("stored value is no longer permitted: the default holds", parameter=parameter, twins=twins)
        self.table.refused.clear()
        self.population.begin(earlier.population if earlier is not None else None)

    def succeed(self, earlier: "Version", received_ns: int, outcome: Outcome) -> None:
        """Take over the twins of an earlier version: what both know goes on; every document is written again."""
        earlier.let_everything_go(outcome)
        self.waiting = earlier.waiting.under(self._definition.reorder_s)
        self.table.take_over(earlier.table)
        self.settle(received_ns, outcome, earlier)

    def settle(self, received_ns: int, outcome: Outcome, earlier: "Version | None" = None) -> None:
        """Bring rows of an earlier version, which are here, under this one."""
        self._default_parameters()
        self.begin(earlier)
        slots = [slot for slot, twin in enumerate(self.table.ids) if twin]
        self._output.documents(outcome, self.table, slots, [received_ns] * len(slots))

    def tick(self, block: Block, index: int, outcome: Outcome) -> None:
        """Step all twins on a tick, after what has waited long enough."""
        try:
            if self.waiting and (time_ns := self.ticks.time_of(block, index)) is not None:
                self._step_block(self.waiting.tick(self._partition, time_ns), outcome)
            self.ticks.take(block, index, outcome)
        except PayloadError as error:
            self._letters.add(outcome, block, index, error.reason, error.detail)

    def telemetry(self, block: Block, came: Arrivals, outcome: Outcome, *, redriven: bool = False) -> None:
        """Step the telemetry of a block, which came so, or let it wait for earlier records.

        Of what is `redriven`, having been refused before, no two records are of one twin, and their letters are told.
        It waits for nothing.
        """
        if not len(block):
            return
        if self.waiting and not redriven:
            columns = self._decoder.decode(Payloads.of_block(block), came.received_ns)
            self._arrive(block, came, columns, outcome)
            due = self.waiting.take(block, columns.time_ns, came.received_ns, list(columns.refused), self._stepped_ns)
            self._step_block(due, outcome)
        else:
            self._take(block, came, outcome, redriven=redriven)

    def _arrive(self, block: Block, came: Arrivals, columns: Columns, outcome: Outcome) -> None:
        """Enter records into the account before they wait."""
        refused = dict(columns.refused)  # what more is found is told when they are stepped
        slot = self.population.find(block, refused, came.received_ns, outcome)
        records = _read(block, refused)
        looked = self._account.look(block, came, columns, slot, self.population, records)
        self._account.enter(block, looked, self.population)
        self._account.pass_on(outcome)

    def let_everything_go(self, outcome: Outcome) -> None:
        """Step what waits for earlier records."""
        self._step_block(self.waiting.everything(self._partition), outcome)

    def _stepped_ns(self, key: bytes) -> int:
        """Event time up to which a twin was stepped."""
        slot = self.table.slots.get(key)
        row = None if slot is None else self.table.row(slot)
        return int(row["event_time_ns"]) if row is not None and row["records"] else NEVER_NS

    def _step_block(self, block: Block, outcome: Outcome) -> None:
        """Step what was let go.

        Raises:
            HeldRecordsError: that failed.
        """
        for part, why in self.waiting.parts(block):
            if why:
                self._traces.begin(part, arrivals(part)[0].traced, outcome)
                self._letters.add(outcome, part, 0, Reason.STEP_FAILED, f"processing failed: {why}")
                continue
            try:
                self._take(part, arrivals(part)[0], outcome, waited=True)
            except NotNowError:
                raise
            except Exception as error:
                raise HeldRecordsError(tuple(part.offsets.tolist())) from error

    def _take(
        self, block: Block, came: Arrivals, outcome: Outcome, *, redriven: bool = False, waited: bool = False
    ) -> None:
        self._traces.begin(block, came.traced, outcome)
        received, hops = came.received_ns, came.hops
        columns = self._decoder.decode(Payloads.of_block(block), received)
        if hops is not None:
            refuse_far(columns, hops)
        slot = self.population.find(block, columns.refused, received, outcome)
        # What was refused before was entered then.
        records = _read(block, columns.refused)
        looked = None if redriven else self._account.look(block, came, columns, slot, self.population, records)
        if looked is not None and not waited:
            self._account.enter(block, looked, self.population)
            self._account.pass_on(outcome)
        if records:
            self._letters.add_all(outcome, block, columns.refused, records, received)
            if looked is not None:
                self._account.deadlettered_of(looked, list(records))
        outcome.count("extra", times=columns.extra)
        offsets, good = block.offsets, None
        if columns.refused:
            good = np.flatnonzero(slot >= 0)
            columns, slot, offsets, received = columns.take(good), slot[good], offsets[good], received[good]
            hops = None if hops is None else hops[good]
        if redriven:
            self._pass_window(slot, columns)
        status = _NOBODY
        if len(slot):
            status = self._step(block, good, slot, offsets, received, columns, hops, outcome)
            if redriven:
                self._tell(_picked(block, good), status)
        if looked is not None:
            self._tell_account(looked, status, good, came.received_ns)

    def _pass_window(self, slot: NDArray[np.int64], columns: Columns) -> None:
        """Take the counters from records about which they say nothing."""
        for index, at in enumerate(slot.tolist()):
            stamp = int(columns.time_ns[index]), int(columns.boot[index]), int(columns.seq[index])
            if admission.is_beside_window(self.table.row(at), *stamp):
                columns.seq[index] = NO_SEQ

    def _step(
        self,
        block: Block,
        good: NDArray[np.int64] | None,
        slot: NDArray[np.int64],
        offsets: NDArray[np.int64],
        received: NDArray[np.int64],
        columns: Columns,
        hops: NDArray[np.int64] | None,
        outcome: Outcome,
    ) -> NDArray[np.uint8]:
        before = self.table.rows["offset"][slot] if self.waiting else None
        found = self.kernel.run(slot, offsets, columns)
        if before is not None:
            # What waited is no sign that a change which overtook it was not applied.
            self.table.rows["offset"][slot] = np.maximum(before, self.table.rows["offset"][slot])
        status, values, fired = found.status, found.values, found.fired
        self.table.dirty[slot] = 1
        accepted = status <= admission.ACCEPTED_LATE
        lines = self._series.add(slot, columns.time_ns, values, accepted, outcome, offset=offsets)
        outcome.count("accepted", times=int(accepted.sum()))
        if not accepted.all() or bool((status == admission.ACCEPTED_LATE).any()):
            self._count(_picked(block, good), found, outcome)
        fired[(status == admission.FAILED) | (status == admission.NOT_FINITE), -1] = SENT
        self._firing.fire(slot, offsets, received, columns.time_ns, found, outcome)
        if self._routes:
            self._routes.send(slot, offsets, received, columns.time_ns, lines, found, hops, outcome)
        return status

    def _tell_account(
        self,
        looked: Looked,
        status: NDArray[np.uint8],
        good: NDArray[np.int64] | None,
        received_ns: NDArray[np.int64],
    ) -> None:
        """Tell the account what became of records: `status` of all, or of those at `good`."""
        if not status.any() and not self.population.expected_rate_hz:
            return
        if good is not None:
            found = np.zeros(len(received_ns), np.uint8)
            found[good] = status
            status = found
        late = (status == admission.LATE) | (status == admission.ACCEPTED_LATE)
        self._account.stepped(looked, status == admission.DUPLICATE, late, received_ns, self.population)

    def _tell(self, block: Block, status: NDArray[np.uint8]) -> None:
        """Tell letters what became of their records; those that were refused again were told where that was found."""
        for index, of_record in enumerate(status.tolist()):
            became = _BECAME.get(of_record, "")
            if became and not (of_record == admission.LATE and self._definition.late == "deadletter"):
                self._letters.tell(block, index, became)

    def _count(self, block: Block, found: Stepped, outcome: Outcome) -> None:
        """Count the records that were not simply accepted; those that nobody could use become dead letters."""
        status = found.status
        if self.watch is not None:
            self.watch(block.offsets, status)
        outcome.count("duplicate", times=int((status == admission.DUPLICATE).sum()))
        late = (status == admission.LATE) | (status == admission.ACCEPTED_LATE)
        outcome.count("late", times=int(late.sum()))
        if self._definition.late == "deadletter":
            for index in np.flatnonzero(status == admission.LATE).tolist():
                self._letters.add(outcome, block, index, Reason.LATE, "older than the twin's last record")
        for index in np.flatnonzero(status >= admission.IN_QUARANTINE).tolist():
            reason, detail = admission.REFUSALS[int(status[index])]
            self._letters.add(outcome, block, index, reason, found.details.get(index, detail))

    def _default_parameters(self) -> None:
        """A changed default holds for every twin that never set that parameter."""
        table = self.table
        used = len(table)
        for name, declared in self._definition.numbers.items():
            default = declared.encode(declared.default)
            values = table.rows[f"p_{name}"][:used]
            stale = np.flatnonzero((table.rows["set"][name][:used] == 0) & (values != default))
            table.rows[f"p_{name}"][stale] = default
            table.dirty[stale] = 1


def _read(block: Block, indices: Iterable[int]) -> dict[int, ReadRecord]:
    """Records of a block by index, in order."""
    wanted = sorted(indices)
    return dict(zip(wanted, block.records(wanted), strict=True)) if wanted else {}


def _picked(block: Block, good: NDArray[np.int64] | None) -> Block:
    """The records of a block at `good`, None for all: few ask for them, and a copy of all takes its time."""
    return block if good is None else block.take(good)
