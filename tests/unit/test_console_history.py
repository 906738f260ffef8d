from pathlib import Path

import numpy as np
import pytest
from support.console import desk_over
from support.http_api import Api

from connectors.duckdb.columns import Columns, Shape
from connectors.duckdb.store import DuckDBStore
from connectors.stores import Block, LogPosition
from infra.console.history import BUCKETS, stretch
from schemas.clock import SystemClock

T0 = 1_700_000_000_000_000_000
S = 1_000_000_000


async def _stored(api: Api, points: int) -> None:
    lines = "".join(f"box,twin=a mean={at % 100} {T0 + at * S}\n" for at in range(points))
    await api.series.write([Block(LogPosition("twinstream.box.timeseries", 0, 0), lines.encode())])


async def test_few_points_are_shown_as_they_are() -> None:
    api = Api()
    await _stored(api, 1000)
    found = await stretch(desk_over(api.services), "box", "a", ["mean", "lid"], T0, T0 + 999 * S)
    assert found["mean"]["value"] == [float(at % 100) for at in range(1000)]
    assert set(found["mean"]) == {"time_ms", "value"}
    assert found["lid"]["value"] == []


async def test_many_points_are_shown_by_what_stretches_come_to_and_a_closer_look_shows_them_again() -> None:
    api = Api()
    await _stored(api, 5000)
    desk = desk_over(api.services)
    for start_ns in (T0, None):
        coarse = (await stretch(desk, "box", "a", ["mean"], start_ns, T0 + 4999 * S))["mean"]
        assert len(coarse["value"]) <= BUCKETS
        assert (min(coarse["low"]), max(coarse["high"])) == (0.0, 99.0)
    fine = (await stretch(desk, "box", "a", ["mean"], T0 + 100 * S, T0 + 199 * S))["mean"]
    assert fine["value"] == [float(at) for at in range(100)]


@pytest.mark.slow
async def test_ten_million_points_come_to_their_stretches_at_once(tmp_path: Path) -> None:
    clock, points, at_once = SystemClock(), 10_000_000, 1_000_000

    class Many:
        """In place of reading lines: columns, as reading them would give."""

        def read(self, blocks: list[Block]) -> tuple[list[Columns], list[object]]:
            first = blocks[0].position.offset * at_once
            numbers = np.arange(at_once)
            twins = np.full(at_once, "a", dtype=object)
            values = np.sin((first + numbers) / 1000.0)
            times = T0 + (first + numbers) * S
            return [Columns(Shape("box", ("twin",), ("mean",)), numbers, [twins], [values], times)], []

    async with DuckDBStore(tmp_path / "many.duckdb", log_id="one") as store:
        store._columns = Many()  # type: ignore[assignment] # noqa: SLF001
        for offset in range(points // at_once):
            await store.write([Block(LogPosition("t", 0, offset), b"")])
        times_s = []
        for _ in range(10):
            started_s = clock.monotonic_s()
            found = await store.buckets("box", "a", "mean", T0, T0 + points * S, 1000)
            times_s.append(clock.monotonic_s() - started_s)
        assert sum(found.number) == points
        # Within 0.2 s alone on two cores, where 0.3 s are promised; other tests run beside this one.
        assert min(times_s) < 0.6, times_s
