"""Dead letters: each with what became of it, and how many there were, in a file that is there while Kafka is away.

The file follows `twinstream.deadletter` and holds nothing that is not in it: without the file, or with one of another
log, the topic is read again from its beginning.
"""

import math
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import structlog

from infra.http.letter_file import opened
from infra.http.letters import Entry, Place, Selection
from schemas.account import source_named
from schemas.headers import LETTER, UNKNOWN
from schemas.messages import SENT, DeadLetter, LetterNote, Redriven
from schemas.names import parse_type
from schemas.reasons import Reason
from streams.log.record import LogRecord

BATCH_BYTES = 8 * 1024 * 1024
"""Of what is due a batch, which is one transaction, takes in no more once it holds this much."""
_LABELS_LIMIT = 200
_OTHER = "other"
_REASONS = frozenset(reason.value for reason in Reason)
_MALFORMED = (msgspec.MsgspecError, UnicodeError, OverflowError, RecursionError)
_OF_LOG = ("letters", "notes", "positions", "counts", "refusals", "log")
_DONE = (SENT, "accepted", "duplicate", "late", "rejected")
"""Outcomes of a letter that is not sent again, even when those that were refused again are."""
_REFUSED_AGAIN = f"notes.outcome NOT IN ({', '.join(map(repr, _DONE))})"

log = structlog.get_logger(__name__)


