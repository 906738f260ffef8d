"""The loss account of all partitions, added up, in a file that is there while Kafka is away.

Workers keep the account of a partition in its changelog (`twins.account`), as exact as a twin's state. The latest of
each partition is kept here, so that reading it twice adds nothing.
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

Sums = dict[tuple[str, str], Figures]
"""Figures by type and source."""

log = structlog.get_logger(__name__)


class _Stored(msgspec.Struct):
    """One partition in the file."""

    type: str
    partition: int
    account: PartitionAccount


class Accounts:
    """Follows the accounts of all partitions.

    Args:
        file: Where to keep them; None keeps them in memory.
        unknown: Telemetry that bridges refused because its type is not deployed, by type and source.
    """

    def __init__(self, file: Path | None = None, unknown: Callable[[], Mapping[tuple[str, str], int]] = dict) -> None:
        self._file = file
        self._unknown = unknown
        self._accounts: dict[tuple[str, int], PartitionAccount] = {}
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
                    self._take(type_name, record.partition, account)
                elif key.startswith(TRAILS_KEY_PREFIX):
                    self._take_trails(type_name, key.removeprefix(TRAILS_KEY_PREFIX).decode(), record.value)
            except (msgspec.MsgspecError, UnicodeError) as error:
                place = f"{record.topic}/{record.partition}/{record.offset}"
                log.warning("an account can't be read", record=place, error=str(error))

    def sums(self) -> Sums:
        """Everything so far."""
        found: Sums = {}
        for (type_name, _), account in self._accounts.items():
            for source, figures in account.sources.items():
                if figures.received:
                    found.setdefault((type_name, source), Figures()).add(figures)
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

    def twins(self, type_name: str, limit: int) -> list[dict[str, Any]]:
        """Twins of which most is missing, with the counters that are, as far as the workers remember them."""
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
            if type_name in {"", of_type}
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
        return msgspec.json.encode([_Stored(*place, account) for place, account in self._accounts.items()])

    def _take(self, type_name: str, partition: int, account: PartitionAccount) -> None:
        known = self._accounts.get((type_name, partition))
        if known is not None and known.topic_id == account.topic_id and known.received > account.received:
            return  # read once more, from before what the file has
        for place, other in list(self._accounts.items()):
            if other.cluster != account.cluster:
                del self._accounts[place]
        self._accounts[type_name, partition] = account
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
        self._accounts = {(one.type, one.partition): one.account for one in stored}
