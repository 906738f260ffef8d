"""Tables of the file: one wide table per measurement, and which column holds which tag or field.

DuckDB takes `T1` and `t1` for the same column, line protocol does not: the table `columns` maps names to columns.
"""

import duckdb

from connectors.duckdb.columns import Shape

FORMAT = "1"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key VARCHAR PRIMARY KEY, value VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS positions (
    topic VARCHAR, "partition" INTEGER, next_offset BIGINT NOT NULL, PRIMARY KEY (topic, "partition"));
CREATE TABLE IF NOT EXISTS columns (
    measurement VARCHAR NOT NULL, kind VARCHAR NOT NULL, name VARCHAR NOT NULL, "column" VARCHAR NOT NULL);
"""
_TABLE, _TAG, _FIELD = "table", "tag", "field"
TWIN, WRITTEN, TIME_NS = "twin", "written", "time_ns"
"""Columns of every table: the tag `twin`, the order of writing, and the time."""


def quoted(identifier: str) -> str:
    """An identifier that stands for itself in SQL."""
    return '"' + identifier.replace('"', '""') + '"'


class Layout:
    """Known tables and columns; made and extended inside the caller's transaction."""

    def __init__(self, schema: str) -> None:
        """Start empty.

        Args:
            schema: Where the tables are, ready for SQL; it begins with the database, whose name is the file's and may
                itself be `series`.
        """
        self._schema = schema
        self._tables: dict[str, str] = {}
        self._columns: dict[tuple[str, str, str], str] = {}

    @classmethod
    def load(cls, connection: duckdb.DuckDBPyConnection) -> "Layout":
        """Read the layout of a file, and make what every file has."""
        (database,) = connection.execute("SELECT current_database()").fetchall()[0]
        layout = cls(f"{quoted(database)}.series")
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {layout._schema}; {_SCHEMA}")
        for measurement, kind, name, column in connection.execute("SELECT * FROM columns").fetchall():
            if kind == _TABLE:
                layout._tables[measurement] = column
            else:
                layout._columns[measurement, kind, name] = column
        return layout

    def copy(self) -> "Layout":
        """A layout to extend in a transaction; it counts once that is committed."""
        copied = Layout(self._schema)
        copied._tables = dict(self._tables)
        copied._columns = dict(self._columns)
        return copied

    def last_written(self, connection: duckdb.DuckDBPyConnection) -> int:
        """The highest order of writing in any table, -1 when all are empty."""
        last = -1
        for measurement in self._tables:
            row = connection.execute(f"SELECT max({WRITTEN}) FROM {self.table(measurement)}").fetchone()  # noqa: S608
            if row is not None and row[0] is not None:
                last = max(last, int(row[0]))
        return last

    def table(self, measurement: str) -> str | None:
        """The measurement's table, ready for SQL; None when nothing was written."""
        name = self._tables.get(measurement)
        return None if name is None else f"{self._schema}.{quoted(name)}"

    def field_column(self, measurement: str, field: str) -> str | None:
        """The field's column, ready for SQL; None when it was never written."""
        column = self._columns.get((measurement, _FIELD, field))
        return None if column is None else quoted(column)

    def columns_for(self, connection: duckdb.DuckDBPyConnection, shape: Shape) -> tuple[str, list[str], list[str]]:
        """Table, tag columns and field columns of a shape, ready for SQL; makes what is missing."""
        if shape.measurement not in self._tables:
            name = _distinct(shape.measurement, set(self._tables.values()))
            own = f"{TWIN} VARCHAR, {WRITTEN} BIGINT NOT NULL, {TIME_NS} BIGINT NOT NULL"
            connection.execute(f"CREATE TABLE {self._schema}.{quoted(name)} ({own})")
            self._remember(connection, shape.measurement, _TABLE, "", name)
        table = f"{self._schema}.{quoted(self._tables[shape.measurement])}"
        tags = [self._column(connection, shape.measurement, _TAG, tag) for tag in shape.tags]
        fields = [self._column(connection, shape.measurement, _FIELD, field) for field in shape.fields]
        return table, tags, fields

    def _column(self, connection: duckdb.DuckDBPyConnection, measurement: str, kind: str, name: str) -> str:
        if kind == _TAG and name == TWIN:
            return TWIN
        column = self._columns.get((measurement, kind, name))
        if column is None:
            taken = {TWIN, WRITTEN, TIME_NS} | {at for (of, _, _), at in self._columns.items() if of == measurement}
            column = _distinct(name, taken)
            type_name = "VARCHAR" if kind == _TAG else "DOUBLE"
            table = f"{self._schema}.{quoted(self._tables[measurement])}"
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {quoted(column)} {type_name}")
            self._remember(connection, measurement, kind, name, column)
        return quoted(column)

    def _remember(
        self, connection: duckdb.DuckDBPyConnection, measurement: str, kind: str, name: str, column: str
    ) -> None:
        connection.execute("INSERT INTO columns VALUES (?, ?, ?, ?)", [measurement, kind, name, column])
        if kind == _TABLE:
            self._tables[measurement] = column
        else:
            self._columns[measurement, kind, name] = column


def _distinct(name: str, taken: set[str]) -> str:
    """`name`, with a number behind it when another differs from it only in case."""
    used = {other.casefold() for other in taken}
    candidate, number = name, 1
    while candidate.casefold() in used:
        number += 1
        candidate = f"{name}~{number}"
    return candidate
