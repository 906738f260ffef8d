"""Time series in InfluxDB 2: blocks are posted as they are, history is asked in Flux."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from connectors.influx.client import InfluxClient, RejectedError
from connectors.influx.flux import FluxError, buckets, oldest_points, read_buckets, read_points
from connectors.influx.refusals import PlacedLine, write_lines
from connectors.lines import lines_of
from connectors.series import SERIES_LIMIT, Buckets, Series, bucket_width
from connectors.settings import TimeseriesSettings
from connectors.stores import Block, Refusal, StoreRefusedError, StoreUnavailableError

BATCH_BYTES = 1024 * 1024
"""One post holds about this much."""


class InfluxStore:
    """A `SeriesSink` and a `SeriesReader` over one bucket.

    Writing the same points again overwrites them with themselves, so blocks that come twice do no harm.
    """

    def __init__(self, settings: TimeseriesSettings) -> None:
        self._client = InfluxClient(settings)
        self._bucket = settings.bucket

    async def __aenter__(self) -> Self:
        """Nothing is opened yet: the first call does it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._client.close()

    async def write(self, blocks: Sequence[Block]) -> None:
        """Post blocks in batches.

        Raises:
            StoreUnavailableError: the server is away; some may be written.
            StoreRefusedError: lines that the server or UTF-8 refuses; all others are written.
            SetupError: address, token, organisation or bucket are wrong.
        """
        refusals: list[Refusal] = []
        for batch in batches(blocks, BATCH_BYTES):
            body = b"\n".join(block.lines.removesuffix(b"\n") for block in batch)
            try:
                body.decode()  # InfluxDB would take any bytes, and never give them back as text
                await self._client.post(body)
            except (RejectedError, UnicodeDecodeError):
                refusals += await self._write_line_by_line(batch)
        if refusals:
            raise StoreRefusedError(refusals)

    async def _write_line_by_line(self, batch: Sequence[Block]) -> list[Refusal]:
        refusals = []
        lines = []
        for block in batch:
            for raw, text in lines_of(block.lines):
                if text is None:
                    refusals.append(Refusal(block.position, raw, "not UTF-8"))
                else:
                    lines.append(PlacedLine(block.position, raw))
        return refusals + await write_lines(lines, self._client.post)

    async def series(
        self, type_name: str, twin: str, field: str, start_ns: int | None, stop_ns: int | None, limit: int
    ) -> Series:
        """The oldest `limit` points between `start_ns` and `stop_ns`, both inclusive.

        Raises:
            StoreUnavailableError: the server is away or does not answer.
            ValueError: `limit` is outside its range.
        """
        if not 1 <= limit <= SERIES_LIMIT:
            message = f"limit must be 1 to {SERIES_LIMIT}"
            raise ValueError(message)
        flux = oldest_points(
            bucket=self._bucket,
            measurement=type_name,
            twin=twin,
            field=field,
            start_ns=start_ns,
            stop_ns=stop_ns,
            limit=limit,
        )
        if flux is None:
            return Series()
        with _answering():
            return read_points(await self._client.query(flux))

    async def buckets(self, type_name: str, twin: str, field: str, start_ns: int, stop_ns: int, count: int) -> Buckets:
        """What the points come to in at most `count` stretches of equal length.

        Raises:
            StoreUnavailableError: the server is away or does not answer.
            ValueError: as for `bucket_width`.
        """
        width_ns = bucket_width(start_ns, stop_ns, count)
        flux = buckets(
            bucket=self._bucket,
            measurement=type_name,
            twin=twin,
            field=field,
            start_ns=start_ns,
            stop_ns=stop_ns,
            width_ns=width_ns,
        )
        with _answering():
            return read_buckets(await self._client.query(flux), start_ns, width_ns)


@contextmanager
def _answering() -> Iterator[None]:
    """An answer that tells of a failure is no answer."""
    try:
        yield
    except FluxError as error:
        message = f"InfluxDB failed while answering: {error}"
        raise StoreUnavailableError(message) from error


def batches(blocks: Sequence[Block], size_bytes: int) -> Iterator[list[Block]]:
    """Neighbouring blocks together until `size_bytes` is reached."""
    batch: list[Block] = []
    held = 0
    for block in blocks:
        if batch and held + len(block.lines) > size_bytes:
            yield batch
            batch, held = [], 0
        batch.append(block)
        held += len(block.lines)
    if batch:
        yield batch
