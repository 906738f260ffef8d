"""Plays a recording through a twin type's compiled steps: one twin, exactly as a worker steps it, without Kafka."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

import msgspec

from infra.authoring.curve import Curve
from infra.authoring.recording import Row
from schemas.clock import NS_PER_S, Clock, SystemClock
from schemas.headers import Kind, input_headers
from schemas.line_protocol import parse_lines
from schemas.messages import DeadLetter
from schemas.reasons import Reason
from schemas.topics import DEADLETTER, TypeTopics
from streams.block import Block, Record
from streams.processor import Lineage, Outcome
from twins.processor import TwinProcessor
from twins.twin_type import TwinType

PARTITIONS = 1

_TWIN = b"trial"
_LINEAGE = Lineage("trial", "trial", 0)
_BLOCK_RECORDS = 2000
_S_PER_HOUR = 3600.0


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A row that the type would refuse.

    Attributes:
        line: Of the file, 1-based.
        reason: That of its dead letter.
        raw: What stands in the file.
    """

    line: int
    reason: str
    detail: str
    raw: str


class _Named(msgspec.Struct):
    name: str
    status: str = "issued"


@dataclass
class Trial:
    """What a recording led to.

    Attributes:
        records: Rows of the file.
        refused: Rows that would become dead letters.
        accepted: Rows that were stepped; the others were duplicates or late.
        events: Number by name; `commands` likewise.
        curves: Of every field that is stored as time series.
        computing_s: Spent by the worker's pass, decoding included, compiling excluded.
    """

    records: int = 0
    refused: int = 0
    accepted: int = 0
    duplicate: int = 0
    late: int = 0
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
    twin_type: TwinType, rows: Iterable[Row], refused: Callable[[Refusal], None], clock: Clock | None = None
) -> Trial:
    """Step every row; each arrives at its own event time.

    Args:
        twin_type: Loaded for `PARTITIONS` partitions, and warmed up.
        rows: In the order of the file.
        refused: Is told of every row that would be refused, in this order.
        clock: Measures computing.
    """
    clock = clock or SystemClock()
    trial = Trial()
    processor = _processor(twin_type)
    topics = TypeTopics(str(twin_type.definition.type_name))
    arrival_ns = 0
    for number, part in enumerate(_parts(rows)):
        records: list[Record] = []
        for row in part:
            arrival_ns = arrival_ns if row.time_ns is None else row.time_ns
            if not row.fault:
                records.append(_record(row.line, arrival_ns, row.payload))
        block = Block.of_records(_LINEAGE.partition, records)
        if number == 0:
            # What is compiled at the first records is no part of computing.
            _processor(twin_type).process(block)
        started_s = clock.monotonic_s()
        outcome = processor.process(block)
        trial.computing_s += clock.monotonic_s() - started_s
        _take(trial, outcome, topics)
        refusals = _refusals(part, outcome)
        for line in sorted(refusals):
            refused(refusals[line])
        trial.records += len(part)
        trial.refused += len(refusals)
        times = [row.time_ns for row in part if row.time_ns is not None and row.line not in refusals]
        if times:
            trial.first_ns = times[0] if trial.first_ns is None else trial.first_ns
            trial.last_ns = max(times if trial.last_ns is None else [trial.last_ns, *times])
    return trial


def _processor(twin_type: TwinType) -> TwinProcessor:
    processor = TwinProcessor.of(twin_type, _LINEAGE)
    if twin_type.definition.provision == "declared":
        made = _record(0, 0, b'{"parameters":{},"tags":{}}', Kind.PARAMETERS)
        processor.process(Block.of_records(_LINEAGE.partition, [made]))
    return processor


def _record(line: int, arrival_ns: int, payload: bytes, kind: Kind = Kind.TELEMETRY) -> Record:
    """A record of the input topic: its offset is the line of the file."""
    headers = input_headers(received_ns=arrival_ns, source=f"csv:{line}", kind=kind)
    return line, arrival_ns // 1_000_000, _TWIN, payload, headers


def _parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while part := list(islice(remaining, _BLOCK_RECORDS)):
        yield part


def _take(trial: Trial, outcome: Outcome, topics: TypeTopics) -> None:
    trial.accepted += outcome.counts.get(("accepted", ""), 0)
    trial.duplicate += outcome.counts.get(("duplicate", ""), 0)
    trial.late += outcome.counts.get(("late", ""), 0)
    for topic, count in ((topics.events, trial.events), (topics.commands, trial.commands)):
        for _, value, _ in outcome.outputs.get(topic, ()):
            named = msgspec.json.decode(value or b"", type=_Named)
            count[named.name] += named.status == "issued"
    series = ((text or b"").decode() for _, text, _ in outcome.outputs.get(topics.timeseries, ()))
    for point in chain.from_iterable(map(parse_lines, series)):
        for name, number in point.fields.items():
            trial.curves[name].add(point.time_ns or 0, float(number))


def _refusals(part: list[Row], outcome: Outcome) -> dict[int, Refusal]:
    """Refused rows by line."""
    found = {
        row.line: Refusal(line=row.line, reason=Reason.UNDECODABLE, detail=row.fault, raw=row.raw)
        for row in part
        if row.fault
    }
    letters = [value or b"" for _, value, _ in outcome.outputs.get(DEADLETTER, ())]
    raw = {row.line: row.raw for row in part} if letters else {}
    for value in letters:
        letter = msgspec.json.decode(value, type=DeadLetter)
        line = int(letter.source.removeprefix("csv:"))
        found[line] = Refusal(line=line, reason=letter.reason, detail=letter.detail, raw=raw[line])
    return found
