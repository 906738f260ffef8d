"""`import` and `export` against a running instance: a file becomes a twin's telemetry, its history a file again."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from support.instance import CLI, Instance, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]

T0_S = 1_790_000_000
ROWS = 3_000


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    folder = tmp_path_factory.mktemp("recordings")
    subprocess.run([*CLI, "new", "pump"], cwd=folder, check=True, capture_output=True, timeout=60)
    with Instance(folder / "data") as instance:
        instance.run("deploy", str(folder / "pump"))
        yield instance


def test_a_recording_goes_in_and_comes_out_again(instance: Instance, tmp_path: Path) -> None:
    recording = tmp_path / "oven 1.csv"
    temperatures = [20.0 + at % 7 / 8 for at in range(ROWS)]
    rows = [f"{(T0_S + at) * 10**9},{value}" for at, value in enumerate(temperatures)]
    rows[17] += ",one too many"
    recording.write_text("\n".join(["time,temperature", *rows]))
    del temperatures[17]
    told = json.loads(instance.run("import", "pump", "a", str(recording), "--json"))
    assert (told["sent"], told["left_out"]) == (ROWS - 1, 1)
    assert "19" in told["faults"][0], "the line of the file is told"
    eventually(lambda: len(_points(instance)) == ROWS - 1, "every record is stored")
    for suffix in (".csv", ".parquet"):
        file = tmp_path / f"history{suffix}"
        written = instance.run("export", "pump", "a", str(file), "--field", "temperature", "--field", "too_hot")
        assert f"{ROWS - 1:,} rows" in written
        with duckdb.connect() as connection:
            found = connection.execute(f"SELECT * FROM '{file}' ORDER BY time").fetchall()  # noqa: S608
        assert [value for _, value, _ in found] == temperatures
        assert (found[0][0], found[-1][0]) == (T0_S * 10**9, (T0_S + ROWS - 1) * 10**9)
        assert {hot for _, _, hot in found} == {0.0}
    # The history of all inputs is a recording, too.
    file = tmp_path / "inputs.parquet"
    instance.run("export", "pump", "a", str(file), "--field", "temperature")
    assert f"{ROWS - 1:,} records are in the input" in instance.run("import", "pump", "b", str(file))
    eventually(lambda: len(_points(instance, "b")) == ROWS - 1, "the exported file went in")


def test_a_recording_at_a_speed_takes_its_time(instance: Instance, tmp_path: Path) -> None:
    recording = tmp_path / "short.csv"
    recording.write_text("\n".join(["time,temperature", *(f"{(T0_S + at) * 10**9},20.5" for at in range(13))]))
    began_s = time.monotonic()
    instance.run("import", "pump", "c", str(recording))
    at_once_s = time.monotonic() - began_s
    began_s = time.monotonic()
    instance.run("import", "pump", "d", str(recording), "--speed", "2")
    assert 5.0 < time.monotonic() - began_s - at_once_s < 10.0, "12 s of it at twice its speed"
    eventually(lambda: len(_points(instance, "d")) == 13, "every record is stored")


def _points(instance: Instance, twin: str = "a") -> list[int]:
    try:
        found: list[int] = instance.get(f"/api/twins/pump/{twin}/series", field="temperature")["time_ns"]
    except AssertionError:
        return []
    return found
