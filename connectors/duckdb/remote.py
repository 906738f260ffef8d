"""History asked from the process that owns the DuckDB file."""

from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import msgspec

from connectors.duckdb.server import BUCKETS_PATH, PATH
from connectors.series import SERIES_LIMIT, Buckets, Series, bucket_width
from connectors.stores import StoreUnavailableError

_TIMEOUT = aiohttp.ClientTimeout(total=30.0)
T = TypeVar("T")


class RemoteSeriesReader:
    """A `SeriesReader` over HTTP; the process behind it may come and go."""

    def __init__(self, url: str) -> None:
        """Store where to ask.

        Args:
            url: Of the application of `connectors.duckdb.server`, without a path.
        """
        self._url = url.rstrip("/")
        self._client: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Take a pool of connections; none is opened yet."""
        self._client = aiohttp.ClientSession(timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def series(
        self, type_name: str, twin: str, field: str, start_ns: int | None, stop_ns: int | None, limit: int
    ) -> Series:
        """The oldest `limit` points between `start_ns` and `stop_ns`, both inclusive.

        Raises:
            StoreUnavailableError: the other process is away or its store is.
            ValueError: `limit` is outside its range.
        """
        if not 1 <= limit <= SERIES_LIMIT:
            message = f"limit must be 1 to {SERIES_LIMIT}"
            raise ValueError(message)
        query: dict[str, str | int] = {"type": type_name, "twin": twin, "field": field, "limit": limit}
        if start_ns is not None:
            query["start"] = start_ns
        if stop_ns is not None:
            query["stop"] = stop_ns
        return await self._ask(PATH, query, Series)

    async def buckets(self, type_name: str, twin: str, field: str, start_ns: int, stop_ns: int, count: int) -> Buckets:
        """What the points come to in at most `count` stretches of equal length.

        Raises:
            StoreUnavailableError: the other process is away or its store is.
            ValueError: as for `bucket_width`.
        """
        bucket_width(start_ns, stop_ns, count)
        query: dict[str, str | int] = {"type": type_name, "twin": twin, "field": field}
        query |= {"start": start_ns, "stop": stop_ns, "count": count}
        return await self._ask(BUCKETS_PATH, query, Buckets)

    async def _ask(self, path: str, query: dict[str, str | int], answer: type[T]) -> T:
        if self._client is None:
            message = "use RemoteSeriesReader in `async with`"
            raise RuntimeError(message)
        try:
            async with self._client.get(self._url + path, params=query, raise_for_status=True) as response:
                return msgspec.json.decode(await response.read(), type=answer)
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
            message = f"the time-series role does not answer: {error or type(error).__name__}"
            raise StoreUnavailableError(message) from error
