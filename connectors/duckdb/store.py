"""Time series in one DuckDB file that one process owns: written by the sink, read by queries in the same process."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import duckdb
import structlog

from connectors.duckdb.columns import ColumnReader, Columns
from connectors.duckdb.layout import FORMAT, TIME_NS, WRITTEN, Layout
from connectors.duckdb.query import buckets_of, oldest_points
from connectors.lines import without
from connectors.series import SERIES_LIMIT, Buckets, Series, bucket_width
from connectors.stores import Block, StoreRefusedError, StoreUnavailableError
from schemas.errors import SetupError

log = structlog.get_logger(__name__)
T = TypeVar("T")

MEMORY_LIMIT = "64MB"
"""All of it fills with blocks of the file, which the system keeps in its own cache anyway; writing takes some 15 MB."""

_READERS = 2
_ABOUT_THE_DATA = (duckdb.DataError, duckdb.IntegrityError)
"""Errors that come again with the same blocks; all others speak of disk, memory or the database."""
_CHANGE_POSITION = "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)"


class DuckDBStore:
    """A `PositionedSeriesSink` and a `SeriesReader` over one file.

    Points and the log's positions are in the same transaction: a block is stored once, whatever is repeated.
    """

    def __init__(self, path: Path, *, log_id: str, threads: int = 2, memory_limit: str = MEMORY_LIMIT) -> None:
        """Store the options.

        Args:
            path: The file; made when it is absent.
            log_id: Which log the positions refer to (the cluster's id); with another log they start anew.
            threads: Of DuckDB.
            memory_limit: Of DuckDB, in its own notation.
        """
        self._path = path
        self._log_id = log_id
        self._options: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "memory_limit": memory_limit,
            # Nothing in here needs another file or the network.
            "enable_external_access": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        self._writer = ThreadPoolExecutor(1, "duckdb-write")
        self._readers = ThreadPoolExecutor(_READERS, "duckdb-read")
        self._columns = ColumnReader()
        self._layout = Layout("")
        self._positions: dict[tuple[str, int], int] = {}
        self._next_written = 0
        self._connection: duckdb.DuckDBPyConnection | None = None

    async def __aenter__(self) -> Self:
        """Open the file.

        Raises:
            SetupError: another process has it open, or it is no such file.
        """
        try:
            await self._in(self._writer, self._open)
        except BaseException:
            await asyncio.to_thread(self._close)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish what runs and close the file."""
        await asyncio.to_thread(self._close)

    async def positions(self) -> Mapping[tuple[str, int], int]:
        """Next offset per (topic, partition)."""
        return dict(self._positions)

    async def write(self, blocks: Sequence[Block]) -> None:
        """Store blocks and how far the log is stored, in one transaction.

        Raises:
            StoreRefusedError: lines that can't be read; nothing is stored yet.
            StoreUnavailableError: the disk or the memory does not suffice.
            ValueError: the database can't hold something in it; nothing is stored.
        """
        await self._in(self._writer, lambda: self._write(blocks))

    async def series(
        self, type_name: str, twin: str, field: str, start_ns: int | None, stop_ns: int | None, limit: int
    ) -> Series:
        """The oldest `limit` points between `start_ns` and `stop_ns`, both inclusive.

        Raises:
            StoreUnavailableError: the query failed.
            ValueError: `limit` is outside its range.
        """
        if not 1 <= limit <= SERIES_LIMIT:
            message = f"limit must be 1 to {SERIES_LIMIT}"
            raise ValueError(message)
        table, column = self._layout.table(type_name), self._layout.field_column(type_name, field)
        if table is None or column is None:
            return Series()

        def query() -> Series:
            with self._opened.cursor() as cursor:
                return oldest_points(cursor, table, column, twin=twin, start_ns=start_ns, stop_ns=stop_ns, limit=limit)

        return await self._in(self._readers, query)

    async def buckets(self, type_name: str, twin: str, field: str, start_ns: int, stop_ns: int, count: int) -> Buckets:
        """What the points come to in at most `count` stretches of equal length.

        Raises:
            StoreUnavailableError: the query failed.
            ValueError: as for `bucket_width`.
        """
        width_ns = bucket_width(start_ns, stop_ns, count)
        table, column = self._layout.table(type_name), self._layout.field_column(type_name, field)
        if table is None or column is None:
            return Buckets()

        def query() -> Buckets:
            with self._opened.cursor() as cursor:
                return buckets_of(
                    cursor, table, column, twin=twin, start_ns=start_ns, stop_ns=stop_ns, width_ns=width_ns
                )

        return await self._in(self._readers, query)

    @property
    def _opened(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            message = "use DuckDBStore in `async with`"
            raise RuntimeError(message)
        return self._connection

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except (duckdb.FatalException, duckdb.InternalException):
            # The database is unusable from here on; a new process recovers it from its log.
            raise
        except duckdb.Error as error:
            message = f"{self._path}: {error}"
            raise StoreUnavailableError(message) from error

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = duckdb.connect(str(self._path), config=self._options)
        except (duckdb.Error, OSError) as error:
            raise SetupError(_why_not_opened(self._path, str(error))) from error
        self._connection = connection
        self._layout = Layout.load(connection)
        about = dict(connection.execute("SELECT key, value FROM about").fetchall())
        if about.get("format", FORMAT) != FORMAT:
            message = f"{self._path} was written by another version of twinstream: move it away and start again"
            raise SetupError(message)
        if about.get("log_id", self._log_id) != self._log_id:
            log.warning("the log is another one, its positions start anew", file=str(self._path))
            connection.execute("DELETE FROM positions")
        connection.execute("INSERT OR REPLACE INTO about VALUES ('format', ?), ('log_id', ?)", [FORMAT, self._log_id])
        rows = connection.execute('SELECT topic, "partition", next_offset FROM positions').fetchall()
        self._positions = {(topic, partition): next_offset for topic, partition, next_offset in rows}
        self._next_written = self._layout.last_written(connection) + 1

    def _close(self) -> None:
        self._readers.shutdown()
        self._writer.shutdown()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write(self, blocks: Sequence[Block]) -> None:
        fresh = [block for block in blocks if block.position.offset >= self._positions.get(block.position[:2], 0)]
        if not fresh:
            return
        columns, refusals = self._columns.read(fresh)
        if refusals:
            bad = frozenset(refusal.raw for refusal in refusals)
            raise StoreRefusedError(refusals, [Block(block.position, without(block.lines, bad)) for block in fresh])
        positions = dict(self._positions)
        for (topic, partition, offset), _ in fresh:
            positions[topic, partition] = offset + 1
        changed = dict(positions.items() - self._positions.items())
        layout = self._layout.copy()
        connection = self._opened
        connection.execute("BEGIN")
        try:
            for batch in columns:
                _insert(connection, layout, batch, self._next_written)
            for (topic, partition), next_offset in changed.items():
                connection.execute(_CHANGE_POSITION, [topic, partition, next_offset])
            connection.execute("COMMIT")
        except _ABOUT_THE_DATA as error:
            connection.execute("ROLLBACK")
            raise ValueError(*error.args) from error
        except BaseException:
            with suppress(duckdb.Error):  # a failed commit has rolled back by itself
                connection.execute("ROLLBACK")
            raise
        self._layout = layout
        self._positions = positions
        self._next_written += 1 + max((int(batch.number[-1]) for batch in columns), default=-1)


def _insert(connection: duckdb.DuckDBPyConnection, layout: Layout, batch: Columns, first_written: int) -> None:
    table, tags, fields = layout.columns_for(connection, batch.shape)
    data: dict[str, object] = {WRITTEN: batch.number + first_written, TIME_NS: batch.time_ns}
    data |= {f"tag{at}": column for at, column in enumerate(batch.tags)}
    data |= {f"field{at}": column for at, column in enumerate(batch.fields)}
    connection.register("batch", data)
    try:
        into = ", ".join([WRITTEN, TIME_NS, *tags, *fields])
        connection.execute(f"INSERT INTO {table} ({into}) SELECT {', '.join(data)} FROM batch")  # noqa: S608
    finally:
        connection.unregister("batch")


def _why_not_opened(path: Path, error: str) -> str:
    if "lock" in error:
        holder = re.search(r"PID (\d+)", error)
        who = f"process {holder[1]}" if holder else "another process"
        return f"{path} is in use by {who}: stop that one, or choose another data directory"
    return f"{path} can't be opened ({error.splitlines()[0]}): make it accessible or move it away"
