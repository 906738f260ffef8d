"""History as a file: one row for each time, one column for each field, CSV or Parquet."""

from collections.abc import Mapping
from pathlib import Path

import duckdb
import numpy as np

from connectors.series import Series
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
        SetupError: the file can't be written, or is of another kind.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        message = f"{path.name} is neither {' nor '.join(SUFFIXES)}"
        raise SetupError(message)
    given = [np.array(one.time_ns, dtype=np.int64) for one in series.values()]
    times = np.unique(np.concatenate(given)) if given else np.empty(0, np.int64)
    data: dict[str, np.ndarray] = {"time": times}
    for (name, one), own in zip(series.items(), given, strict=True):
        values = np.full(len(times), np.nan)
        values[np.searchsorted(times, own)] = one.value
        data[name] = values
    columns = ", ".join(f'CASE WHEN isnan("{name}") THEN NULL ELSE "{name}" END AS "{name}"' for name in series)
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
