"""The course of one field over a whole recording, in bounded memory."""

from typing import NamedTuple

_MOST = 2048


class _Spell(NamedTuple):
    """The smallest and the largest value of some consecutive records, and when they were."""

    low: float
    low_ns: int
    high: float
    high_ns: int

    def joined(self, later: "_Spell") -> "_Spell":
        low, low_ns = (later.low, later.low_ns) if later.low < self.low else (self.low, self.low_ns)
        high, high_ns = (later.high, later.high_ns) if later.high > self.high else (self.high, self.high_ns)
        return _Spell(low, low_ns, high, high_ns)


class Curve:
    """Keeps the extremes of equally many records each, so that no peak is lost however long the recording is."""

    def __init__(self) -> None:
        self._spells: list[_Spell] = []
        self._per_spell = 1
        self._in_last = 1

    def add(self, time_ns: int, value: float) -> None:
        """Append a value."""
        spell = _Spell(value, time_ns, value, time_ns)
        if self._in_last < self._per_spell:
            self._spells[-1] = self._spells[-1].joined(spell)
            self._in_last += 1
            return
        if len(self._spells) == _MOST:
            pairs = zip(self._spells[::2], self._spells[1::2], strict=True)
            self._spells = [first.joined(second) for first, second in pairs]
            self._per_spell *= 2
        self._spells.append(spell)
        self._in_last = 1

    def points(self) -> tuple[list[int], list[float]]:
        """UTC nanoseconds, never decreasing within a recording that doesn't, and values."""
        found = []
        for spell in self._spells:
            found += sorted({(spell.low_ns, spell.low), (spell.high_ns, spell.high)})
        return [time_ns for time_ns, _ in found], [value for _, value in found]
