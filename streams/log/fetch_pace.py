"""How much a broker should have before it answers a fetch: under a steady load what comes in some milliseconds.

Each fetch costs the broker and the worker some hundred microseconds, however few records it brings. Fetching as often
as possible spends at 2,000 records/s more on that than on the records.
"""

from typing import Final

from aiokafka import AIOKafkaConsumer

_WINDOW_S: Final = 1.0
_MOST_BYTES: Final = 64 * 1024


class FetchPace:
    """Measures what comes; where little comes each record is fetched at once.

    Args:
        gather_s: So long records may wait for others.
    """

    def __init__(self, gather_s: float) -> None:
        self._gather_s = gather_s
        self._began_s: float | None = None
        self._bytes = 0
        self.min_bytes = 1
        """What a broker should wait for, in bytes."""

    def fetched(self, size_bytes: int, now_s: float) -> None:
        """Count what a fetch brought, at `now_s` of a steady clock."""
        if self._began_s is None:
            self._began_s = now_s
        self._bytes += size_bytes
        passed_s = now_s - self._began_s
        if passed_s >= _WINDOW_S:
            self.min_bytes = max(1, min(round(self._bytes / passed_s * self._gather_s), _MOST_BYTES))
            self._began_s, self._bytes = now_s, 0

    def keep(self, consumer: AIOKafkaConsumer, size_bytes: int, now_s: float) -> None:
        """Count what a fetch of `consumer` brought, and let it keep this pace."""
        self.fetched(size_bytes, now_s)
        # aiokafka reads it anew for each fetch.
        consumer._fetcher._fetch_min_bytes = self.min_bytes  # noqa: SLF001 - no public way
