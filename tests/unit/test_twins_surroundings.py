"""What a payload means does not depend on the payloads beside it."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.definition_file import read_definition
from schemas.reasons import Reason
from twins.columns import Columns
from twins.payloads import Payloads
from twins.telemetry import TelemetryDecoder

DEFINITION = "name: probe\nversion: 1.0.0\ninputs: {a: {}, n: {type: int}, b: {type: bool}}\n"
VARIANTS = ("", "missing: hold_last\n", "extra: deadletter\n")
ARRIVAL_NS = 1_700_000_000_000_000_000

FLAT = b'{"a":1.5,"n":2,"b":true}'
OTHER = b'{"a":1.5,"n":2,"b":true,"zz":3}'
TIMED = b'{"a":1.5,"n":2,"b":true,"time":7}'
TIMED_OTHER = b'{"a":1.5,"n":2,"b":true,"time":7,"zz":"x"}'
SURROUNDINGS: dict[str, tuple[bytes, ...]] = {
    "alone": (),
    "among plain ones": (FLAT,) * 40,
    "among ones with another field": (FLAT, OTHER, OTHER),
    "among ones with a time": (TIMED, TIMED_OTHER, TIMED),
}

SEEDS = (
    FLAT,
    OTHER,
    TIMED,
    TIMED_OTHER,
    b'{"a":-2e3,"n":7,"b":false,"seq":3,"boot":"one"}',
    b'{"a":1,"n":2,"b":true,"time":"2023-01-01T00:00:00Z","x":{"g":[1,2]},"y":null}',
    b'{"measurement":"m","time":5,"tags":{"t":"u"},"fields":{"a":2,"n":2,"b":false}}',
    b"probe,tag=x a=3,n=3i,b=true 7",
)
PIECES = (
    *(b'"', b"\\", b",", b":", b"{", b"}", b"[", b"]", b"0", b"-", b".", b"e", b"9", b" ", b"\n", b"\x00", b"\xff"),
    *(b"1e999", b"-1e999", b"null", b"true", b"NaN", b"Infinity", b"01", b"1.", b"-0", b"-0.0", b"3.0", b"1e400"),
    *(b'"\\ud800"', b'"\xff"', b'"\xc3\xa9"', b'"\\u0061"', b'"a\x01b"', b"[" * 63 + b"]" * 63, b"[" * 64 + b"]" * 64),
    *(b"[" * 970 + b"]" * 970, b"[" * 3000 + b"]" * 3000, b"1" * 400, b"1" * 5000, b"9223372036854775808"),
    *(b',"x":1e999', b',"x":"\xff"', b',"x":"\\ud800"', b',"x":[{"y":1e999}]', b',"x":' + b"[" * 64 + b"]" * 64),
    *(b',"a":2', b',"a":"q"', b',"seq":3.0', b',"time":null', b',"boot":null', b',"fields":{}', b',"fields":1', b","),
    *(b',"measurement":"m"', b'},{"a":1,"n":1,"b":true', b"\xef\xbb\xbf", b'"time":1.7e18,', b'"\xff":1,', b'"":1,'),
)

Result = tuple[object, ...]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A payload as devices send it, with up to three changes."""
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)) | st.just(max(0, len(text) - 1)))
        until = draw(st.integers(at, min(len(text), at + 8)) | st.just(at))
        text = text[:at] + draw(st.sampled_from(PIECES) | st.just(b"")) + text[until:]
    return text


def _result(columns: Columns, index: int) -> Result:
    if index in columns.refused:
        return (columns.refused[index],)
    arrays = (columns.inputs, columns.time_ns, columns.seq, columns.boot, columns.payload)
    return tuple(array[index].tobytes() for array in arrays)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_payload_means_the_same_in_all_surroundings(variant: str) -> None:
    decoder = TelemetryDecoder(read_definition(DEFINITION + variant))
    undeclared = 0 if "extra" in variant else 1

    @given(mutated())
    @settings(max_examples=600)
    @example(b'{"a":1.5,"n":2,"b":true,"x":1e999}')
    @example(b'{"a":1.5,"n":2,"b":true,"x":"\xff"}')
    @example(b'{"a":1.5,"n":2,"b":true,"x":"\\ud800"}')
    @example(b'{"a":1.5,"n":2,"b":true,"x":%b}' % (b"[" * 970 + b"]" * 970))
    def check(payload: bytes) -> None:
        found = {}
        for name, neighbours in SURROUNDINGS.items():
            columns = decoder.decode(
                Payloads.of([*neighbours, payload]), np.full(len(neighbours) + 1, ARRIVAL_NS, np.int64)
            )
            others = undeclared * sum(b"zz" in neighbour for neighbour in neighbours)
            found[name] = (_result(columns, len(neighbours)), columns.extra - others)
        assert len(set(found.values())) == 1, found

    check()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"1e999", Reason.NOT_FINITE),
        (b'"\xff"', Reason.UNDECODABLE),
        (b'"\\ud800"', Reason.UNDECODABLE),
        (b"[" * 64 + b"]" * 64, Reason.UNDECODABLE),
        (b"01", Reason.UNDECODABLE),
    ],
)
def test_undeclared_fields_are_ignored_only_in_valid_json(value: bytes, reason: Reason) -> None:
    decoder = TelemetryDecoder(read_definition(DEFINITION))
    for neighbours in SURROUNDINGS.values():
        payloads = [*neighbours, b'{"a":1.5,"n":2,"b":true,"x":%b}' % value]
        columns = decoder.decode(Payloads.of(payloads), np.full(len(payloads), ARRIVAL_NS, np.int64))
        assert {index: why for index, (why, _) in columns.refused.items()} == {len(neighbours): reason}


def test_undeclared_fields_may_be_nested_up_to_the_limit() -> None:
    decoder = TelemetryDecoder(read_definition(DEFINITION))
    payload = b'{"a":1.5,"n":2,"b":true,"x":%b}' % (b"[" * 63 + b"]" * 63)
    columns = decoder.decode(Payloads.of([payload]), np.full(1, ARRIVAL_NS, np.int64))
    assert (columns.refused, columns.extra) == ({}, 1)
