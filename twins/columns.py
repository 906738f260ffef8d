"""What the telemetry of a block says, as columns, and what tells one message from another."""

import zlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.reasons import Reason

NO_SEQ = -1


@dataclass(slots=True)
class Columns:
    """What n payloads say; of refused records only `seq` and `boot` mean something.

    Attributes:
        inputs: (n, inputs) float64 in the order of the definition; NaN where a field is missing.
        time_ns: (n,) int64 event time; arrival where the device sends none.
        seq: (n,) int64, -1 for none, `UNREADABLE` where it can't be read, of refused ones alone.
        boot: (n,) int64 hash of the boot, 0 for none.
        payload: (n,) int64 hash of payloads with a device time and no counter, else 0.
        refused: Index to reason and detail.
        extra: Undeclared fields that were ignored.
    """

    inputs: NDArray[np.float64]
    time_ns: NDArray[np.int64]
    seq: NDArray[np.int64]
    boot: NDArray[np.int64]
    payload: NDArray[np.int64]
    refused: dict[int, tuple[Reason, str]] = field(default_factory=dict)
    extra: int = 0

    @classmethod
    def empty(cls, inputs: int) -> "Columns":
        """No records."""
        none = np.zeros(0, np.int64)
        return cls(np.zeros((0, inputs)), none, none, none, none)

    def take(self, indices: NDArray[np.int64]) -> "Columns":
        """The records at `indices`, none of them refused."""
        return Columns(
            self.inputs[indices], self.time_ns[indices], self.seq[indices], self.boot[indices], self.payload[indices]
        )


def payload_hash(raw: bytes) -> int:
    """64-bit hash of a payload that fits an int64, never 0.

    Two checksums of different kind: enough to tell a redelivery from another reading at the same device time.
    """
    return (zlib.crc32(raw) << 31 | (zlib.adler32(raw) & 0x7FFFFFFF)) or 1
