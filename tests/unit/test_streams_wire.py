"""Requests that are written in one piece are those of aiokafka."""

import pytest
from aiokafka.protocol import produce

from streams.packing import Pieces
from streams.wire import encoded

STRUCTS = [
    produce.ProduceRequest_v0,
    produce.ProduceRequest_v2,
    produce.ProduceRequest_v3,
    produce.ProduceRequest_v5,
    produce.ProduceRequest_v7,
]


@pytest.mark.parametrize("kind", STRUCTS)
@pytest.mark.parametrize("transactional_id", [None, "a-3"])
def test_a_request_in_pieces_is_that_of_aiokafka(kind: type[produce.ProduceRequest_v7], transactional_id: str) -> None:
    first = [transactional_id] if kind.API_VERSION >= 3 else []
    whole = kind(*first, -1, 40_000, [("a", [(0, b"batch"), (7, b"")]), ("ä.b", [(1, b"other" * 9)])])
    pieces = [("a", [(0, Pieces([b"ba", b"", b"tch"])), (7, bytearray())]), ("ä.b", [(1, Pieces([b"other"] * 9))])]
    assert b"".join(encoded(kind(*first, -1, 40_000, pieces))) == whole.encode()
