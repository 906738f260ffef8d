"""Which counters of a device have come: one trail per source and boot, with its holes."""

from bisect import bisect_right
from dataclasses import dataclass, field

import msgspec

MOST_HOLES = 100
"""Of a trail; of more the oldest is given up as missing for good."""
MOST_TRAILS = 16
"""Of a twin, beside the present one; of more the one not heard of longest is forgotten, so that what still comes of it
counts as another boot."""


class Gain(msgspec.Struct, frozen=True):
    """What a counter adds to the account.

    Attributes:
        expected: Further messages that the device sent, as its highest counter says.
        missing: How many more of them have not come; negative where one that was missing came.
        duplicate: 1 where it had come before.
    """

    expected: int = 0
    missing: int = 0
    duplicate: int = 0


_BEGUN = Gain(expected=1)
_DUPLICATE = Gain(duplicate=1)
_FOUND = Gain(missing=-1)


@dataclass(slots=True)
class Trail:
    """Counters of one boot from one source, counted from 1, or from 0 once that has come.

    Attributes:
        source: Where they came from, if any are missing.
        top: Highest that came.
        holes: First and last of each stretch below `top` that did not come, in order.
        zero: Whether 0 came, too, with which some devices begin.
    """

    source: str = ""
    top: int = 0
    holes: list[tuple[int, int]] = field(default_factory=list)
    zero: bool = False

    def enter(self, seq: int) -> Gain:
        """Take in a counter."""
        if seq > self.top:
            gap = seq - self.top - 1
            if gap:
                self.holes.append((self.top + 1, seq - 1))
                del self.holes[:-MOST_HOLES]
            gain = Gain(expected=seq - self.top, missing=gap)
            self.top = seq
            return gain
        if seq == 0:
            if self.zero:
                return _DUPLICATE
            self.zero = True
            return _BEGUN
        return self._fill(seq)

    def _fill(self, seq: int) -> Gain:
        at = bisect_right(self.holes, seq, key=_first) - 1
        if at < 0 or seq > self.holes[at][1]:
            return _DUPLICATE
        first, last = self.holes[at]
        self.holes[at : at + 1] = [part for part in ((first, seq - 1), (seq + 1, last)) if part[0] <= part[1]]
        # A hole that splits may be one too many.
        del self.holes[:-MOST_HOLES]
        return _FOUND


def _first(hole: tuple[int, int]) -> int:
    return hole[0]


class StoredTrail(msgspec.Struct, frozen=True, omit_defaults=True):
    """A trail in the changelog, where the account of a twin is an array of them.

    Attributes:
        key: Hash of source and boot.
    """

    key: int
    source: str
    top: int
    holes: list[tuple[int, int]] = []
    zero: bool = False


class Trails:
    """Trails of one twin beside the one that its row tells of, which is here only where it has holes."""

    def __init__(self) -> None:
        self._of: dict[int, Trail] = {}

    def __len__(self) -> int:
        """How many."""
        return len(self._of)

    def get(self, key: int) -> Trail | None:
        """One of them."""
        return self._of.get(key)

    def park(self, key: int, top: int, *, zero: bool) -> None:
        """Put beside a row what it told until now."""
        trail = self._of.pop(key, None) or Trail()
        trail.top, trail.zero = top, zero
        self._of[key] = trail

    def keep(self, key: int, trail: Trail, *, in_row: bool) -> None:
        """Keep the present trail, unless the row says all of it; forget what was not heard of longest of too many."""
        self._of.pop(key, None)
        while len(self._of) > MOST_TRAILS:
            del self._of[next(iter(self._of))]
        if trail.holes or not in_row:
            self._of[key] = trail

    def describe(self) -> bytes:
        """For the changelog."""
        return msgspec.json.encode(
            # Where nothing is missing nobody asks for the source.
            [
                StoredTrail(key, one.source if one.holes else "", one.top, one.holes, one.zero)
                for key, one in self._of.items()
            ]
        )

    @classmethod
    def read(cls, value: bytes) -> "Trails":
        """What `describe` wrote."""
        trails = cls()
        for one in stored_trails(value):
            trails._of[one.key] = Trail(one.source, one.top, list(one.holes), one.zero)
        return trails


def stored_trails(value: bytes) -> list[StoredTrail]:
    """Trails of a twin as the changelog has them."""
    return msgspec.json.decode(value, type=list[StoredTrail])