class DeadLetters:
    """Follows `twinstream.deadletter`. Methods may be called from any thread.

    Args:
        file: Where to keep them; None keeps them in memory.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._lock = threading.RLock()
        self._base = opened(file)
        self._malformed = 0
        self._load()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    def belong_to(self, log_id: str) -> None:
        """Forget everything unless it is of this log."""
        with self._transaction():
            known = self._base.execute("SELECT id FROM log").fetchone()
            if known != (log_id,):
                for table in _OF_LOG:
                    self._base.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own
                self._base.execute("INSERT INTO log VALUES (?)", (log_id,))
        self._load()

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """How many there were in the log by (type, reason), repeats and purged ones too."""
        with self._lock:
            return Counter(self._counts)

    @property
    def refusals(self) -> dict[tuple[str, str], int]:
        """How much telemetry bridges refused because its type is not deployed, by type and source."""
        with self._lock:
            rows = self._base.execute("SELECT type, source, number FROM refusals").fetchall()
        return {(type_name, source): number for type_name, source, number in rows}

    def positions(self) -> dict[int, int]:
        """Next offset of each partition."""
        with self._lock:
            return dict(self._base.execute("SELECT place, next FROM positions"))

    def apply(self, records: Iterable[LogRecord]) -> None:
        """Take in records of the topic, each partition's in order."""
        with self._transaction():
            for record in records:
                if record.value is not None:
                    try:
                        if record.header(LETTER):
                            self._take_note(msgspec.json.decode(record.value, type=LetterNote))
                        else:
                            self._take_letter(record, msgspec.json.decode(record.value, type=DeadLetter), record.value)
                    except _MALFORMED as error:
                        self._report(record, error)
                self._base.execute(
                    "INSERT INTO positions VALUES (?1, ?2, ?3) ON CONFLICT (place) DO UPDATE"
                    " SET next = ?2, turn_ms = max(turn_ms, ?3)",
                    (record.partition, record.offset + 1, record.timestamp_ms),
                )

    def expire(self, before_ms: int) -> None:
        """Forget letters that were written before a time: Kafka keeps them no longer either."""
        with self._transaction():
            old = "SELECT id FROM letters WHERE written_ms < ?"
            self._base.execute(f"DELETE FROM notes WHERE id IN ({old})", (before_ms,))  # noqa: S608 - a constant
            self._base.execute("DELETE FROM letters WHERE written_ms < ?", (before_ms,))

    def note(self, notes: Iterable[LetterNote]) -> None:
        """Take in what was just written to the topic, before it is read from there."""
        with self._transaction():
            for note in notes:
                self._take_note(note)

    def newest(
        self, selection: Selection | None = None, *, after: Place | None = None, limit: int = 100
    ) -> list[Entry]:
        """Letters by time of writing, newest first, from behind the place `after`."""
        return self._entries(selection or Selection(), "written_ms", "<", after, limit)[0]

    def due(
        self, selection: Selection, *, refused_again: bool = False, after: Place | None = None, limit: int = 1000
    ) -> tuple[list[Entry], bool]:
        """Letters that were not sent again yet, oldest first, of each partition in the order of the topic.

        Args:
            selection: Which.
            refused_again: Also those that were sent, and refused again.
            after: From behind this place.
            limit: Most of them; `BATCH_BYTES` end them earlier.

        Returns:
            They, and whether there are more behind them.
        """
        wanted = f"(notes.outcome IS NULL OR {_REFUSED_AGAIN})" if refused_again else "notes.value IS NULL"
        return self._entries(selection, "turn_ms", ">", after, limit, wanted, BATCH_BYTES)

    def number(self, selection: Selection, *, refused_again: bool = False) -> int:
        """How many there are; with `refused_again` only those that were sent, and refused again."""
        condition, values = selection.condition()
        text = f"SELECT count(*) FROM letters WHERE {condition}"  # noqa: S608 - of constants; values are arguments
        if refused_again:
            text = (
                "SELECT count(*) FROM letters JOIN notes ON notes.id = letters.id"  # noqa: S608 - likewise
                f" WHERE {condition} AND {_REFUSED_AGAIN}"
            )
        with self._lock:
            (found,) = self._base.execute(text, values).fetchone()
        return int(found)

    def _entries(
        self,
        selection: Selection,
        order: str,
        direction: str,
        after: Place | None,
        limit: int,
        also: str = "1",
        most_bytes: float = math.inf,
    ) -> tuple[list[Entry], bool]:
        condition, values = selection.condition()
        way = "ASC" if order == "turn_ms" else "DESC"
        if after is not None:
            condition += f" AND (letters.{order}, letters.place, letters.position) {direction} (?, ?, ?)"
            values += after
        places = f"letters.{order}, letters.place, letters.position"
        text = (
            f"SELECT {places}, letters.value, notes.value FROM letters LEFT JOIN notes ON notes.id = letters.id"  # noqa: S608 - constants
            f" WHERE {condition} AND {also} ORDER BY letters.{order} {way}, letters.place {way}, letters.position {way}"
            " LIMIT ?"
        )
        found: list[Entry] = []
        size_bytes = 0
        with self._lock, closing(self._base.execute(text, [*values, limit + 1])) as rows:
            for row in rows:
                if len(found) == limit or size_bytes >= most_bytes:
                    return found, True
                found.append(Entry(Place(*row[:3]), row[3], row[4]))
                size_bytes += len(row[3])
        return found, False

    def _take_letter(self, record: LogRecord, letter: DeadLetter, value: bytes) -> None:
        self._base.execute(
            "INSERT OR IGNORE INTO letters SELECT ?1, ?2, ?3, ?4,"
            " max(?2, ifnull((SELECT turn_ms FROM positions WHERE place = ?3), ?2)), ?5, ?6, ?7, ?8"
            " WHERE NOT EXISTS (SELECT 1 FROM notes WHERE id = ?1 AND purged_ns)",
            (
                *(letter.id, record.timestamp_ms, record.partition, record.offset),
                *(letter.type, letter.reason, letter.received_ns, value),
            ),
        )
        label = self._label(letter.type)
        self._count(label, letter.reason if letter.reason in _REASONS else _OTHER)
        if record.header(UNKNOWN):
            self._base.execute(
                "INSERT INTO refusals VALUES (?1, ?2, 1) ON CONFLICT (type, source) DO UPDATE SET number = number + 1",
                (label, source_named(letter.source)),
            )

    def _take_note(self, note: LetterNote) -> None:
        if note.purged_ns:
            self._base.execute(
                "INSERT INTO notes (id, purged_ns) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET purged_ns = ?2",
                (note.id, note.purged_ns),
            )
            self._base.execute("DELETE FROM letters WHERE id = ?", (note.id,))
        if (redriven := note.redriven) is not None:
            row = self._base.execute("SELECT position, outcome FROM notes WHERE id = ?", (note.id,)).fetchone()
            at, outcome = row if row is not None and row[0] is not None else (-1, SENT)
            # The two that tell of one sending come over different partitions, in any order.
            if redriven.offset > at or (redriven.offset == at and outcome == SENT):
                self._base.execute(
                    "INSERT INTO notes (id, outcome, position, value) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id)"
                    " DO UPDATE SET outcome = ?2, position = ?3, value = ?4",
                    (note.id, redriven.outcome, redriven.offset, msgspec.json.encode(_plain(redriven))),
                )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._base.execute("COMMIT")
            except BaseException:
                # A disk that is full may have ended it already.
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                self._load()
                raise

    def _load(self) -> None:
        with self._lock:
            found = self._base.execute("SELECT type, reason, number FROM counts").fetchall()
        self._counts: Counter[tuple[str, str]] = Counter(
            {(type_name, reason): number for type_name, reason, number in found}
        )
        self._labels = {type_name for type_name, _, _ in found} - {"", _OTHER}

    def _count(self, label: str, reason: str) -> None:
        self._counts[label, reason] += 1
        self._base.execute(
            "INSERT INTO counts VALUES (?1, ?2, 1) ON CONFLICT (type, reason) DO UPDATE SET number = number + 1",
            (label, reason),
        )

    def _label(self, type_name: str) -> str:
        """A type as label of a metric: anybody may send any name, so their number is bounded."""
        if type_name in self._labels:
            return type_name
        try:
            parse_type(type_name)
        except ValueError:
            return _OTHER if type_name else ""
        if len(self._labels) >= _LABELS_LIMIT:
            return _OTHER
        self._labels.add(type_name)
        return type_name

    def _report(self, record: LogRecord, error: Exception) -> None:
        self._count("", _OTHER)
        self._malformed += 1
        if self._malformed == 1:
            place = f"{record.topic}/{record.partition}/{record.offset}"
            log.warning("a record among the dead letters is none", record=place, error=str(error))


def _plain(redriven: Redriven) -> dict[str, Any]:
    """With every key, also those that the log leaves out."""
    return {name: getattr(redriven, name) for name in redriven.__struct_fields__}
