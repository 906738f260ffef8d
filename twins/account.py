"""The loss account of one partition: exactly once like everything else, because it is kept in rows of the changelog.

What a twin's row tells is the highest counter of the boot that it heard of last, all before it having come. That is
enough for a device that loses nothing; what else there is to know of a twin stands in a row beside it (`Trails`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.account import UNTOLD_SOURCE, Figures, PartitionAccount
from schemas.counters import NO_SEQ
from schemas.headers import COUNTED, KIND, RECEIVED, REDRIVE, Kind
from schemas.topics import TypeTopics
from streams.block import Block, ReadRecord
from streams.processor import RESERVED_KEY_PREFIX, Lineage, Outcome
from twins.account_refused import Refused
from twins.account_rows import Rows, forget_counters
from twins.account_scan import KEY_BITS, advance, expect
from twins.account_sources import Sources, source_of
from twins.arrival import Arrivals, arrival_ns
from twins.columns import Columns
from twins.layout import RATED
from twins.trails import Trail, Trails

if TYPE_CHECKING:
    from twins.population import Population

ACCOUNT_KEY = RESERVED_KEY_PREFIX + b"account"
"""Figures of the partition."""
TRAILS_KEY_PREFIX = ACCOUNT_KEY + b"/"
"""Of a twin's trails; its id follows."""

MOST_STRANGERS = 10_000
"""Of a partition: senders without a row whose counters are followed. Those of any further one are not looked at."""

_TELEMETRY = (b"", Kind.TELEMETRY.value.encode())


