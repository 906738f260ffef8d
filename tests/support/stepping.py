"""Stepping made-up records of one partition, cut into blocks at will, with restarts from the changelog in between."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from support.oracle import Result, block_of

from schemas.deployment import Switch
from schemas.headers import ID, KIND, NAME, RECEIVED, SOURCE
from schemas.messages import command_id
from schemas.partitioning import partition_of
from streams.block import Block
from streams.log.record import LogRecord
from streams.processor import Lineage, Outcome
from twins.processor import TwinProcessor
from twins.twin_type import TwinType

PARTITION = 0
PARTITIONS = 8
START_NS = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
LINEAGE = Lineage("cluster", "topic", PARTITION)


def ids_of(partition: int, count: int) -> list[bytes]:
    """Twin ids that live in a partition."""
    found = (name for number in range(10_000) if partition_of(name := f"twin-{number}", PARTITIONS) == partition)
    return [next(found).encode() for _ in range(count)]


TWINS = ids_of(PARTITION, 8)
STRANGERS = ids_of(PARTITION + 1, 1)


def changelog(rows: Iterable[tuple[bytes, bytes | None]]) -> Block:
    """Records of a changelog as they are read back."""
    return Block.of_records(PARTITION, [(offset, 0, key, value, ()) for offset, (key, value) in enumerate(rows)])


@dataclass
class Run:
    """What a processor did with records.

    Attributes:
        result: Last state of each twin, and all outputs.
        counts: What was counted, by (what, reason).
        changelog: Last value of each changelog key.
        outputs: Every output in order, by topic.
    """

    result: Result = field(default_factory=Result)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    changelog: dict[bytes, bytes | None] = field(default_factory=dict)
    outputs: dict[str, list[tuple[bytes | None, bytes]]] = field(default_factory=dict)

    def messages(self, kind: str) -> list[dict[str, Any]]:
        """JSON outputs on the topic that ends in `kind`, in order."""
        found = [values for topic, values in self.outputs.items() if topic.endswith(f".{kind}")]
        return [msgspec.json.decode(value) for values in found for _, value in values]

    def lines(self) -> list[str]:
        """Lines of time series, in order."""
        found = [values for topic, values in self.outputs.items() if topic.endswith(".timeseries")]
        return [line for values in found for _, value in values for line in value.decode().splitlines()]

    def take(self, outcome: Outcome) -> None:
        """Note what a block led to."""
        self.counts.update(outcome.counts)
        for topic, records in outcome.outputs.items():
            for key, value, _ in records:
                self.result.add_output(topic, key, value or b"")
                self.outputs.setdefault(topic, []).append((key, value or b""))


class Stepping:
    """A processor of one partition that can be thrown away and restored from its changelog."""

    def __init__(self, twin_type: TwinType) -> None:
        self.twin_type = twin_type
        self.run = Run()
        self.lineage = LINEAGE
        self.versions = {twin_type.content: twin_type}
        self.processor = TwinProcessor(str(twin_type.definition.type_name), LINEAGE, self.versions, twin_type.content)
        self._next_offset = 0
        self._log: list[tuple[bytes, bytes | None]] = []
        self._other: tuple[TwinProcessor, int] | None = None

    def step(self, *records: LogRecord) -> Run:
        """One block. Offsets are given here when the records have none (-1)."""
        numbered = []
        for record in records:
            at = self._next_offset if record.offset < 0 else record.offset
            numbered.append(record._replace(offset=at))
            self._next_offset = at + 1
        self.run.take(self.processor.process(block_of(numbered)))
        return self.run

    def snapshot(self) -> dict[bytes, bytes | None]:
        """Flush: changed rows go to the changelog."""
        changed = dict(self.processor.snapshot())
        self.run.changelog |= changed
        self._log += changed.items()
        for key, value in changed.items():
            if not key.startswith(b"#") and value is not None:
                self.run.result.states[key] = value
        return changed

    def switch(self, twin_type: TwinType) -> None:
        """Another version of the type, by a record of the input."""
        before, self.twin_type = self.twin_type, twin_type
        self.restart(before)
        self.versions[twin_type.content] = twin_type
        self.step(switch(twin_type.content))

    def restart(self, twin_type: TwinType | None = None) -> None:
        """Flush, and go on with a processor that knows only the changelog."""
        self.snapshot()
        current = twin_type or self.twin_type
        self.versions[current.content] = current
        self.processor = TwinProcessor(str(current.definition.type_name), self.lineage, self.versions, current.content)
        # Compaction keeps the order of the last writes; the layout is written before the rows that need it.
        self.processor.restore(changelog(self.run.changelog.items()))
        self.run.take(self.processor.restored())

    def hand_over(self, twin_type: TwinType | None = None) -> None:
        """Flush, and go on with another owner's processor, which knew the changelog up to its last turn."""
        self.snapshot()
        current = twin_type or self.twin_type
        mine = self.processor, len(self._log)
        fresh = TwinProcessor(str(current.definition.type_name), self.lineage, self.versions, current.content)
        self.processor, known = self._other or (fresh, 0)
        if self.processor.note() != mine[0].note():
            self.processor, known = fresh, 0
        self._other = mine
        missing = self._log[known:]
        for part in (missing[: len(missing) // 2], missing[len(missing) // 2 :]):
            self.processor.restore(changelog(part))
        self.run.take(self.processor.restored())

    def state(self, twin: bytes) -> Any:
        """A twin as people see it."""
        self.snapshot()
        return self.twin_type.layout.describe(self.run.result.states[twin])


def stepped(twin_type: TwinType, records: Sequence[LogRecord], cuts: Iterable[tuple[int, bool]] = ()) -> Run:
    """Step records in blocks that begin at `cuts`, restarting where a cut says so."""
    stepping = Stepping(twin_type)
    first = 0
    for cut, restart in sorted(cuts):
        if first < cut < len(records):
            stepping.step(*records[first:cut])
            first = cut
        if restart:
            stepping.restart()
    if records[first:]:
        stepping.step(*records[first:])
    stepping.snapshot()
    return stepping.run


def record(
    twin: bytes | None,
    value: bytes | None,
    *,
    kind: str = "",
    name: str = "",
    record_id: str = "",
    source: str = "",
    received_ns: int | None = None,
    offset: int = -1,
    timestamp_ms: int = START_NS // 1_000_000,
) -> LogRecord:
    """A record of the input topic; without any header given it has none."""
    given = [(KIND, kind), (NAME, name), (ID, record_id), (SOURCE, source)]
    headers = [(header, text.encode()) for header, text in given if text]
    if received_ns is not None:
        headers.append((RECEIVED, b"%d" % received_ns))
    return LogRecord("input", PARTITION, offset, timestamp_ms, twin, value, tuple(headers))


def reading(twin: bytes, at_s: float, /, **values: Any) -> LogRecord:
    """Telemetry with device time."""
    return record(twin, msgspec.json.encode({"time": START_NS + round(at_s * SECOND), **values}))


def request(twin: bytes, name: str, record_id: str = "r1", /, **arguments: Any) -> LogRecord:
    """A request."""
    return record(twin, msgspec.json.encode(arguments), kind="request", name=name, record_id=record_id)


def acknowledgement(offset: int, twin: bytes, name: str) -> bytes:
    """What a device answers to a command that the record at an offset led to."""
    cluster, topic_id, partition = LINEAGE.cluster, LINEAGE.topic_id, LINEAGE.partition
    command = command_id(
        cluster=cluster, topic_id=topic_id, partition=partition, offset=offset, twin=twin.decode(), name=name
    )
    return msgspec.json.encode({"id": command})


def tick(at_s: float) -> LogRecord:
    """A tick."""
    time_ns = START_NS + round(at_s * SECOND)
    return record(None, b'{"time_ns":%d}' % time_ns, kind="tick", source="ticks", received_ns=time_ns)


def switch(content: str) -> LogRecord:
    """A record from which on another version is in force."""
    value = msgspec.json.encode(Switch(definition=content))
    headers = ((KIND, b"switch"), (RECEIVED, b"%d" % START_NS))
    return LogRecord("t", PARTITION, -1, START_NS // 1_000_000, None, value, headers)


def put(
    twin: bytes, parameters: dict[str, Any], tags: dict[str, str] | None = None, record_id: str = "p1"
) -> LogRecord:
    """A parameter change."""
    value = msgspec.json.encode({"parameters": parameters, "tags": tags or {}})
    return record(twin, value, kind="parameters", record_id=record_id)


def write_type(folder: Path, definition: str, **files: str) -> Path:
    """A twin type's folder; `steps="…"` becomes `steps.py`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "twin.yaml").write_text(definition)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


PROBE = """\
name: probe
version: 1.0.0
inputs:
  a: {type: float, unit: degC, range: [-1000, 1000]}
  b: {type: int}
  c: {type: bool}
parameters:
  divisor: {type: float, default: 2.0}
  limit: {type: float, range: [0, 100], default: 50.0}
  mode: {type: string, choices: [slow, fast], default: slow}
  steps: {type: int, default: 1}
pipeline:
  - name: ratio
    step: steps.py:ratio
    state:
      total: {type: float}
      ring: {type: float, shape: [4]}
      calls: {type: int}
      seen: {type: bool}
    outputs:
      quotient: {type: float}
      calls: {type: int}
      high: {type: bool}
    requests:
      bump: steps.py:bump
      reset: steps.py:start
outputs:
  timeseries: {fields: [quotient, a, b, high], tags: [place]}
  events:
    went_high: {when: high, data: [quotient, b, c]}
    changed: {when: high, edge: both, severity: warning}
    switched_off: {when: c, edge: falling}
  commands:
    valve: {field: high, type: bool, refresh_s: 5, expires_s: 60}
    power: {field: quotient, type: float, range: [-200, 200]}
    count: {field: b, type: int}
  metadata: [high, b]
requests:
  limit:
    arguments: {limit: {range: [0, 100]}, steps: {type: int, required: false}}
    sets: {limit: limit, steps: steps}
  bump:
    arguments: {by: {type: float}, refuse: {type: bool, required: false}, fail: {type: bool, required: false}}
"""

PROBE_STEPS = '''\
"""Steps that fail in every way that a step can."""
import math


def ratio(state, a, b, c, divisor, limit, mode, steps, dt_s, records):
    state.total += a * dt_s
    state.calls += steps
    state.ring[b] = a  # out of bounds from 4 on
    state.seen = c
    if a == 13.0:
        return math.nan, state.calls, True
    if a == 14.0:
        state.total = math.inf
    quotient = a / divisor  # divides by zero when told to
    if mode == 1:
        quotient += state.total
    return quotient, state.calls, quotient > limit


def bump(state, by, refuse, fail, limit, a):
    state.total += by
    if refuse == 1:
        return "not today"
    if fail == 1:
        raise KeyError("no such thing")


def start(state):
    state.ring[0] = 7.0
'''


def probe_type(folder: Path, **changes: str) -> Path:
    """The probe's folder, with lines added on top, such as `late="flag"`."""
    added = "".join(f"{name}: {value}\n" for name, value in changes.items())
    return write_type(folder, PROBE + added, steps=PROBE_STEPS)
