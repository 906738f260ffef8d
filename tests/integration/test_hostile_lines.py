"""Tag values that try to end a tag, a line or a string: what InfluxDB stores is exactly what was meant."""

import csv
import io
import itertools
import uuid
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from connectors.influx.store import InfluxStore
from connectors.lines import parse_line as read_by_sinks
from connectors.settings import TimeseriesSettings
from connectors.stores import Block, LogPosition
from infra.bench.servers.influxdb import InfluxDb
from schemas.line_protocol import parse_line as read_as_telemetry
from twins.lines import LineWriter

T0 = 1_690_000_000_000_000_000
NASTY = [
    "\n",
    "\r",
    ",",
    " ",
    "=",
    "\\",
    '"',
    "'",
    "#",
    "\t",
    "\0",
    "\x1b",
    "\x7f",
    "é",
    "\u2028",
    "\U0001f600",
    "a",
    "x f=9 1",
    "\nm,twin=b f=9 1\n",
]
texts = st.lists(st.sampled_from(NASTY), min_size=1, max_size=6).map("".join)
_times = itertools.count(T0)


def meant(value: str) -> str:
    """The value as it is stored: a line break can't be, and a backslash at the end would be the separator's."""
    shown = value.replace("\n", "\\n").replace("\r", "\\r")
    return f"{shown} " if shown.endswith("\\") else shown


def written(values: list[str], times: list[int]) -> bytes:
    writer = LineWriter("m", ("f",))
    for slot, value in enumerate(values):
        writer.prefixes.set(slot, f"twin-{slot}", {"room": value, "z": "last"})
    slots = np.arange(len(values), dtype=np.int64)
    found = writer.write(slots, np.array(times, np.int64), slots[:, None].astype(np.float64))
    return b"".join(text for text, _ in found)


@given(st.lists(texts, min_size=1, max_size=20))
@example(["\\", "a\\", "\\\\", "a\\,b", 'a"b', "\\n", "\n", "a,z=b", "a f=1", "=", ",", " ", '"', "#"])
def test_our_own_readers_read_what_was_meant(values: list[str]) -> None:
    times = list(range(1, len(values) + 1))
    lines = written(values, times).decode().split("\n")
    assert lines.pop() == ""
    assert len(lines) == len(values)
    for slot, (line, value, time_ns) in enumerate(zip(lines, values, times, strict=True)):
        tags = {"twin": f"twin-{slot}", "room": meant(value), "z": "last"}
        found = read_by_sinks(line)
        assert (found.measurement, found.tags, found.fields, found.time_ns) == ("m", tags, {"f": slot}, time_ns)
        point = read_as_telemetry(line)
        assert (point.measurement, point.tags, point.fields, point.time_ns) == ("m", tags, {"f": slot}, time_ns)


@pytest_asyncio.fixture
async def own(influxdb: InfluxDb) -> AsyncIterator[TimeseriesSettings]:
    token = SecretStr(influxdb.token)
    yield TimeseriesSettings(url=influxdb.url, token=token, org=influxdb.org, bucket=f"test-{uuid.uuid4().hex}")


@pytest.mark.system
@given(st.lists(texts, min_size=30, max_size=60))
@example(["\\", "a\\", "\\\\", "a\\,b", 'a"b', "\\n", "\n", "a,z=b", "a f=1", "=", ",", " ", '"', "#"])
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_influxdb_stores_what_was_meant(own: TimeseriesSettings, values: list[str]) -> None:
    times = [next(_times) for _ in values]
    async with InfluxStore(own) as store:
        await store.write([Block(LogPosition("twinstream.m.timeseries", 0, times[0]), written(values, times))])
    assert await stored(own, times[0], times[-1]) == {
        (f"twin-{slot}", meant(value), "last", "m", "f", float(slot), time_ns)
        for slot, (value, time_ns) in enumerate(zip(values, times, strict=True))
    }


async def stored(own: TimeseriesSettings, first_ns: int, last_ns: int) -> set[tuple[object, ...]]:
    """All points of these times: twin, room, z, measurement, field, value and time."""
    flux = (
        f'from(bucket: "{own.bucket}") |> range(start: time(v: {first_ns}), stop: time(v: {last_ns + 1}))'
        " |> map(fn: (r) => ({r with ns: int(v: r._time)})) |> group()"
    )
    headers = {"authorization": f"Token {own.token.get_secret_value()}", "content-type": "application/vnd.flux"}
    async with httpx.AsyncClient(base_url=str(own.url), timeout=30) as client:
        answer = await client.post("/api/v2/query", params={"org": own.org}, content=flux, headers=headers)
    rows = csv.DictReader(io.StringIO(answer.raise_for_status().text, newline=""))
    known = {
        "",
        "result",
        "table",
        "_start",
        "_stop",
        "_time",
        "_value",
        "_field",
        "_measurement",
        "twin",
        "room",
        "z",
        "ns",
    }
    assert rows.fieldnames is not None
    assert set(rows.fieldnames) <= known
    return {
        (row["twin"], row["room"], row["z"], row["_measurement"], row["_field"], float(row["_value"]), int(row["ns"]))
        for row in rows
        if row["ns"]
    }
