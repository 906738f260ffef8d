"""What every time-series store does, over memory, the embedded file (also from another process) and InfluxDB."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.duckdb.remote import RemoteSeriesReader
from connectors.duckdb.server import answer
from connectors.duckdb.store import DuckDBStore
from connectors.influx.store import InfluxStore
from connectors.memory.stores import MemorySeriesStore
from connectors.series import BUCKETS_LIMIT, SERIES_LIMIT, TIME_MAX_NS, TIME_MIN_NS, SeriesReader, SeriesSink
from connectors.settings import TimeseriesSettings
from connectors.stores import Block, LogPosition, StoreRefusedError
from infra.http.server import listen
from schemas.line_protocol import escape_measurement, escape_tag

T0 = 1_690_000_000_000_000_001


@dataclass
class Store:
    sink: SeriesSink
    reader: SeriesReader
    offset: int = 0

    def block(self, *lines: str) -> Block:
        self.offset += 1
        text = "".join(f"{line}\n" for line in lines)
        return Block(LogPosition("twinstream.m.timeseries", 0, self.offset), text.encode())

    async def write(self, *lines: str) -> None:
        await self.sink.write([self.block(*lines)])

    async def points(
        self,
        field: str = "f",
        start_ns: int | None = None,
        stop_ns: int | None = None,
        *,
        twin: str = "a",
        type_name: str = "m",
        limit: int = 1000,
    ) -> dict[int, float]:
        found = await self.reader.series(type_name, twin, field, start_ns, stop_ns, limit)
        assert sorted(found.time_ns) == found.time_ns
        assert all(isinstance(time_ns, int) for time_ns in found.time_ns)
        assert all(isinstance(value, float) for value in found.value)
        return dict(zip(found.time_ns, found.value, strict=True))


@pytest_asyncio.fixture(
    params=["memory", "duckdb", "duckdb-http", pytest.param("influxdb", marks=pytest.mark.system)],
)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            memory = await stack.enter_async_context(MemorySeriesStore())
            yield Store(memory, memory)
        elif request.param == "influxdb":
            server = request.getfixturevalue("influxdb")
            own = TimeseriesSettings(
                url=server.url, token=server.token, org=server.org, bucket=f"test-{uuid.uuid4().hex}"
            )
            influx = await stack.enter_async_context(InfluxStore(own))
            await influx.write([Block(LogPosition("", 0, 0), b"")])
            yield Store(influx, influx)
        else:
            duck = await stack.enter_async_context(DuckDBStore(tmp_path / "series.duckdb", log_id="one"))
            if request.param == "duckdb":
                yield Store(duck, duck)
            else:
                listener = listen("127.0.0.1", 0)
                serving = asyncio.create_task(answer(duck, listener))
                remote = RemoteSeriesReader(f"http://127.0.0.1:{listener.getsockname()[1]}")
                yield Store(duck, await stack.enter_async_context(remote))
                serving.cancel()
                await asyncio.wait([serving])


async def test_points_come_back_exactly_and_oldest_first(store: Store) -> None:
    await store.write(
        f"m,twin=a f=0.1,g=1e-300 {T0 + 2}",
        f"m,twin=a f=-1.7976931348623157e+308 {T0}",
        f"m,twin=a f=3,lid=1.0 {T0 + 1}",
    )
    assert list((await store.points()).items()) == [(T0, -1.7976931348623157e308), (T0 + 1, 3.0), (T0 + 2, 0.1)]
    assert await store.points("g") == {T0 + 2: 1e-300}
    assert await store.points("lid") == {T0 + 1: 1.0}


async def test_both_ends_of_a_range_are_inclusive(store: Store) -> None:
    await store.write(*(f"m,twin=a f={i} {T0 + i}" for i in range(5)))
    assert set(await store.points(start_ns=T0 + 1, stop_ns=T0 + 3)) == {T0 + 1, T0 + 2, T0 + 3}
    assert set(await store.points(start_ns=T0 + 2, stop_ns=T0 + 2)) == {T0 + 2}
    assert set(await store.points(start_ns=T0 + 3)) == {T0 + 3, T0 + 4}
    assert set(await store.points(stop_ns=T0)) == {T0}
    assert await store.points(start_ns=T0 + 3, stop_ns=T0 + 1) == {}


async def test_the_limit_keeps_the_oldest(store: Store) -> None:
    await store.write(*(f"m,twin=a f={i} {T0 + i}" for i in range(10)))
    assert await store.points(limit=3) == {T0: 0.0, T0 + 1: 1.0, T0 + 2: 2.0}
    for limit in (0, SERIES_LIMIT + 1):
        with pytest.raises(ValueError, match="limit"):
            await store.points(limit=limit)


async def test_the_extreme_times_can_be_stored_and_asked_for(store: Store) -> None:
    await store.write(f"m,twin=a f=1 {TIME_MIN_NS}", f"m,twin=a f=2 {TIME_MAX_NS}", "m,twin=a f=3 -1")
    assert await store.points() == {TIME_MIN_NS: 1.0, -1: 3.0, TIME_MAX_NS: 2.0}
    assert await store.points(start_ns=-(2**80), stop_ns=2**80) == {TIME_MIN_NS: 1.0, -1: 3.0, TIME_MAX_NS: 2.0}
    assert await store.points(start_ns=TIME_MAX_NS) == {TIME_MAX_NS: 2.0}


async def test_of_points_with_one_time_the_last_written_wins(store: Store) -> None:
    await store.write(f"m,twin=a f=1,g=1 {T0}", f"m,twin=a f=2 {T0}", f"m,twin=a f=9 {T0 + 1}")
    assert await store.points() == {T0: 2.0, T0 + 1: 9.0}
    await store.write(f"m,twin=a f=3 {T0}")
    assert await store.points() == {T0: 3.0, T0 + 1: 9.0}
    assert await store.points(limit=1) == {T0: 3.0}
    assert await store.points("g") == {T0: 1.0}


async def test_writing_the_same_blocks_again_changes_nothing(store: Store) -> None:
    blocks = [store.block(f"m,twin=a f={i} {T0 + i}", f"m,twin=b f={i} {T0 + i}") for i in range(3)]
    await store.sink.write(blocks)
    before = await store.points()
    await store.sink.write(blocks)
    await store.sink.write(blocks[1:])
    assert await store.points() == before == {T0: 0.0, T0 + 1: 1.0, T0 + 2: 2.0}


async def test_a_twin_whose_tags_change_keeps_one_history(store: Store) -> None:
    await store.write(f"m,twin=a f=1 {T0}", f"m,room=x,twin=a f=2 {T0 + 1}", f"m,room=y,twin=a f=3 {T0 + 2}")
    assert await store.points() == {T0: 1.0, T0 + 1: 2.0, T0 + 2: 3.0}
    assert await store.points(limit=2) == {T0: 1.0, T0 + 1: 2.0}


async def test_types_twins_and_fields_that_differ_in_case_stay_apart(store: Store) -> None:
    await store.write(f"m,twin=a t1=1,T1=2 {T0}", f"M,twin=a t1=3 {T0}", f"m,twin=A t1=4,time_ns=5,written=6 {T0}")
    assert await store.points("t1") == {T0: 1.0}
    assert await store.points("T1") == {T0: 2.0}
    assert await store.points("t1", type_name="M") == {T0: 3.0}
    assert await store.points("t1", twin="A") == {T0: 4.0}
    assert await store.points("time_ns", twin="A") == {T0: 5.0}
    assert await store.points("written", twin="A") == {T0: 6.0}


async def test_points_come_to_their_least_most_and_mean_in_stretches_of_equal_length(store: Store) -> None:
    await store.write(*(f"m,twin=a f={value} {T0 + at}" for at, value in enumerate((5, 1, 3, 7, -2, 8, 4))))
    await store.write(f"m,twin=b f=99 {T0 + 1}", f"m,twin=a g=99 {T0 + 1}")
    found = await store.reader.buckets("m", "a", "f", T0, T0 + 8, 3)
    assert found.time_ns == [T0, T0 + 3, T0 + 6]
    assert found.low == [1.0, -2.0, 4.0]
    assert found.high == [5.0, 8.0, 4.0]
    assert found.mean == pytest.approx([3.0, 13 / 3, 4.0])
    assert found.number == [3, 3, 1]


async def test_stretches_without_points_are_absent_and_both_ends_of_the_range_count(store: Store) -> None:
    await store.write(*(f"m,twin=a f={at} {T0 + at}" for at in (0, 10, 90, 99, 100)))
    found = await store.reader.buckets("m", "a", "f", T0, T0 + 99, 10)
    assert found.time_ns == [T0, T0 + 10, T0 + 90]
    assert found.high == [0.0, 10.0, 99.0]
    assert (await store.reader.buckets("m", "a", "nope", T0, T0 + 99, 10)).time_ns == []
    for start, stop, count in ((T0, T0 - 1, 10), (T0, T0 + 9, 0), (T0, T0 + 9, BUCKETS_LIMIT + 1)):
        with pytest.raises(ValueError, match=r"range|buckets"):
            await store.reader.buckets("m", "a", "f", start, stop, count)


async def test_stretches_of_a_twin_whose_tags_changed_are_of_one_history(store: Store) -> None:
    await store.write(f"m,twin=a f=1 {T0}", f"m,room=x,twin=a f=3 {T0 + 1}", f"m,room=y,twin=a f=8 {T0 + 2}")
    found = await store.reader.buckets("m", "a", "f", T0, T0 + 2, 1)
    assert (found.low, found.high, found.number) == ([1.0], [8.0], [3])
    assert found.mean == pytest.approx([4.0])


async def test_what_was_never_written_is_empty(store: Store) -> None:
    assert await store.points() == {}
    await store.write(f"m,twin=a f=1 {T0}")
    assert await store.points("nope") == {}
    assert await store.points(twin="nope") == {}
    assert await store.points(type_name="nope") == {}


@pytest.mark.parametrize(
    "hostile", ['a" or true or "', 'a") |> drop(', "a'; DROP TABLE", "${1}", "a\\", "a\n", '"; --']
)
async def test_hostile_names_in_a_question_find_nothing_and_break_nothing(store: Store, hostile: str) -> None:
    await store.write(f"m,twin=a f=1 {T0}")
    assert await store.points(twin=hostile) == {}
    assert await store.points(hostile) == {}
    assert await store.points(type_name=hostile) == {}
    assert await store.points() == {T0: 1.0}


async def test_refused_lines_are_named_and_all_others_stored(store: Store) -> None:
    good = store.block(*(f"m,twin=a f={i} {T0 + i}" for i in range(20)))
    bad = store.block(f"m,twin=a f=100 {T0 + 100}", "no line", f"m,twin=a f= {T0 + 101}", f"m,twin=a f=102 {T0 + 102}")
    with pytest.raises(StoreRefusedError) as caught:
        await store.sink.write([good, bad])
    assert [(refusal.position, refusal.raw) for refusal in caught.value.refusals] == [
        (bad.position, b"no line"),
        (bad.position, f"m,twin=a f= {T0 + 101}".encode()),
    ]
    assert all(refusal.detail for refusal in caught.value.refusals)
    await store.sink.write(caught.value.remaining)
    assert set(await store.points()) == {*range(T0, T0 + 20), T0 + 100, T0 + 102}


async def test_bytes_that_are_no_text_are_refused(store: Store) -> None:
    block = store.block(f"m,twin=a f=1 {T0}")
    block = block._replace(lines=block.lines + b"m,twin=\xff\xfe f=1 1\n")
    with pytest.raises(StoreRefusedError) as caught:
        await store.sink.write([block])
    assert [refusal.raw for refusal in caught.value.refusals] == [b"m,twin=\xff\xfe f=1 1"]
    await store.sink.write(caught.value.remaining)
    assert await store.points() == {T0: 1.0}


async def test_a_field_never_changes_its_type(store: Store) -> None:
    await store.write(f"m,twin=a f=1.5 {T0}")
    lines = [f'm,twin=a f="text" {T0 + 1}', f"m,twin=a f=true {T0 + 2}", f"m,twin=a f=3i {T0 + 3}"]
    with pytest.raises(StoreRefusedError) as caught:
        await store.write(f"m,twin=a f=4 {T0 + 4}", *lines, f"m,twin=a f=5 {T0 + 5}")
    assert [refusal.raw.decode() for refusal in caught.value.refusals] == lines
    await store.sink.write(caught.value.remaining)
    assert await store.points() == {T0: 1.5, T0 + 4: 4.0, T0 + 5: 5.0}


async def test_blank_lines_comments_and_empty_blocks_are_nothing(store: Store) -> None:
    await store.write()
    await store.write("", "# a comment", f"m,twin=a f=1 {T0}", "   ")
    assert await store.points() == {T0: 1.0}


async def test_a_large_write_is_stored_whole(store: Store) -> None:
    """Larger than one post, and large enough to be compressed."""
    padding = "x" * 200
    blocks = [
        store.block(*(f"m,twin=a,pad={padding} f={n},g=0.5 {T0 + n}" for n in range(start, start + 1000)))
        for start in range(0, 6000, 1000)
    ]
    await store.sink.write(blocks)
    points = await store.points(limit=SERIES_LIMIT)
    assert points == {T0 + n: float(n) for n in range(6000)}


_text = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8).filter(
    lambda text: text[0] != "#" and text[-1] != "\\"
)
_tag_text = st.text(st.sampled_from('ab,= "\\é$'), min_size=1, max_size=6).map(str.strip).filter(bool)
_value = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0)


@st.composite
def _points(draw: st.DrawFn) -> list[tuple[str, str, int, float]]:
    twins = st.sampled_from(["a", "b-2"])
    fields = st.sampled_from(["f", "T_air", "t_air"])
    times = st.one_of(st.integers(T0, T0 + 5), st.integers(TIME_MIN_NS, TIME_MAX_NS))
    return draw(st.lists(st.tuples(twins, fields, times, _value), min_size=1, max_size=20))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(points=_points(), cut=st.integers(1, 20), start=st.integers(T0 - 1, T0 + 6), stop=st.integers(T0 - 1, T0 + 6))
async def test_any_points_in_any_cuts_read_as_a_dictionary_would_hold_them(
    store: Store, points: list[tuple[str, str, int, float]], cut: int, start: int, stop: int
) -> None:
    measurement = f"m{uuid.uuid4().hex}"
    lines = [f"{measurement},twin={twin} {field}={value!r} {time_ns}" for twin, field, time_ns, value in points]
    blocks = [store.block(*lines[at : at + cut]) for at in range(0, len(lines), cut)]
    await store.sink.write(blocks)
    await store.sink.write(blocks)
    for twin in ("a", "b-2"):
        for field in ("f", "T_air", "t_air"):
            expected = {at: value for of, name, at, value in points if (of, name) == (twin, field)}
            assert await store.points(field, twin=twin, type_name=measurement) == expected
            inside = {at: value for at, value in expected.items() if start <= at <= stop}
            found = await store.points(field, start, stop, twin=twin, type_name=measurement)
            assert found == inside


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(measurement=_text, field=_text, tags=st.dictionaries(_tag_text, _tag_text, max_size=3))
async def test_whatever_is_escaped_by_the_rules_comes_back_by_its_name(
    store: Store, measurement: str, field: str, tags: dict[str, str]
) -> None:
    unique = f"{measurement}{uuid.uuid4().hex}"
    tags.pop("twin", None)
    pairs = "".join(f",{escape_tag(key)}={escape_tag(value)}" for key, value in {"twin": "a", **tags}.items())
    await store.write(f"{escape_measurement(unique)}{pairs} {escape_tag(field)}=1.5 {T0}")
    assert await store.points(field, type_name=unique) == {T0: 1.5}
