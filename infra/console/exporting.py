"""The history that a page shows, as a file that its viewer keeps."""

import asyncio
import tempfile
from pathlib import Path
from typing import NamedTuple

from connectors.series import Series
from infra.console.desk import Desk
from infra.recordings.history import History, read_history
from infra.recordings.table import write_table

MOST_POINTS = 1_000_000
"""Of one field: the file is made in the memory of the role."""


class Exported(NamedTuple):
    """A file.

    Attributes:
        content: CSV or Parquet.
        whole_until_ns: Event time behind which fields with more than `MOST_POINTS` lack points; None when none does.
    """

    content: bytes
    whole_until_ns: int | None


async def exported(
    desk: Desk, type_name: str, twin: str, fields: list[str], start_ns: int | None, stop_ns: int, suffix: str
) -> Exported:
    """The points of a stretch, up to `MOST_POINTS` of each field from its beginning.

    Raises:
        SetupError: the fields don't go into one file.
        StoreUnavailableError: the store does not answer.
    """

    async def read(field: str) -> History:
        async def ask(from_ns: int | None, limit: int) -> Series:
            begin_ns = start_ns if from_ns is None else from_ns
            return await desk.services.series.series(type_name, twin, field, begin_ns, stop_ns, limit)

        return await read_history(ask, MOST_POINTS)

    found = {field: await read(field) for field in fields}

    def written() -> bytes:
        with tempfile.TemporaryDirectory(prefix="twinstream-export-") as folder:
            file = Path(folder) / f"history{suffix}"
            write_table(file, {field: one.points for field, one in found.items()})
            return file.read_bytes()

    ends_ns = [one.points.time_ns[-1] for one in found.values() if one.cut]
    return Exported(await asyncio.to_thread(written), min(ends_ns, default=None))