class Account:
    """Counts what came into one partition and what is missing.

    Results depend on the order of records, not on how they fell into blocks.

    Args:
        type_name: Of the twins.
        lineage: Where records come from.
    """

    def __init__(self, type_name: str, lineage: Lineage) -> None:
        self._lineage = lineage
        self._refused = Refused(TypeTopics(type_name).telemetry)
        self._sources = Sources()
        self._figures: list[Figures] = []
        self._trails: dict[bytes, Trails] = {}
        self._strangers: set[bytes] = set()
        self._changed: set[bytes] = set()
        self._is_changed = False
        self._is_of_other_input = False

    # -- the changelog -------------------------------------------------------------------------------------------

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take in a row that `snapshot` wrote."""
        if key == ACCOUNT_KEY:
            stored = msgspec.json.decode(value or b"", type=PartitionAccount)
            of = stored.cluster, stored.topic_id
            self._is_of_other_input = of != (self._lineage.cluster, self._lineage.topic_id)
            for source, figures in stored.sources.items():
                self._of(source, Figures() if self._is_of_other_input else figures)
            return
        twin = key.removeprefix(TRAILS_KEY_PREFIX)
        if value is None:
            self._trails.pop(twin, None)
        else:
            self._trails[twin] = Trails.read(value)

    def restored(self, population: "Population | None") -> None:
        """Find out who has no row, once all rows are there."""
        if self._is_of_other_input:
            self._begin_anew(population)
        known = population.table.slots if population is not None else {}
        keys = Rows.of(population).keys
        # A row that was made since, and heard of no counter yet, knows less than the trails.
        self._strangers = {twin for twin in self._trails if twin not in known or not keys[known[twin]]}

    def _begin_anew(self, population: "Population | None") -> None:
        """Know of no counter: what came by an input that is no more is not there in the one that was made anew."""
        self._changed.update(self._trails)
        self._trails.clear()
        if population is not None:
            forget_counters(population)
        self._is_changed, self._is_of_other_input = True, False

    def snapshot(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Rows that changed since the last time."""
        if self._is_changed:
            self._is_changed = False
            sources = dict(zip(self._sources.names, self._figures, strict=True))
            stored = PartitionAccount(self._lineage.cluster, self._lineage.topic_id, sources)
            yield ACCOUNT_KEY, msgspec.json.encode(stored)
        for twin in sorted(self._changed):
            trails = self._trails.get(twin)
            yield TRAILS_KEY_PREFIX + twin, None if trails is None else trails.describe()
        self._changed.clear()

    # -- telemetry -----------------------------------------------------------------------------------------------

    def look(
        self,
        block: Block,
        came: Arrivals,
        columns: Columns,
        slot: NDArray[np.int64],
        population: "Population",
        refused: Mapping[int, ReadRecord],
    ) -> "Looked":
        """Look at n records, entering nothing.

        Args:
            block: The records.
            came: How they came here.
            columns: What they say.
            slot: (n,) rows, `NO_SLOT` for refused ones.
            population: The twins.
            refused: Those that can't be stepped, by index.
        """
        seq, boot = columns.seq, columns.boot
        self._refused.forget_astray()
        if refused:
            seq, boot, slot, at = seq.copy(), boot.copy(), slot.copy(), list(refused)
            said = zip(refused.values(), seq[at].tolist(), boot[at].tolist(), strict=True)
            told = [self._refused.told(*one, population)[:3] for one in said]
            seq[at], boot[at], slot[at] = np.array(told, np.int64).T
        return Looked(self._sources.find(block.data, came), boot, seq, slot)

    def enter(self, block: Block, looked: "Looked", population: "Population | None") -> None:
        """Enter n records, once, in the order in which they came."""
        self._is_changed = True
        self._grow()
        sources, seq, slot = looked.sources, looked.seq, looked.slot
        rows = Rows.of(population)
        keys = (looked.boot ^ self._sources.codes[sources]) & KEY_BITS
        keys[keys == 0] = -KEY_BITS
        expected = np.zeros(len(self._figures), np.int64)
        columns = slot, keys, seq, sources, rows.keys, rows.seqs, expected
        at = 0
        while (at := advance(at, *columns, not self._strangers)) < len(seq):
            self._turn(block.key(at) or b"", int(keys[at]), int(seq[at]), int(sources[at]), int(slot[at]), rows)
            at += 1
        received = np.bincount(sources, minlength=len(self._figures))
        for figures, more, came in zip(self._figures, expected.tolist(), received.tolist(), strict=True):
            figures.expected += more
            figures.received += came
        if population is not None:
            population.table.dirty[slot[slot >= 0]] = 1

    def pass_on(self, outcome: Outcome) -> None:
        """Send notes of what was last looked at, and lies where its twin is not, to where the twin's counters are."""
        self._refused.pass_on(outcome)

    def take_one(self, block: Block, index: int, population: "Population | None", outcome: Outcome) -> None:
        """Enter a record that nothing steps, unless it is no telemetry or was entered before, as a dead letter."""
        told = dict(block.headers(index))
        if block.offset(index) in block.unreadable or told.get(REDRIVE):
            return
        if told.get(KIND, b"") in _TELEMETRY:
            self._enter_one(block.part(index, index + 1), told, population)
            self.pass_on(outcome)

    def take_refusal(self, block: Block, index: int, population: "Population | None") -> None:
        """Enter telemetry that a bridge refused, or that lay in another partition, from its note."""
        told = dict(block.headers(index))
        if told.get(COUNTED):
            self._enter_counted(block, index, source_of(told), population)
        else:
            self._enter_one(block.part(index, index + 1), told, population)
            self._of(source_of(told)).deadlettered += 1

    def stepped(
        self,
        looked: "Looked",
        repeated: NDArray[np.bool_],
        late: NDArray[np.bool_],
        received_ns: NDArray[np.int64],
        population: "Population",
    ) -> None:
        """Count what only stepping shows.

        Args:
            looked: What `look` gave.
            repeated: (n,) which of them were recognised as sent before.
            late: (n,) which were older than their twin's last.
            received_ns: (n,) arrival.
            population: The twins.
        """
        # Of those with a counter it is known for longer than stepping remembers.
        repeated = repeated & (looked.seq == NO_SEQ)
        for source in looked.sources[repeated].tolist():
            self._figures[source].duplicate += 1
            self._figures[source].expected -= 1
        for source in looked.sources[late].tolist():
            self._figures[source].late += 1
        if population.expected_rate_hz:
            self._expect(looked, repeated, received_ns, population)
        # What waited for earlier records was entered when it came, maybe long before.
        self._is_changed = True

    def _expect(
        self,
        looked: "Looked",
        repeated: NDArray[np.bool_],
        received_ns: NDArray[np.int64],
        population: "Population",
    ) -> None:
        missing = np.zeros(len(self._figures), np.int64)
        rated = (population.table.rows[name] for name in RATED)
        codes, rate_hz = self._sources.codes, population.expected_rate_hz
        expect(rate_hz, looked.slot, looked.seq, looked.sources, codes, received_ns, repeated, *rated, missing)
        for figures, more in zip(self._figures, missing.tolist(), strict=True):
            figures.expected += more
            figures.missing += more

    def deadlettered_of(self, looked: "Looked", indices: Sequence[int]) -> None:
        """Count telemetry at `indices` that became dead letters."""
        for source, times in zip(*np.unique(looked.sources[indices], return_counts=True), strict=True):
            self._figures[source].deadlettered += int(times)
        self._is_changed = True

    def deadlettered(self, told: Mapping[str, bytes], *, is_readable: bool) -> None:
        """Count a record that became a dead letter, if it is telemetry; `told` is what its headers say."""
        if not is_readable:
            figures = self._of(UNTOLD_SOURCE)
            figures.received += 1
        elif told.get(KIND, b"") in _TELEMETRY:
            figures = self._of(source_of(told))
        else:
            return
        figures.deadlettered += 1
        self._is_changed = True

    def _of(self, source: str, restored: Figures | None = None) -> Figures:
        """Figures of a source."""
        index = self._sources.index(source)
        self._grow()
        if restored is not None:
            self._figures[index] = restored
        return self._figures[index]

    def _grow(self) -> None:
        while len(self._figures) < len(self._sources.names):
            self._figures.append(Figures())

    def _enter_one(self, block: Block, told: Mapping[str, bytes], population: "Population | None") -> None:
        """Enter a block of one record, whose headers say this."""
        (record,) = block.records([0])
        self._refused.forget_astray()
        seq, boot, slot, _ = self._refused.read(record, population)
        source = self._sources.index(source_of(told))
        looked = Looked(np.array([source]), np.array([boot]), np.array([seq]), np.array([slot]))
        self.enter(block, looked, population)
        if population is not None and population.expected_rate_hz:
            received = np.array([arrival_ns(told.get(RECEIVED, b""), record[1])])
            self._expect(looked, np.zeros(1, np.bool_), received, population)

    def _enter_counted(self, block: Block, index: int, source: str, population: "Population | None") -> None:
        """Enter what a note tells of records that count as received where they lay."""
        (note,) = block.records([index])
        known = self._refused.read_note(note[3] or b"", population)
        if not known:
            return
        seq, boot, slot = np.array([one[:3] for one in known], np.int64).T
        sources = np.full(len(known), self._sources.index(source))
        named = Block.of_records(block.partition, [(*note[:2], one.key, None, ()) for one in known])
        looked = Looked(sources, boot.copy(), seq.copy(), slot.copy())
        self.enter(named, looked, population)
        self._of(source).received -= len(known)

    def _turn(self, twin: bytes, key: int, seq: int, source: int, slot: int, rows: Rows) -> None:
        """Enter a counter that does not just follow the last one of its twin's row."""
        figures = self._figures[source]
        trails = self._trails.get(twin)
        had = trails is not None
        if trails is None:
            if slot < 0 and len(self._strangers) >= MOST_STRANGERS:
                figures.expected += 1
                return
            trails = Trails()
        told = int(rows.keys[slot]) if slot >= 0 else key
        before, zero = told & KEY_BITS, bool(told & ~KEY_BITS)
        trail = trails.get(key) or Trail()
        if slot >= 0 and before == key:
            trail.top, trail.zero = int(rows.seqs[slot]), zero
        elif slot >= 0 and before:
            trails.park(before, int(rows.seqs[slot]), zero=zero)
        gain = trail.enter(seq)
        trail.source = self._sources.names[source]
        figures.expected += gain.expected
        figures.missing += gain.missing
        figures.duplicate += gain.duplicate
        if slot >= 0:
            rows.keys[slot], rows.seqs[slot] = key | trail.zero, trail.top
            self._strangers.discard(twin)
        else:
            self._strangers.add(twin)
        trails.keep(key, trail, in_row=slot >= 0)
        if len(trails):
            self._trails[twin] = trails
        else:
            self._trails.pop(twin, None)
        if (had or len(trails)) and not (gain.duplicate and before == key and slot >= 0):
            self._changed.add(twin)


class Looked(NamedTuple):
    """n records: (n,) index of the source, hash of the boot, counter, and row of each, as far as they are known."""

    sources: NDArray[np.int64]
    boot: NDArray[np.int64]
    seq: NDArray[np.int64]
    slot: NDArray[np.int64]
