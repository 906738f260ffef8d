"""Records that their twins number, and what plain arithmetic says each of them must lead to.

Every value follows from seed, twin and number alone, so that nothing needs to be remembered but how many were sent.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

BOOT = "b"
_VALUES = 2001

Tally = tuple[float, float, float, float]
"""Count, sum, minimum and maximum."""


@dataclass
class Numbered:
    """Telemetry of some twins.

    Attributes:
        sent: Records of each twin so far, by its number.
    """

    seed: int
    twins: int
    sent: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.sent = [0] * self.twins
        self._rng = random.Random(self.seed)
        self._last_ns = 0

    def name(self, twin: int) -> str:
        return f"tally-{twin}"

    def value(self, twin: int, seq: int) -> float:
        """An integer from -1000 to 1000: sums are exact in whatever order they are made."""
        return float((self.seed + twin * 7919 + seq * 104_729) % _VALUES - 1000)

    def next(self, twin: int | None = None) -> tuple[str, bytes]:
        """Name and payload of the next record, of a drawn twin unless one is named; event times always grow."""
        twin = self._rng.randrange(self.twins) if twin is None else twin
        self.sent[twin] += 1
        seq = self.sent[twin]
        self._last_ns = max(self._last_ns + 1, time.time_ns())
        numbers = (self.value(twin, seq), self._last_ns, seq, BOOT.encode())
        return self.name(twin), b'{"value": %.1f, "time": %d, "seq": %d, "boot": "%s"}' % numbers

    @property
    def count(self) -> int:
        """Records of all twins so far."""
        return sum(self.sent)

    def identities(self) -> Iterator[tuple[str, int]]:
        """Twin and number of every record."""
        for twin, count in enumerate(self.sent):
            for seq in range(1, count + 1):
                yield self.name(twin), seq

    def tallies(self) -> Iterator[tuple[str, Tally]]:
        """What every record must lead to, exactly once."""
        for twin, count in enumerate(self.sent):
            name, total, low, high = self.name(twin), 0.0, 1000.0, -1000.0
            for seq in range(1, count + 1):
                value = self.value(twin, seq)
                total, low, high = total + value, min(low, value), max(high, value)
                yield name, (float(seq), total, low, high)
