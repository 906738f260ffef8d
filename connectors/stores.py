"""What all stores share: places in the log, and what goes wrong. Their ports: `connectors.series`, `.documents`.

StoreError
├── StoreUnavailableError   the store is away; the same call may succeed later
└── StoreRefusedError       the store will never take some of this; carries which
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from schemas.errors import TwinstreamError


class LogPosition(NamedTuple):
    """Where something stands in the log."""

    topic: str
    partition: int
    offset: int


NOWHERE = LogPosition("", 0, 0)
"""Position of what does not come from the log."""


class Block(NamedTuple):
    """A record of a `.timeseries` topic.

    Attributes:
        lines: UTF-8 line protocol, nanoseconds, all field values floating point.
    """

    position: LogPosition
    lines: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a store will never take.

    Attributes:
        position: Record of the log that it came with.
        raw: The one line of a block; `b""` means the whole record.
        detail: The store's reason, for people.
    """

    position: LogPosition
    raw: bytes
    detail: str


class StoreError(TwinstreamError):
    """Base of what a store raises."""


class StoreUnavailableError(StoreError):
    """The store is away or in trouble; the caller waits and makes the same call again.

    Attributes:
        retry_after_s: The store asks not to be tried again before; 0.0 when it says nothing.
    """

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreRefusedError(StoreError):
    """The store refuses some of it for good.

    Attributes:
        refusals: The caller makes each a dead letter, and does not offer it again.
        remaining: Blocks that are not stored yet; the caller writes them once the dead letters are durable.
            Whatever is neither refused nor remaining is stored.
    """

    def __init__(self, refusals: Sequence[Refusal], remaining: Sequence[Block] = ()) -> None:
        super().__init__(f"{len(refusals)} refused, first: {refusals[0].detail}")
        self.refusals = tuple(refusals)
        self.remaining = tuple(remaining)
