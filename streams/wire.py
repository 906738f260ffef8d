"""Requests that carry record batches, written in one piece: aiokafka's own encoding copies every batch ten times.

It leans on private names of aiokafka 0.14.0, which `tests/unit/test_private_names.py` pins.
"""

import struct
from collections.abc import Awaitable, Sequence
from typing import Any

from aiokafka import conn as aiokafka_conn
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.types import Int16, Int32, String
from aiokafka.util import wait_for

from streams.packing import Pieces

_FIRST_TRANSACTIONAL = 3
"""Version of the request from which on it begins with a transactional id."""
_TEXT = String("utf-8")
_SIZE = struct.Struct(">i")


def write_in_one_piece() -> None:
    """From now on, connections of this process write the batches of `streams.packing`."""
    aiokafka_conn.AIOKafkaConnection = BatchConnection


class BatchConnection(aiokafka_conn.AIOKafkaConnection):
    """A connection that joins what a request holds once, when it is written."""

    def send(self, request: Any, expect_response: bool = True) -> Awaitable[Any]:  # noqa: ANN401, FBT001, FBT002 - as there
        """Send a request; give what waits for its response."""
        sent: Awaitable[Any]
        if not isinstance(request, ProduceRequest) or self._writer is None or not expect_response:
            sent = super().send(request, expect_response)
            return sent
        wanted = request.prepare(self._versions)
        correlation_id = self._next_correlation_id()
        header = wanted.build_request_header(correlation_id=correlation_id, client_id=self._client_id).encode()
        pieces = [header, *encoded(wanted)]
        self._writer.write(b"".join((_SIZE.pack(sum(map(len, pieces))), *pieces)))
        response = self._loop.create_future()
        self._requests.append((correlation_id, wanted, response))
        sent = wait_for(response, self._request_timeout)
        return sent


def encoded(wanted: Any) -> Sequence[Any]:  # noqa: ANN401 - a struct of any version
    """A request's bytes in pieces, whose batches may be in pieces themselves."""
    parts: list[Any] = []
    if wanted.API_VERSION >= _FIRST_TRANSACTIONAL:
        parts.append(_TEXT.encode(wanted.transactional_id))
    parts += (Int16.encode(wanted.required_acks), Int32.encode(wanted.timeout), Int32.encode(len(wanted.topics)))
    for topic, partitions in wanted.topics:
        parts += (_TEXT.encode(topic), Int32.encode(len(partitions)))
        for partition, batch in partitions:
            pieces = batch.pieces if isinstance(batch, Pieces) else (batch,)
            parts += (Int32.encode(partition), Int32.encode(sum(map(len, pieces))), *pieces)
    return parts
