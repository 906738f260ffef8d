"""Payloads that are packed: unpacked within a bound, and dead letters where that can't be."""

import gzip
import tracemalloc
import zlib
from itertools import count

import msgspec
import pytest

from connectors.encodings import unpacked
from connectors.intake import Intake
from connectors.patterns import AMQP
from connectors.ports import Delivery
from connectors.routes import Routes
from schemas.errors import PayloadError
from schemas.messages import DeadLetter
from schemas.reasons import Reason
from schemas.topics import PAYLOAD_MAX_BYTES

TEXT = b'{"level": 1.5}'
BARE = zlib.compressobj(wbits=-15)
PACKED = {
    "gzip": gzip.compress(TEXT),
    "X-GZIP ": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "Deflate": BARE.compress(TEXT) + BARE.flush(),
    "utf-8": TEXT,
    "identity": TEXT,
    "": TEXT,
}


@pytest.mark.parametrize("encoding", PACKED)
def test_what_is_packed_is_unpacked(encoding: str) -> None:
    assert unpacked(PACKED[encoding], encoding, 100) == TEXT


@pytest.mark.parametrize(
    ("encoding", "payload"),
    [
        *(
            ("gzip", payload)
            for payload in (TEXT, b"", PACKED["gzip"][:-1], PACKED["gzip"] + b"more", PACKED["deflate"])
        ),
        *(("deflate", payload) for payload in (TEXT, b"", PACKED["deflate"][:-2])),
        *((encoding, TEXT) for encoding in ("br", "zstd", "gzip, gzip", "compress")),
    ],
    ids=count(),  # what is packed holds the time of packing
)
def test_what_is_not_packed_as_it_says_is_undecodable(encoding: str, payload: bytes) -> None:
    with pytest.raises(PayloadError) as caught:
        unpacked(payload, encoding, 100)
    assert caught.value.reason is Reason.UNDECODABLE


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_too_large_in_little_memory(encoding: str) -> None:
    bomb = (gzip.compress if encoding == "gzip" else zlib.compress)(bytes(200 * 2**20))
    tracemalloc.start()
    try:
        with pytest.raises(PayloadError) as caught:
            unpacked(bomb, encoding, PAYLOAD_MAX_BYTES)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
    assert caught.value.reason is Reason.TOO_LARGE


@pytest.fixture
def intake() -> Intake:
    return Intake(Routes((), AMQP, default_routes=True, types=()), lambda _: True, lambda: "id")


def _delivery(payload: bytes, encoding: str) -> Delivery:
    return Delivery("twins.tank.t-1.telemetry", "twinstream", "amqp:x", payload, 7, 1, encoding)


def test_a_bridge_takes_in_what_was_packed(intake: Intake) -> None:
    entry = intake.entry(_delivery(PACKED["gzip"], "gzip"))
    assert entry is not None
    assert (entry.topic, entry.value) == ("twinstream.tank.telemetry", TEXT)


@pytest.mark.parametrize(
    ("payload", "encoding", "reason"),
    [
        (TEXT, "gzip", "undecodable"),
        (TEXT, "br", "undecodable"),
        (gzip.compress(bytes(PAYLOAD_MAX_BYTES + 1)), "gzip", "too_large"),
    ],
    ids=count(),
)
def test_what_can_t_be_unpacked_is_a_dead_letter_as_it_came(
    intake: Intake, payload: bytes, encoding: str, reason: str
) -> None:
    entry = intake.entry(_delivery(payload, encoding))
    assert entry is not None
    letter = msgspec.json.decode(entry.value, type=DeadLetter)
    assert (letter.reason, letter.size, letter.twin) == (reason, len(payload), "t-1")
    assert entry.note is not None
