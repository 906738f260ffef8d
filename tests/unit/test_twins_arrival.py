"""When records arrived, and which are telemetry: the same for a block and for each record by itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.oracle import block_of
from support.stepping import START_NS, TWINS, record

from schemas.clock import LATEST_NS
from schemas.headers import HOPS, KIND, RECEIVED, REDRIVE
from streams.log.record import LogRecord
from twins.arrival import arrival_ns, arrivals
from twins.record import received_ns

stamps = st.one_of(
    st.integers(0, 2**65).map(b"%d".__mod__),
    st.binary(max_size=22),
    st.integers(0, LATEST_NS).map(b"%022d".__mod__),
    st.integers(LATEST_NS - 2, LATEST_NS + 2).map(b"%d".__mod__),
)
kinds = st.sampled_from([b"", b"telemetry", b"request", b"telemetr", b"Telemetry", b"\xff"])
headers = st.lists(
    st.one_of(
        st.tuples(st.just(RECEIVED), stamps),
        st.tuples(st.just(KIND), kinds),
        st.tuples(st.just(HOPS), st.sampled_from([b"0", b"1", b"17", b"", b"-1", b"x", b"9" * 19])),
        st.tuples(st.just(REDRIVE), st.sampled_from([b"", b"0a"])),
        st.tuples(st.sampled_from(["ts-receive", "ts-hop", "ts-hopt", "traceparent", ""]), st.binary(max_size=5)),
    ),
    max_size=4,
)
times_ms = st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2) | st.just(START_NS // 1_000_000)


def _record(offset: int, timestamp_ms: int, given_headers: list[tuple[str, bytes]]) -> LogRecord:
    made = record(TWINS[0], b"{}", offset=offset, timestamp_ms=timestamp_ms)
    return made._replace(headers=tuple(given_headers))


def _expected_ns(item: LogRecord) -> int:
    stamp = dict(item.headers).get(RECEIVED, b"")
    if stamp.isdigit() and len(stamp) <= 19 and int(stamp) <= LATEST_NS:
        return int(stamp)
    return min(max(item.timestamp_ms, 0) * 1_000_000, LATEST_NS)


def _expected_hops(item: LogRecord) -> int:
    said = dict(item.headers).get(HOPS, b"") or b"0"
    return int(said) if said.isdigit() and len(said) < 19 else -1


@given(st.lists(st.tuples(times_ms, headers), min_size=1, max_size=6))
def test_arrival_and_kind_do_not_depend_on_the_cut(rows: list[tuple[int, list[tuple[str, bytes]]]]) -> None:
    records = [_record(index, *row) for index, row in enumerate(rows)]
    block = block_of(records)
    assert [received_ns(block, index) for index in range(len(records))] == [_expected_ns(item) for item in records]
    came, others = arrivals(block)
    assert came.received_ns.tolist() == [_expected_ns(item) for item in records]
    assert others.tolist() == [
        index
        for index, item in enumerate(records)
        if dict(item.headers).get(KIND, b"") not in {b"", b"telemetry"} or dict(item.headers).get(REDRIVE)
    ]
    for first in range(len(records)):
        part = came.part(first, len(records))
        hops = [_expected_hops(item) for item in records[first:]]
        assert ([0] * len(hops) if part.hops is None else part.hops.tolist()) == hops
        assert part.received_ns.tolist() == [_expected_ns(item) for item in records[first:]]


@pytest.mark.parametrize(("timestamp_ms", "expected_ns"), [(-1, 0), (2**62, LATEST_NS), (7, 7_000_000)])
def test_times_of_writing_that_no_int64_holds_are_clamped(timestamp_ms: int, expected_ns: int) -> None:
    assert arrival_ns(b"", timestamp_ms) == expected_ns
    assert arrivals(block_of([_record(0, timestamp_ms, [])]))[0].received_ns.tolist() == [expected_ns]


def test_what_is_added_to_the_latest_arrival_fits() -> None:
    year_ns = 366 * 24 * 3600 * 1_000_000_000
    assert LATEST_NS + 7 * year_ns < np.iinfo(np.int64).max
