"""One record of the log."""

from typing import Any, NamedTuple


class LogRecord(NamedTuple):
    """A record as read.

    Attributes:
        timestamp_ms: Time of writing, UTC milliseconds; never event time.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    def header(self, name: str) -> bytes:
        """The last header called `name`, `b""` when there is none."""
        found = b""
        for key, value in self.headers:
            if key == name:
                found = value
        return found


def log_record(record: Any) -> LogRecord:  # noqa: ANN401
    """Convert aiokafka's consumer record."""
    return LogRecord(
        record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, record.headers
    )
