"""The twins of one partition: takes blocks, gives outputs. The engine's `Processor` for a twin type."""

from collections.abc import Mapping

import structlog

from schemas.clock import SystemClock
from schemas.deployment import read_switch
from schemas.headers import KIND, REDRIVE, Kind
from schemas.reasons import Reason
from schemas.trace import NO_TRACER, Tracer
from streams.block import Block
from streams.processor import Lineage, Outcome
from twins.account import ACCOUNT_KEY, Account
from twins.arrival import Arrivals, arrivals
from twins.dead_letters import DeadLetters
from twins.layout import LAYOUT_KEY_PREFIX
from twins.population import Population
from twins.record import header, received_ns
from twins.reordering import HELD_KEY_PREFIX
from twins.ticks import TICK_KEY, is_tick
from twins.traces import Traces
from twins.twin_type import TwinType
from twins.version import Version

log = structlog.get_logger(__name__)

_MEANING_TELEMETRY = (b"", Kind.TELEMETRY.value.encode())
_SWITCH = Kind.SWITCH.value.encode()
_REFUSED = Kind.REFUSED.value.encode()
_NO_VERSION = (Reason.UNKNOWN_TYPE, "no version of the type was in force yet when this was written")
NOTE_DEFINITION = "definition"
"""Key of the position record's note: content hash of the version in force."""


