"""Which traces the records of a partition belong to, for what they lead to."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from schemas.headers import TRACEPARENT
from schemas.topics import TypeTopics
from schemas.trace import MOST_SPANS, NO_TRACER, Tracer, handed_on, traceparent_of
from streams.block import Block, Header
from streams.processor import Lineage, Outcome


class Traces:
    """What the outputs of records that are being stepped say about their trace.

    Attributes:
        headers: By the record's offset; empty while no record that is being stepped belongs to one.

    Args:
        type_name: Of the twins.
        lineage: Where records come from.
        tracer: Is told of each record.
    """

    def __init__(self, type_name: str, lineage: Lineage, tracer: Tracer = NO_TRACER) -> None:
        self.headers: dict[int, tuple[Header, ...]] = {}
        self._topic = TypeTopics(type_name).telemetry
        self._type = type_name
        self._partition = lineage.partition
        self._tracer = tracer

    def begin(self, block: Block, traced: NDArray[np.int64] | None, outcome: Outcome) -> None:
        """Take in what n records of a block say.

        Args:
            block: They are about to be stepped.
            traced: (n, 2) of `Arrivals`.
            outcome: Takes the spans, which end when it is committed.
        """
        if traced is None:
            return
        data = block.data.data
        for index in np.flatnonzero(traced[:, 1]).tolist():
            at, size = traced[index].tolist()
            parent = traceparent_of(bytes(data[at : at + size]))
            if not parent:
                continue
            offset = block.offset(index)
            span = None
            if len(outcome.spans) < MOST_SPANS:
                attributes: dict[str, str | int] = {
                    "messaging.system": "kafka",
                    "messaging.destination.name": self._topic,
                    "messaging.destination.partition.id": str(self._partition),
                    "messaging.kafka.offset": offset,
                    "messaging.operation.type": "process",
                    "twinstream.type": self._type,
                    "twinstream.twin": (block.key(index) or b"").decode(errors="replace"),
                }
                span = self._tracer.begin(f"step {self._type}", "consumer", parent, attributes)
            if span is not None:
                outcome.spans.append(span)
            self.headers[offset] = ((TRACEPARENT, handed_on(span, parent)),)

    def of(self, offset: int) -> tuple[Header, ...]:
        """Headers of what follows from the record at an offset."""
        return self.headers.get(offset, ())

    def of_all(self, offsets: Iterable[int]) -> tuple[Header, ...]:
        """Headers of one output that follows from many records."""
        found = [header for offset in offsets for header in self.of(offset)]
        return tuple(found[:MOST_SPANS])

    def forget(self) -> None:
        """The records are stepped."""
        self.headers.clear()
