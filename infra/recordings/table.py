"""History as a file: one row for each time, one column for each field, CSV or Parquet."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import duckdb
import numpy as np

from connectors.series import Series
from infra.authoring.recording import TIME
from infra.recordings.reading import SUFFIXES
from schemas.errors import SetupError


def write_table(path: Path, series: Mapping[str, Series]) -> int:
    """Write fields side by side; where one has no point at a time its cell is empty.

    Args:
        path: `.csv` or `.parquet`; replaced when it is there.
        series: Points by field, oldest first.

    Returns:
        How many rows it has.

    Raises:
        SetupError: the file can't be written, is of another kind, or names differ in case only.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        message = f"{path.name} is neither {' nor '.join(SUFFIXES)}"
        raise SetupError(message)
    _check_names(series)
    given = [np.array(one.time_ns, dtype=np.int64) for one in series.values()]
    times = np.unique(np.concatenate(given)) if given else np.empty(0, np.int64)
    data: dict[str, np.ndarray] = {"time": times}
    for number, (one, own) in enumerate(zip(series.values(), given, strict=True)):
        values = np.full(len(times), np.nan)
        values[np.searchsorted(times, own)] = one.value
        data[f"field_{number}"] = values
    columns = ", ".join(
        f'CASE WHEN isnan(field_{number}) THEN NULL ELSE field_{number} END AS "{name}"'
        for number, name in enumerate(series)
    )
    select = f'SELECT "time"{", " + columns if columns else ""} FROM data ORDER BY "time"'  # noqa: S608 - names of our grammar
    options = "FORMAT csv, HEADER" if kind == ".csv" else "FORMAT parquet, COMPRESSION zstd"
    target = str(path).replace("'", "''")
    try:
        with duckdb.connect() as connection:
            connection.register("data", data)
            connection.execute(f"COPY ({select}) TO '{target}' ({options})")
    except duckdb.Error as error:
        message = f"{path} can't be written: {str(error).splitlines()[0]}"
        raise SetupError(message) from None
    return len(times)


def _check_names(fields: Iterable[str]) -> None:
    """DuckDB, like most of what reads such files, tells no columns apart by case, and would rename one of them."""
    seen = {TIME: TIME}
    for field in fields:
        other = seen.setdefault(field.lower(), field)
        if other == TIME:
            message = (
                f"the field {field} and the column {TIME} differ in case only, which readers of the file take for one;"
                " export the other fields with `twinstream export --field`"
            )
            raise SetupError(message)
        if other != field:
            message = (
                f"the fields {other} and {field} differ in case only, which readers of the file take for one;"
                f" export {other} and {field} one by one with `twinstream export --field`"
            )
            raise SetupError(message)