class TwinProcessor:
    """Rows of one partition under the version in force, which records of the input itself switch.

    Args:
        type_name: Qualified name of the type.
        lineage: Where records come from.
        versions: Compiled versions by content hash; others are asked for when a record names them. One that must not
            be stepped any more may be replaced by another.
        content: Version in force, `""` before the first switch.
        tracer: Is told of records that belong to traces.
    """

    def __init__(
        self,
        type_name: str,
        lineage: Lineage,
        versions: Mapping[str, TwinType],
        content: str = "",
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._versions = versions
        self._lineage = lineage
        self._account = Account(type_name, lineage)
        self._traces = Traces(type_name, lineage, tracer)
        self._letters = DeadLetters(type_name, self._account, self._traces)
        self._version = self._under(versions[content]) if content else None
        # One that can't be stepped any more stands for another here.
        self._is_changed = bool(content) and versions[content].content != content
        self._layouts_written: set[bytes] = set()
        self._suspected: Mapping[int, str] = {}

    @classmethod
    def of(cls, twin_type: TwinType, lineage: Lineage) -> "TwinProcessor":
        """A processor that is under `twin_type` from the beginning."""
        return cls(str(twin_type.definition.type_name), lineage, {twin_type.content: twin_type}, twin_type.content)

    def restore(self, rows: Block) -> None:
        """Take in changelog records. Nothing here writes tombstones; one that somebody else wrote deletes the twin."""
        index = self._restore_rows(rows, 0)
        while index < len(rows):
            self._restore_one(rows.key(index) or b"", rows.value(index))
            index = self._restore_rows(rows, index + 1)

    def _restore_rows(self, rows: Block, first: int) -> int:
        """Take in what are rows as they would be written now, up to the first record that is none; return its index."""
        return self._version.table.restore_all(rows, first) if self._version is not None else first

    def _restore_one(self, key: bytes, value: bytes | None) -> None:
        """Take in a record that is no row as it would be written now."""
        version = self._version
        if key.startswith(ACCOUNT_KEY):
            self._account.restore(key, value)
        elif version is None:
            return
        elif key.startswith(LAYOUT_KEY_PREFIX):
            fingerprint = bytes.fromhex(key.removeprefix(LAYOUT_KEY_PREFIX).decode())
            version.table.learn_layout(fingerprint, value or b"")
            self._layouts_written.add(fingerprint)
        elif key == TICK_KEY:
            version.ticks.restore(value)
        elif key.startswith(HELD_KEY_PREFIX):
            version.waiting.restore(key, value)
        elif value is not None:
            version.table.restore(key, value)
        else:
            version.table.forget(key)

    def restored(self) -> Outcome:
        """Prepare what is derived from the rows; under another version than before every document is due."""
        outcome = Outcome()
        self._account.restored(self._population)
        if self._version is not None:
            self._version.waiting.restored()
        if self._version is not None and self._is_changed:
            self._version.settle(SystemClock().now_ns(), outcome)
        elif self._version is not None:
            self._version.begin()
        return outcome

    def prepare(self) -> None:
        """Wait for a process where steps are called in others.

        Raises:
            NotNowError: the machine gives none in time.
        """
        if self._version is not None and (await_process := self._version.type.await_process) is not None:
            await_process()

    def process(self, block: Block) -> Outcome:
        """Step a block in record order: runs of telemetry by the kernel, everything else one by one.

        It ends before a switch to a version that is not there.
        """
        outcome = Outcome()
        came, others = arrivals(block)
        first = 0
        for index in others.tolist():
            if index < first:
                continue  # it was redriven together with those before it
            self._telemetry(block.part(first, index), came.part(first, index), outcome)
            if last := self._redriven(block, index):
                self._telemetry(block.part(index, last), came.part(index, last), outcome, redriven=True)
            elif not self._control(block, index, came, outcome):
                outcome.upto = block.offset(index)
                break
            first = last or index + 1
        else:
            self._telemetry(block.part(first, len(block)), came.part(first, len(block)), outcome)
        self._letters.send(outcome)
        self._traces.forget()
        return outcome

    def refuse(self, record: Block, detail: str) -> Outcome:
        """Make a dead letter of a record that processing fails on, whatever it is."""
        outcome = Outcome()
        self._traces.begin(record, arrivals(record)[0].traced, outcome)
        self._account.take_one(record, 0, self._population, outcome)
        self._letters.add(outcome, record, 0, Reason.STEP_FAILED, f"processing failed: {detail}")
        if self._version is not None:
            self._version.control.give_up(record, f"processing failed: {detail}", outcome)
        self._letters.send(outcome)
        self._traces.forget()
        return outcome

    def suspect(self, held: Mapping[int, str]) -> None:
        """Step these waiting records each by itself, or none at all of those with a reason."""
        self._suspected = held
        if self._version is not None:
            self._version.waiting.suspected = held

    def insists(self, record: Block) -> bool:
        """Whether a record is a switch: behind one that was passed over, all would be stepped by the wrong version."""
        return _is_switch(record, 0) and not isinstance(_switched_to(record, 0), ValueError)

    def snapshot(self) -> list[tuple[bytes, bytes | None]]:
        """Changed rows, and on the first occasion the layout they need."""
        rows: list[tuple[bytes, bytes | None]] = list(self._account.snapshot())
        if self._version is None:
            return rows
        layout = self._version.type.layout
        if layout.fingerprint not in self._layouts_written:
            rows.append((LAYOUT_KEY_PREFIX + layout.fingerprint.hex().encode(), layout.description))
            self._layouts_written.add(layout.fingerprint)
        rows.extend(self._version.ticks.snapshot())
        rows.extend(self._version.waiting.snapshot())
        rows.extend(self._version.table.snapshot())
        return rows

    @property
    def version(self) -> Version | None:
        """What is in force, with the twins' rows; None before the first switch."""
        return self._version

    @property
    def _population(self) -> Population | None:
        return self._version.population if self._version is not None else None

    @property
    def tick_s(self) -> float:
        """Period of the ticks that the twins want."""
        return self._version.type.definition.tick_s if self._version is not None else 0.0

    @property
    def may_wait(self) -> bool:
        """Whether steps are called in another process."""
        return self._version is not None and self._version.type.await_process is not None

    @property
    def size_bytes(self) -> int:
        """Memory that the rows take, about."""
        return self._version.table.size_bytes if self._version is not None else 0

    def note(self) -> Mapping[str, str]:
        """Fingerprints for the position record."""
        if self._version is None:
            return {}
        return {"layout": self._version.type.layout.fingerprint.hex(), NOTE_DEFINITION: self._version.type.content}

    def _telemetry(self, block: Block, came: Arrivals, outcome: Outcome, *, redriven: bool = False) -> None:
        if self._version is not None:
            self._version.telemetry(block, came, outcome, redriven=redriven)
            return
        self._traces.begin(block, came.traced, outcome)
        for index in range(len(block)):
            self._account.take_one(block, index, None, outcome)
            self._letters.add(outcome, block, index, *_NO_VERSION)

    def _redriven(self, block: Block, index: int) -> int:
        """Behind the last of the records from `index` on that are redriven telemetry of a twin each; 0 for none."""
        twins: set[bytes] = set()
        for last in range(index, len(block)):
            twin = block.key(last) or b""
            if twin in twins or not _is_redriven(block, last):
                return last if twins else 0
            twins.add(twin)
        return len(block)

    def _under(self, twin_type: TwinType) -> Version:
        return Version(twin_type, self._lineage, self._letters, self._account, self._traces)

    def _control(self, block: Block, index: int, came: Arrivals, outcome: Outcome) -> bool:
        """Carry out a record that is no telemetry; False when it switches to a version that is not there."""
        if came.traced is not None:
            self._traces.begin(block.part(index, index + 1), came.part(index, index + 1).traced, outcome)
        if _is_switch(block, index):
            return self._switch(block, index, outcome)
        if _is_refusal(block, index):
            self._account.take_refusal(block, index, self._population)
        elif self._version is None:
            self._letters.add(outcome, block, index, *_NO_VERSION)
        elif is_tick(block, index):
            self._version.tick(block, index, outcome)
        else:
            became = self._version.control.take(block, index, outcome)
            if became and header(block, index, REDRIVE):
                self._letters.tell(block, index, became)
        return True

    def _switch(self, block: Block, index: int, outcome: Outcome) -> bool:
        content = _switched_to(block, index)
        if isinstance(content, ValueError):
            # Deployments write none like it, so whoever wrote it, no version was meant.
            self._letters.add(outcome, block, index, Reason.INVALID_REQUEST, str(content))
            return True
        earlier = self._version
        if earlier is not None and content == earlier.type.content:
            return True
        found = self._versions.get(content)
        if found is None:
            outcome.wants = content
            return False
        self._version = self._under(found)
        self._version.waiting.suspected = self._suspected
        if earlier is not None:
            self._version.succeed(earlier, received_ns(block, index), outcome)
        log.info("version switched", partition=self._lineage.partition, version=found.definition.version)
        return True


def _is_redriven(block: Block, index: int) -> bool:
    """Whether a record is telemetry that was a dead letter before."""
    if not header(block, index, REDRIVE) or block.offset(index) in block.unreadable:
        return False
    return header(block, index, KIND) in _MEANING_TELEMETRY


def _is_refusal(block: Block, index: int) -> bool:
    return header(block, index, KIND) == _REFUSED and block.offset(index) not in block.unreadable


def _is_switch(block: Block, index: int) -> bool:
    return header(block, index, KIND) == _SWITCH and block.offset(index) not in block.unreadable


def _switched_to(block: Block, index: int) -> str | ValueError:
    """Content hash that a switch names, or why it names none."""
    try:
        return read_switch(block.value(index) or b"").definition
    except ValueError as error:
        return error
