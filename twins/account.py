"""The loss account of one partition: exactly once like everything else, because it is kept in rows of the changelog.

What a twin's row tells is the highest counter of the boot that it heard of last, all before it having come. That is
enough for a device that loses nothing; what else there is to know of a twin stands in a row beside it (`Trails`).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.account import UNTOLD_SOURCE, Figures, PartitionAccount
from schemas.counters import NO_SEQ, Counter, counter_of, read_counter
from schemas.errors import InvalidNameError
from schemas.headers import BOOT, KIND, REDRIVE, SEQ, Kind
from schemas.names import check_twin_id
from streams.block import Block
from streams.processor import RESERVED_KEY_PREFIX, Lineage
from twins.account_scan import KEY_BITS, UNREADABLE, advance, expect
from twins.account_sources import Sources, source_of
from twins.arrival import Arrivals
from twins.columns import BootHashes, Columns
from twins.ids import NO_SLOT
from twins.layout import RATED
from twins.record import header
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
_NO_ROWS = np.zeros(0, np.int64)


class Account:
    """Counts what came into one partition and what is missing.

    Results depend on the order of records, not on how they fell into blocks.
    """

    def __init__(self, lineage: Lineage) -> None:
        self._lineage = lineage
        self._boots = BootHashes()
        self._sources = Sources()
        self._figures: list[Figures] = []
        self._trails: dict[bytes, Trails] = {}
        self._strangers: set[bytes] = set()
        self._changed: set[bytes] = set()
        self._is_changed = False

    # -- the changelog -------------------------------------------------------------------------------------------

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take in a row that `snapshot` wrote."""
        if key == ACCOUNT_KEY:
            stored = msgspec.json.decode(value or b"", type=PartitionAccount)
            for source, figures in stored.sources.items():
                self._of(source, figures)
            return
        twin = key.removeprefix(TRAILS_KEY_PREFIX)
        if value is None:
            self._trails.pop(twin, None)
        else:
            self._trails[twin] = Trails.read(value)

    def restored(self, population: "Population | None") -> None:
        """Find out who has no row, once all rows are there."""
        known = population.table.slots if population is not None else {}
        self._strangers = {twin for twin in self._trails if twin not in known}

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
        self, block: Block, came: Arrivals, columns: Columns, slot: NDArray[np.int64], population: "Population"
    ) -> "Looked":
        """Look at n records, entering nothing.

        Args:
            block: The records.
            came: How they came here.
            columns: What they say.
            slot: (n,) rows, `NO_SLOT` for refused ones.
            population: The twins.
        """
        seq, boot = columns.seq, columns.boot
        if columns.refused:
            seq, boot, slot = seq.copy(), boot.copy(), slot.copy()
            for index in columns.refused:
                seq[index], boot[index], slot[index] = self._refused(block, index, population)
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

    def take_one(self, block: Block, index: int, population: "Population | None") -> None:
        """Enter a record that nothing steps, unless it is no telemetry or was entered before, as a dead letter."""
        if block.offset(index) in block.unreadable or header(block, index, REDRIVE):
            return
        if header(block, index, KIND) in _TELEMETRY:
            self._enter_one(block, index, population)

    def take_refusal(self, block: Block, index: int, population: "Population | None") -> None:
        """Enter telemetry that a bridge refused, from its note."""
        self._enter_one(block, index, population)
        self._of(source_of(block, index)).deadlettered += 1

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

    def deadlettered(self, block: Block, index: int) -> None:
        """Count a record that became a dead letter, if it is telemetry."""
        if block.offset(index) in block.unreadable:
            figures = self._of(UNTOLD_SOURCE)
            figures.received += 1
        elif header(block, index, KIND) in _TELEMETRY:
            figures = self._of(source_of(block, index))
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
        self._figures += [Figures() for _ in range(len(self._sources.names) - len(self._figures))]

    def _refused(self, block: Block, index: int, population: "Population | None") -> tuple[int, int, int]:
        """Counter, boot and row of a record that can't be stepped."""
        key = block.key(index) or b""
        slot = population.table.slots.get(key, NO_SLOT) if population is not None else NO_SLOT
        counter = _counter(block, index)
        if counter is None or (slot < 0 and not _may_live(key, population)):
            return UNREADABLE, 0, NO_SLOT
        return counter.seq, self._boots.of(counter.boot), slot

    def _enter_one(self, block: Block, index: int, population: "Population | None") -> None:
        seq, boot, slot = self._refused(block, index, population)
        source = self._sources.index(source_of(block, index))
        looked = Looked(np.array([source]), np.array([boot]), np.array([seq]), np.array([slot]))
        self.enter(block.part(index, index + 1), looked, population)

    def _turn(self, twin: bytes, key: int, seq: int, source: int, slot: int, rows: "Rows") -> None:
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


class Rows(NamedTuple):
    """What twins' rows tell: (rows,) hash of source and boot, and the highest counter of it."""

    keys: NDArray[np.int64]
    seqs: NDArray[np.int64]

    @classmethod
    def of(cls, population: "Population | None") -> "Rows":
        """Views of them, to be written to."""
        if population is None:
            return cls(_NO_ROWS, _NO_ROWS)
        rows = population.table.rows
        return cls(rows["account_key"], rows["account_seq"])


def _counter(block: Block, index: int) -> Counter | None:
    found = read_counter(block.value(index) or b"")
    if found is None or found.seq == NO_SEQ:
        found = counter_of(header(block, index, SEQ), header(block, index, BOOT)) or found
    return found


def _may_live(key: bytes, population: "Population | None") -> bool:
    """Whether a key may be a twin of the partition; without a version, any twin."""
    if population is not None:
        return population.wrong_key(key) is None
    try:
        check_twin_id(key.decode(errors="replace"))
    except InvalidNameError:
        return False
    return True
