"""Whether every record of a load was stepped exactly once: input against time series, record by record."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec


class _Timed(msgspec.Struct):
    time: int


class Balance:
    """Records of an input topic against lines of time series, each by partition, twin and event time."""

    def __init__(self) -> None:
        self.sent = self.stored = 0
        self._open: Counter[tuple[int, bytes, int]] = Counter()
        self._decoder = msgspec.json.Decoder(_Timed)

    def take_record(self, partition: int, twin: bytes, payload: bytes) -> None:
        """A record of telemetry with a time; each twin has its own."""
        self.sent += 1
        self._add(partition, twin, self._decoder.decode(payload).time, 1)

    def take_lines(self, partition: int, block: bytes) -> None:
        """Lines of time series, whose first tag is the twin."""
        for line in block.splitlines():
            self.stored += 1
            series, _, rest = line.partition(b" ")
            twin = series.partition(b"twin=")[2].partition(b",")[0]
            self._add(partition, twin, int(rest.rpartition(b" ")[2]), -1)

    def _add(self, partition: int, twin: bytes, time_ns: int, times: int) -> None:
        place = partition, twin, time_ns
        self._open[place] += times
        if not self._open[place]:
            del self._open[place]

    @property
    def lost(self) -> int:
        """Records without a line."""
        return sum(times for times in self._open.values() if times > 0)

    @property
    def doubled(self) -> int:
        """Lines without a record of their own."""
        return -sum(times for times in self._open.values() if times < 0)


def longest_pause_s(moves: Mapping[int, Sequence[float]], partitions: int, since_s: float, until_s: float) -> float:
    """The longest that a partition stood still between two moments; a pause that is not over counts as far as it went.

    Args:
        moves: When each partition moved, increasing.
        partitions: How many there are, also those that never moved.
        since_s: Pauses that end earlier do not count.
        until_s: The end.
    """
    longest_s = 0.0
    for partition in range(partitions):
        times = [*moves.get(partition, ()), until_s]
        times.insert(0, min(since_s, times[0]))
        longest_s = max(longest_s, *(after - before for before, after in pairwise(times) if after >= since_s))
    return longest_s
