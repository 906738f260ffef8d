"""The loss account of all partitions, added up, in a file that is there while Kafka is away.

Workers keep the account of a partition in its changelog (`twins.account`), as exact as a twin's state. The latest of
each partition is kept here, so that reading it twice adds nothing. All that are kept of a type are of one input: where
the log of a partition shows two, the later one is the present one; else the clocks of their writers have to tell.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from schemas.account import FIGURES, Figures, PartitionAccount
from schemas.topics import type_of_topic
from streams.log.record import LogRecord
from twins.account import ACCOUNT_KEY, TRAILS_KEY_PREFIX
from twins.trails import StoredTrail, stored_trails

_MOST_TWINS = 100_000
_SHOWN_HOLES = 20
_NONE = Figures()

Sums = dict[tuple[str, str], Figures]
"""Figures by type and source."""

log = structlog.get_logger(__name__)


class _Stored(msgspec.Struct):
    """One partition, as it is in the file.

    Attributes:
        type: Name of the type.
        partition: Of the input topic.
        account: The latest.
        written_ms: When, by the clock of the worker's host.
        offset: Of its record in the changelog.
    """

    type: str
    partition: int
    account: PartitionAccount
    written_ms: int = 0
    offset: int = -1

    @property
    def input(self) -> tuple[str, str]:
        """Cluster and id of the input topic, which no other ever has."""
        return self.account.cluster, self.account.topic_id

    def is_before(self, other: "_Stored") -> bool:
        """Whether the other one of the same partition was written after it, or is the same.

        A changelog that was made anew begins with lower offsets at a later time.
        """
        return self.offset <= other.offset and self.written_ms <= other.written_ms

    def is_rival(self, other: "_Stored") -> bool:
        """Whether only one of two can be of an input that is still there."""
        return self.account.cluster != other.account.cluster or (self.type == other.type and self.input != other.input)


class Accounts:
    """Follows the accounts of all partitions.

    Args:
        file: Where to keep them; None keeps them in memory.
        unknown: Telemetry that bridges refused because its type is not deployed, by type and source.
    """

    def __init__(self, file: Path | None = None, unknown: Callable[[], Mapping[tuple[str, str], int]] = dict) -> None:
        self._file = file
        self._unknown = unknown
        self._accounts: dict[tuple[str, int], _Stored] = {}
        self._filed: set[tuple[str, int]] = set()
        """Whose account is from the file: the log is read from further back."""
        self._inputs: dict[tuple[str, int], tuple[str, str]] = {}
        """Input that was read of last, of each partition."""
        self._past: set[tuple[str, str]] = set()
        """Inputs that another one followed in the log of some partition."""
        self._holes: dict[tuple[str, str], list[StoredTrail]] = {}
        self._is_saved = True
        self._load()

    def apply(self, records: Iterable[LogRecord]) -> None:
        """Take in records of state topics, each partition's in order."""
        for record in records:
            key = record.key
            if key is None or not key.startswith(ACCOUNT_KEY):
                continue
            type_name = type_of_topic(record.topic)
            try:
                if key == ACCOUNT_KEY and record.value is not None:
                    account = msgspec.json.decode(record.value, type=PartitionAccount)
                    self._take(_Stored(type_name, record.partition, account, record.timestamp_ms, record.offset))
                elif key.startswith(TRAILS_KEY_PREFIX):
                    self._take_trails(type_name, key.removeprefix(TRAILS_KEY_PREFIX).decode(), record.value)
            except (msgspec.MsgspecError, UnicodeError) as error:
                place = f"{record.topic}/{record.partition}/{record.offset}"
                log.warning("an account can't be read", record=place, error=str(error))

    def sums(self) -> Sums:
        """Everything so far."""
        found: Sums = {}
        # Metrics are asked for from another thread: lists are made in one go.
        for one in list(self._accounts.values()):
            for source, figures in list(one.account.sources.items()):
                # Of a partition that knows a source by notes alone nothing was received.
                if figures != _NONE:
                    found.setdefault((one.type, source), Figures()).add(figures)
        for (type_name, source), number in self._unknown().items():
            refused = Figures(received=number, deadlettered=number)
            found.setdefault((type_name, source), Figures()).add(refused)
        return found

    def rows(self, type_name: str = "") -> list[dict[str, Any]]:
        """One for each source and type, or of one type only."""
        return [
            {"source": source, "type": of_type, **{name: getattr(figures, name) for name in FIGURES}}
            for (of_type, source), figures in sorted(self.sums().items())
            if type_name in {"", of_type}
        ]

    def twins(
        self, type_name: str, limit: int, sees: Callable[[str, str], bool] = lambda *_: True
    ) -> list[dict[str, Any]]:
        """Twins of which most is missing, with the counters that are, as far as the workers remember them.

        Args:
            type_name: Only of this type, `""` for any.
            limit: Most of them.
            sees: Whether a twin may be shown, from type and id.
        """
        rows = (
            {
                "type": of_type,
                "id": twin,
                "source": trail.source,
                "missing": sum(last - first + 1 for first, last in trail.holes),
                "ranges": trail.holes[-_SHOWN_HOLES:],
            }
            for (of_type, twin), trails in self._holes.items()
            for trail in trails
            if type_name in {"", of_type} and sees(of_type, twin)
        )
        return heapq.nsmallest(limit, rows, key=lambda row: (-int(str(row["missing"])), row["type"], row["id"]))

    @property
    def file(self) -> Path | None:
        """Where they are kept."""
        return self._file

    def due(self) -> bytes | None:
        """What the file is to hold, None when it holds it already."""
        if self._is_saved or self._file is None:
            return None
        self._is_saved = True
        return msgspec.json.encode(list(self._accounts.values()))

    def _take(self, one: _Stored) -> None:
        place = one.type, one.partition
        before = self._inputs.get(place, one.input)
        self._inputs[place] = one.input
        if before != one.input:
            self._past.add(before)
        if one.input in self._past or (place in self._filed and one.is_before(self._accounts[place])):
            return
        rivals = {where: other for where, other in self._accounts.items() if one.is_rival(other)}
        if any(other.written_ms > one.written_ms for other in rivals.values() if other.input not in self._past):
            return  # of an input that is no more
        for where in rivals:
            del self._accounts[where]
        self._filed -= {place, *rivals}
        gone = {type_name for type_name, _ in rivals}
        for twin in [twin for twin in self._holes if twin[0] in gone]:
            del self._holes[twin]
        self._accounts[place] = one
        self._is_saved = False

    def _take_trails(self, type_name: str, twin: str, value: bytes | None) -> None:
        trails = [] if value is None else [trail for trail in stored_trails(value) if trail.holes]
        if not trails:
            self._holes.pop((type_name, twin), None)
        elif len(self._holes) < _MOST_TWINS or (type_name, twin) in self._holes:
            self._holes[type_name, twin] = trails

    def _load(self) -> None:
        if self._file is None or not self._file.exists():
            return
        try:
            stored = msgspec.json.decode(self._file.read_bytes(), type=list[_Stored])
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("the account can't be read, the log is read again", file=str(self._file), error=str(error))
            return
        self._accounts = {(one.type, one.partition): one for one in stored}
        self._filed = set(self._accounts)
