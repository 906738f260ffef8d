"""The history that a page shows, as a file that its viewer keeps."""

import asyncio
import tempfile
from pathlib import Path

from connectors.series import Series
from infra.console.desk import Desk
from infra.recordings.table import write_table

_PAGE = 100_000
_MOST_POINTS = 1_000_000


async def exported(
    desk: Desk, type_name: str, twin: str, fields: list[str], start_ns: int | None, stop_ns: int, suffix: str
) -> bytes:
    """Every point of a stretch, up to a million of each field, as a CSV or Parquet file.

    Raises:
        StoreUnavailableError: the store does not answer.
    """
    found = {field: await _all(desk, type_name, twin, field, start_ns, stop_ns) for field in fields}

    def written() -> bytes:
        with tempfile.TemporaryDirectory(prefix="twinstream-export-") as folder:
            file = Path(folder) / f"history{suffix}"
            write_table(file, found)
            return file.read_bytes()

    return await asyncio.to_thread(written)


async def _all(desk: Desk, type_name: str, twin: str, field: str, start_ns: int | None, stop_ns: int) -> Series:
    found = Series()
    while len(found.time_ns) < _MOST_POINTS:
        page = await desk.services.series.series(type_name, twin, field, start_ns, stop_ns, _PAGE)
        found.time_ns += page.time_ns
        found.value += page.value
        if len(page.time_ns) < _PAGE:
            break
        start_ns = page.time_ns[-1] + 1
    return found
