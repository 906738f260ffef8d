"""Notes of records that lay in partitions where their twins are not, for the account of the partitions where they are.

A note has the counters of all those of a block that belong into one partition and came from one source: each is a
record of its own there, which ends a block.
"""

from typing import Annotated

import msgspec

from schemas.headers import COUNTED, KIND, RECEIVED, SOURCE, Kind
from schemas.reasons import Reason
from schemas.telemetry import INT64_MAX
from streams.block import ReadRecord
from streams.processor import Outcome
from twins.account_sources import source_of
from twins.arrival import arrival_ns

_MOST = 4_000
"""Counters in a note: twin ids are short, so that it stays far below what Kafka takes."""

_Seq = Annotated[int, msgspec.Meta(ge=0, le=INT64_MAX)]
_Boot = Annotated[int, msgspec.Meta(ge=-INT64_MAX - 1, le=INT64_MAX)]


class AstrayNote(msgspec.Struct):
    """Value of a note.

    Attributes:
        reason: Why the records were refused.
        counters: Twin id, counter and hash of the boot of each, in the order in which they came.
    """

    reason: str
    counters: Annotated[list[tuple[str, _Seq, _Boot]], msgspec.Meta(max_length=_MOST)]


class Astray:
    """Collects what lay astray in a block.

    Args:
        topic: Where the notes go.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._found: dict[tuple[int, str], list[tuple[str, int, int]]] = {}
        self._received_ns = 0

    def add(self, record: ReadRecord, seq: int, boot: int, partition: int) -> None:
        """Note a record that belongs into another partition."""
        _, timestamp_ms, key, _, headers = record
        told = dict(headers)
        self._received_ns = arrival_ns(told.get(RECEIVED, b""), timestamp_ms)
        self._found.setdefault((partition, source_of(told)), []).append(((key or b"").decode(), seq, boot))

    def clear(self) -> None:
        """Forget them."""
        self._found.clear()

    def pass_on(self, outcome: Outcome) -> None:
        """Send the notes to where the twins are, and forget them."""
        for (_, source), counters in self._found.items():
            marks = (
                (KIND, Kind.REFUSED.value.encode()),
                (COUNTED, b"1"),
                (RECEIVED, b"%d" % self._received_ns),
                (SOURCE, source.encode()),
            )
            for first in range(0, len(counters), _MOST):
                some = counters[first : first + _MOST]
                note = AstrayNote(Reason.WRONG_PARTITION.value, some)
                # The key of any of them leads to the partition of all.
                outcome.route(self._topic, some[0][0].encode(), msgspec.json.encode(note), marks)
        self.clear()


def read_note(value: bytes) -> list[tuple[str, int, int]]:
    """Counters of a note; none of what no worker wrote."""
    try:
        return msgspec.json.decode(value, type=AstrayNote).counters
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []
