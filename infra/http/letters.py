"""A dead letter with what became of it, its place in an order, and which letters somebody means."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from schemas.messages import DeadLetter


class Place(NamedTuple):
    """Where a letter stands in an order: a time in milliseconds, then partition and offset."""

    time_ms: int
    partition: int
    offset: int

    def __str__(self) -> str:
        """Text that names this place."""
        return f"{self.time_ms}-{self.partition}-{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Undo `str`.

        Raises:
            ValueError: `text` is no such thing.
        """
        time_ms, partition, offset = map(int, text.split("-"))
        return cls(time_ms, partition, offset)


class Entry(NamedTuple):
    """A letter.

    Attributes:
        place: Where it stands in the order that was asked for.
        raw: The JSON of the letter, as written.
        redriven: JSON of what became of it, None when it was not sent again.
    """

    place: Place
    raw: bytes
    redriven: bytes | None

    def letter(self) -> DeadLetter:
        """The letter by itself."""
        return msgspec.json.decode(self.raw, type=DeadLetter)

    def shown(self) -> bytes:
        """JSON of the letter with what became of it."""
        if self.redriven is None:
            return self.raw
        return msgspec.json.encode(msgspec.json.decode(self.raw) | {"redriven": msgspec.Raw(self.redriven)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which letters are meant: what is left empty means all.

    Attributes:
        ids: Ids, or beginnings of ids.
        since_ns: Earliest arrival.
        until_ns: Latest arrival.
    """

    type: str = ""
    reason: str = ""
    ids: tuple[str, ...] = ()
    since_ns: int | None = None
    until_ns: int | None = None

    def condition(self) -> tuple[str, list[Any]]:
        """As SQL and its arguments."""
        wanted = [
            ("letters.type = ?", self.type or None),
            ("letters.reason = ?", self.reason or None),
            ("letters.received_ns >= ?", self.since_ns),
            ("letters.received_ns <= ?", self.until_ns),
        ]
        terms = [term for term, value in wanted if value is not None]
        values: list[Any] = [value for _, value in wanted if value is not None]
        if self.ids:
            terms.append(f"({' OR '.join(['(letters.id >= ? AND letters.id < ?)'] * len(self.ids))})")
            values += [bound for text in self.ids for bound in (text, text + "\U0010ffff")]
        return " AND ".join(terms) or "1", values
