"""Plays a recording through a twin type's compiled steps: one twin, exactly as a worker steps it, without Kafka."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.authoring.curve import Curve
from infra.authoring.passing_time import with_ticks
from infra.authoring.recording import Row
from schemas.clock import NS_PER_S, Clock, SystemClock
from schemas.headers import Kind, input_headers
from schemas.line_protocol import parse_lines
from schemas.messages import DeadLetter
from schemas.reasons import Reason
from schemas.tick import tick_record
from schemas.topics import DEADLETTER, TypeTopics
from streams.block import Block, Record
from streams.processor import Lineage, Outcome
from twins import admission
from twins.processor import TwinProcessor
from twins.twin_type import TwinType

PARTITIONS = 1

_TWIN = b"trial"
_LINEAGE = Lineage("trial", "trial", 0)
_BLOCK_RECORDS = 2000
_S_PER_HOUR = 3600.0
_PASSED_OVER = {
    admission.DUPLICATE: ("duplicate", "the same time and values as the record before"),
    admission.LATE: ("late", "older than a record before, which this type drops (late: drop)"),
}


class Refusal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row that the type would refuse, or pass over without a dead letter.

    Attributes:
        line: Of the file, 1-based.
        reason: That of its dead letter; `duplicate` or `late` for one that is passed over.
        raw: What stands in the file.
    """

    line: int
    reason: str
    detail: str
    raw: str
    passed_over: bool = False


class _Named(msgspec.Struct):
    name: str
    status: str = "issued"


@dataclass
class Trial:
    """What a recording led to.

    Attributes:
        records: Rows of the file.
        refused: Rows that would become dead letters; `reasons` why, with the line of the first and their number.
        accepted: Rows that were stepped; the others were duplicates or late.
        ticks: Between the rows.
        left_out: Ticks that were not played because there were too many, by the line of the row behind them.
        events: Number by name; `commands` likewise.
        curves: Of every field that is stored as time series.
        first_ns: Event time of the first row that was not refused; `last_ns` the latest.
        computing_s: Spent by the worker's pass, decoding included, compiling excluded.
    """

    records: int = 0
    refused: int = 0
    accepted: int = 0
    duplicate: int = 0
    late: int = 0
    ticks: int = 0
    reasons: dict[str, tuple[int, int]] = field(default_factory=dict)
    left_out: dict[int, int] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    curves: defaultdict[str, Curve] = field(default_factory=lambda: defaultdict(Curve))
    first_ns: int | None = None
    last_ns: int | None = None
    computing_s: float = 0.0

    @property
    def simulated_s(self) -> float:
        """Event time from the first to the last row that was not refused."""
        return 0.0 if self.first_ns is None or self.last_ns is None else (self.last_ns - self.first_ns) / NS_PER_S

    @property
    def computing_s_per_hour(self) -> float | None:
        """Seconds of computing per simulated hour; None where no time went by."""
        return self.computing_s / self.simulated_s * _S_PER_HOUR if self.simulated_s else None


def play(
    twin_type: TwinType,
    rows: Iterable[Row],
    refused: Callable[[Sequence[Refusal]], None],
    clock: Clock | None = None,
) -> Trial:
    """Step every row; each arrives at its own event time, and ticks go by in between.

    Args:
        twin_type: Loaded for `PARTITIONS` partitions, and warmed up.
        rows: In the order of the file.
        refused: Is told of the rows that would be refused or passed over, in this order.
        clock: Measures computing.
    """
    clock = clock or SystemClock()
    trial = Trial()

    def left_out(row: Row, ticks: int) -> None:
        trial.left_out[row.line] = ticks

    definition = twin_type.definition
    items = with_ticks(rows, definition.tick_s, left_out, definition.reorder_s)
    stepping = _Stepping(twin_type)
    topics = TypeTopics(str(twin_type.definition.type_name))
    for part in _parts(items, None if definition.reorder_s else _BLOCK_RECORDS):
        outcome = stepping.step(part, trial, clock)
        _take(trial, outcome, topics)
        _account(trial, [item for item in part if isinstance(item, Row)], outcome, stepping.passed_over, refused)
    return trial


