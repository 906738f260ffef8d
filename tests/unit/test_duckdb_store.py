"""The DuckDB file: exactly once over restarts and kills, one owner, other logs."""

import asyncio
import subprocess
import sys
from pathlib import Path

import duckdb
import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.duckdb.query import last_of_each_run
from connectors.duckdb.remote import RemoteSeriesReader
from connectors.duckdb.server import is_loopback, series_app
from connectors.duckdb.store import DuckDBStore
from connectors.memory.stores import MemorySeriesStore
from connectors.series import SERIES_LIMIT, Series
from connectors.stores import Block, LogPosition, StoreRefusedError, StoreUnavailableError
from schemas.errors import SetupError

TOPIC = "twinstream.m.timeseries"


def block(offset: int, *lines: str, partition: int = 0) -> Block:
    return Block(LogPosition(TOPIC, partition, offset), "".join(f"{line}\n" for line in lines).encode())


async def rows_in(path: Path) -> int:
    """Rows as they are in the file, before equal times are thinned out."""

    def count() -> int:
        with duckdb.connect(str(path)) as connection:
            return int(connection.execute("SELECT count(*) FROM series.m").fetchall()[0][0])

    return await asyncio.to_thread(count)


async def test_positions_move_with_the_points_and_a_stored_block_is_never_stored_twice(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "s.duckdb"
    async with DuckDBStore(path, log_id="one") as store:
        await store.write(
            [block(3, "m,twin=a f=1 1"), block(9, "m,twin=a f=2 2"), block(0, "m,twin=b f=1 1", partition=5)]
        )
        assert await store.positions() == {(TOPIC, 0): 10, (TOPIC, 5): 1}
        await store.write([block(3, "m,twin=a f=9 1"), block(9, "m,twin=a f=9 2"), block(12, "m,twin=a f=3 3")])
    async with DuckDBStore(path, log_id="one") as store:
        assert await store.positions() == {(TOPIC, 0): 13, (TOPIC, 5): 1}
        await store.write([block(12, "m,twin=a f=9 3"), block(13, "m,twin=a f=4,new=5 3")])
        assert await store.series("m", "a", "f", None, None, 10) == Series([1, 2, 3], [1.0, 2.0, 4.0])
        assert await store.series("m", "a", "new", None, None, 10) == Series([3], [5.0])
    assert await rows_in(path) == 5


async def test_the_memory_of_the_file_is_bounded_and_the_largest_question_fits_into_it(tmp_path: Path) -> None:
    async with DuckDBStore(tmp_path / "s.duckdb", log_id="one") as store:
        (limit,) = store._opened.execute("SELECT current_setting('memory_limit')").fetchall()[0]  # noqa: SLF001
        assert limit == "61.0 MiB"
        lines = [f"m,twin=a {','.join(f'f{of}={number + of}' for of in range(8))} {number}" for number in range(20_000)]
        await store.write([block(0, *lines)])
        found = await store.series("m", "a", "f0", None, None, SERIES_LIMIT)
        assert len(found.time_ns) == min(SERIES_LIMIT, 20_000)


async def test_refused_lines_keep_the_position_back_until_the_rest_is_written(tmp_path: Path) -> None:
    async with DuckDBStore(tmp_path / "s.duckdb", log_id="one") as store:
        with pytest.raises(StoreRefusedError) as caught:
            await store.write([block(0, "bad", "m,twin=a f=1 1"), block(1, "worse")])
        assert await store.positions() == {}
        await store.write(caught.value.remaining)
        assert await store.positions() == {(TOPIC, 0): 2}
        assert await store.series("m", "a", "f", None, None, 10) == Series([1], [1.0])


async def test_a_failed_transaction_leaves_neither_points_nor_columns_nor_positions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with DuckDBStore(tmp_path / "s.duckdb", log_id="one") as store:
        await store.write([block(0, "m,twin=a f=1 1")])
        monkeypatch.setattr("connectors.duckdb.store._CHANGE_POSITION", "INSERT INTO nowhere VALUES (?, ?, ?)")
        with pytest.raises(StoreUnavailableError):
            await store.write([block(1, "m,twin=a g=1 2", "n,twin=a f=1 2")])
        monkeypatch.undo()
        assert await store.positions() == {(TOPIC, 0): 1}
        assert await store.series("m", "a", "g", None, None, 10) == Series()
        await store.write([block(1, "m,twin=a g=1 2", "n,twin=a f=1 2")])
        assert await store.series("m", "a", "g", None, None, 10) == Series([2], [1.0])
        assert await store.series("n", "a", "f", None, None, 10) == Series([2], [1.0])


_KILLED = """
import asyncio, os, sys
from pathlib import Path
from connectors.duckdb.store import DuckDBStore
from connectors.stores import Block, LogPosition

async def main():
    store = await DuckDBStore(Path(sys.argv[1]), log_id="one").__aenter__()
    for offset in range(10_000):
        lines = "".join(f"m,twin=a f={offset} {offset * 10 + n}\\n" for n in range(10))
        await store.write([Block(LogPosition("t", 0, offset), lines.encode())])
        print(offset, flush=True)

asyncio.run(main())
"""


async def test_a_killed_process_leaves_every_acknowledged_block_exactly_once(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _KILLED, str(path), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    acknowledged = -1
    while acknowledged < 40:
        acknowledged = int(await process.stdout.readline())
    process.kill()
    acknowledged = max([acknowledged, *map(int, (await process.stdout.read()).split())])
    await process.wait()
    async with DuckDBStore(path, log_id="one") as store:
        stored = (await store.positions())["t", 0]
        assert stored >= acknowledged + 1
        series = await store.series("m", "a", "f", None, None, 100_000)
        assert series.time_ns == list(range(stored * 10))
    assert await rows_in(path) == stored * 10


async def test_a_second_process_is_told_who_has_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    async with DuckDBStore(path, log_id="one"):
        code = (
            "import asyncio, sys; from pathlib import Path; from connectors.duckdb.store import DuckDBStore\n"
            "async def main():\n async with DuckDBStore(Path(sys.argv[1]), log_id='one'): pass\n"
            "asyncio.run(main())"
        )
        result = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", code, str(path)],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
        )
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert "SetupError" in last
    assert "is in use by process" in last


@pytest.mark.parametrize("content", [b"no database at all " * 1000, b"x"])
async def test_a_file_that_is_no_database_is_a_setup_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.duckdb"
    path.write_bytes(content)
    with pytest.raises(SetupError, match="can't be opened"):
        async with DuckDBStore(path, log_id="one"):
            pass


async def test_positions_of_another_log_do_not_count_and_the_points_stay(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    async with DuckDBStore(path, log_id="one") as store:
        await store.write([block(5, "m,twin=a f=1 1")])
    async with DuckDBStore(path, log_id="two") as store:
        assert await store.positions() == {}
        await store.write([block(0, "m,twin=a f=2 2")])
        assert await store.series("m", "a", "f", None, None, 10) == Series([1, 2], [1.0, 2.0])


async def test_any_file_name_will_do(tmp_path: Path) -> None:
    for name in ("series.duckdb", "main.db", 'a"b.duckdb', "memory"):
        async with DuckDBStore(tmp_path / name, log_id="one") as store:
            await store.write([block(0, "m,twin=a f=1 1")])
            assert await store.series("m", "a", "f", None, None, 10) == Series([1], [1.0])


async def test_many_rows_of_one_time_are_one_point_whatever_the_limit(tmp_path: Path) -> None:
    async with DuckDBStore(tmp_path / "s.duckdb", log_id="one") as store:
        lines = [f"m,twin=a f={n} {n // 7}" for n in range(70)]
        await store.write([block(0, *lines)])
        for limit in range(1, 12):
            found = await store.series("m", "a", "f", None, None, limit)
            assert found.time_ns == list(range(min(limit, 10)))
            assert found.value == [7.0 * at + 6 for at in found.time_ns]


@given(st.lists(st.integers(0, 5)))
def test_last_of_each_run_is_what_a_dictionary_keeps(times: list[int]) -> None:
    times.sort()
    kept = {time: at for at, time in enumerate(times)}
    assert last_of_each_run(np.array(times, dtype=np.int64)).tolist() == list(kept.values())


async def test_queries_and_writes_run_beside_each_other(tmp_path: Path) -> None:
    async with DuckDBStore(tmp_path / "s.duckdb", log_id="one") as store:

        async def read() -> None:
            for at in range(30):
                found = await store.series("m", "a", f"f{at}", None, None, 1000)
                assert found.time_ns == sorted(found.time_ns)

        async def write() -> None:
            for at in range(30):
                await store.write([block(at, *(f"m,twin=a f{at}=1 {n}" for n in range(50)))])

        await asyncio.gather(write(), read(), read(), read())


async def test_the_http_side_serves_loopback_names_only() -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=series_app(MemorySeriesStore()))) as client:
        query = "/series?type=m&twin=a&field=f"
        for host in ("localhost", "127.0.0.1:8123", "[::1]:80"):
            answer = await client.get(f"http://localhost{query}", headers={"host": host})
            assert (answer.status_code, answer.json()) == (200, {"time_ns": [], "value": []})
        for host in ("evil.example", "127.0.0.1.evil.example", "192.168.1.2", "[", ""):
            assert not is_loopback(host)
            answer = await client.get(f"http://localhost{query}", headers={"host": host})
            assert answer.status_code == 421
        for wrong in ("limit=0", "limit=100001", "start=x"):
            assert (await client.get(f"http://localhost{query}&{wrong}")).status_code == 422


async def test_an_owner_that_is_away_is_unavailable() -> None:
    async with RemoteSeriesReader("http://127.0.0.1:1") as reader:
        with pytest.raises(StoreUnavailableError):
            await reader.series("m", "a", "f", None, None, 10)