class _Stepping:
    """The twin and the part of the recording that it is at.

    Attributes:
        passed_over: Rows of the last part that were duplicates or late, by line.
    """

    def __init__(self, twin_type: TwinType) -> None:
        self._type = twin_type
        self._part: Sequence[Row | int] = ()
        self._first = 1
        self._arrival_ns = 0
        self.passed_over: dict[int, Refusal] = {}
        # What is compiled at the first records is no part of computing: another twin steps them before. Plain Python
        # may count its calls, or print: it is called once for each.
        is_compiled = all(step.compiled for step in twin_type.definition.pipeline)
        self._processors = [self._processor() for _ in range(2 if is_compiled else 1)]

    def step(self, part: Sequence[Row | int], trial: Trial, clock: Clock) -> Outcome:
        """Step rows and ticks."""
        self._first += len(self._part)
        self._part = part
        self.passed_over = {}
        block = Block.of_records(_LINEAGE.partition, self._records())
        if len(self._processors) > 1:
            self._processors[0].process(block)
            self._processors.pop(0)
        started_s = clock.monotonic_s()
        outcome = self._processors[0].process(block)
        trial.computing_s += clock.monotonic_s() - started_s
        return outcome

    def _processor(self) -> TwinProcessor:
        processor = TwinProcessor.of(self._type, _LINEAGE)
        if self._type.definition.provision == "declared":
            made = _record(0, 0, "trial", b'{"parameters":{},"tags":{}}', Kind.PARAMETERS)
            processor.process(Block.of_records(_LINEAGE.partition, [made]))
        if processor.version is not None:
            processor.version.watch = self._note
        return processor

    def _records(self) -> Iterator[Record]:
        for offset, item in enumerate(self._part, self._first):
            if not isinstance(item, Row):
                value, headers = tick_record(item)
                yield offset, item // 1_000_000, None, value, headers
            elif not item.fault:
                self._arrival_ns = self._arrival_ns if item.time_ns is None else item.time_ns
                yield _record(offset, self._arrival_ns, f"csv:{item.line}", item.payload)

    def _note(self, offsets: NDArray[np.int64], status: NDArray[np.uint8]) -> None:
        for index in np.flatnonzero((status == admission.DUPLICATE) | (status == admission.LATE)).tolist():
            row = self._part[int(offsets[index]) - self._first]
            if isinstance(row, Row):
                reason, detail = _PASSED_OVER[int(status[index])]
                self.passed_over[row.line] = Refusal(
                    line=row.line, reason=reason, detail=detail, raw=row.raw, passed_over=True
                )


def _record(offset: int, arrival_ns: int, source: str, payload: bytes, kind: Kind = Kind.TELEMETRY) -> Record:
    """A record of the input topic."""
    headers = input_headers(received_ns=arrival_ns, source=source, kind=kind)
    return offset, arrival_ns // 1_000_000, _TWIN, payload, headers


def _parts(items: Iterable[Row | int], size: int | None) -> Iterator[list[Row | int]]:
    """All items; None in one part, since what becomes of a row that waits is known later."""
    remaining = iter(items)
    while part := list(islice(remaining, size)):
        yield part


def _take(trial: Trial, outcome: Outcome, topics: TypeTopics) -> None:
    trial.accepted += outcome.counts.get(("accepted", ""), 0)
    trial.duplicate += outcome.counts.get(("duplicate", ""), 0)
    trial.late += outcome.counts.get(("late", ""), 0)
    trial.ticks += outcome.counts.get(("tick", ""), 0)
    for topic, count in ((topics.events, trial.events), (topics.commands, trial.commands)):
        for _, value, _ in outcome.outputs.get(topic, ()):
            named = msgspec.json.decode(value or b"", type=_Named)
            count[named.name] += named.status == "issued"
    series = ((text or b"").decode() for _, text, _ in outcome.outputs.get(topics.timeseries, ()))
    for point in chain.from_iterable(map(parse_lines, series)):
        for name, number in point.fields.items():
            trial.curves[name].add(point.time_ns or 0, float(number))


def _account(
    trial: Trial,
    rows: list[Row],
    outcome: Outcome,
    passed_over: dict[int, Refusal],
    refused: Callable[[Sequence[Refusal]], None],
) -> None:
    refusals = _refusals(rows, outcome)
    told = passed_over | refusals
    if told:
        refused([told[line] for line in sorted(told)])
    trial.records += len(rows)
    trial.refused += len(refusals)
    for line, refusal in sorted(refusals.items()):
        first, count = trial.reasons.get(refusal.reason, (line, 0))
        trial.reasons[refusal.reason] = first, count + 1
    times = [row.time_ns for row in rows if row.time_ns is not None and row.line not in refusals]
    if times:
        trial.first_ns = times[0] if trial.first_ns is None else trial.first_ns
        trial.last_ns = max(times if trial.last_ns is None else [trial.last_ns, *times])


def _refusals(rows: list[Row], outcome: Outcome) -> dict[int, Refusal]:
    """Refused rows by line."""
    found = {
        row.line: Refusal(line=row.line, reason=Reason.UNDECODABLE, detail=row.fault, raw=row.raw)
        for row in rows
        if row.fault
    }
    letters = [value or b"" for _, value, _ in outcome.outputs.get(DEADLETTER, ())]
    raw = {row.line: row.raw for row in rows} if letters else {}
    for value in letters:
        letter = msgspec.json.decode(value, type=DeadLetter)
        line = int(letter.source.removeprefix("csv:"))
        found[line] = Refusal(line=line, reason=letter.reason, detail=letter.detail, raw=raw[line])
    return found
