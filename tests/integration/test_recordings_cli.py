"""`import` and `export` against a running instance: a file becomes a twin's telemetry, its history a file again."""

import json
import time
from pathlib import Path

import duckdb
import pytest
from support.instance import Instance, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]

T0_S = 1_790_000_000
ROWS = 3_000
TEMPERATURES = [20.0 + at % 7 / 8 for at in range(ROWS)]


def test_a_recording_goes_in_and_comes_out_again(tmp_path: Path) -> None:
    recording = tmp_path / "oven 1.csv"
    rows = [f"{(T0_S + at) * 10**9},{value}" for at, value in enumerate(TEMPERATURES)]
    rows[17] += ",one too many"
    recording.write_text("\n".join(["time,temperature", *rows]))
    del TEMPERATURES[17]
    with Instance(tmp_path / "data") as instance:
        instance.run("new", str(tmp_path / "pump"))
        instance.run("deploy", str(tmp_path / "pump"))
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
            assert [value for _, value, _ in found] == TEMPERATURES
            assert (found[0][0], found[-1][0]) == (T0_S * 10**9, (T0_S + ROWS - 1) * 10**9)
            assert {hot for _, _, hot in found} == {0.0}
        # The history of all inputs is a recording, too.
        file = tmp_path / "inputs.parquet"
        instance.run("export", "pump", "a", str(file), "--field", "temperature")
        assert f"{ROWS - 1:,} records are in the input" in instance.run("import", "pump", "b", str(file))
        eventually(lambda: len(_points(instance, "b")) == ROWS - 1, "the exported file went in")


def test_a_recording_at_a_speed_takes_its_time(tmp_path: Path) -> None:
    recording = tmp_path / "short.csv"
    recording.write_text("\n".join(["time,temperature", *(f"{(T0_S + at) * 10**9},20.5" for at in range(13))]))
    with Instance(tmp_path / "data") as instance:
        instance.run("new", str(tmp_path / "pump"))
        instance.run("deploy", str(tmp_path / "pump"))
        began_s = time.monotonic()
        instance.run("import", "pump", "a", str(recording), "--speed", "2")
        assert time.monotonic() - began_s > 6
        eventually(lambda: len(_points(instance)) == 13, "every record is stored")
        refused = instance.run("import", "pumps", "a", str(recording), expect=1)
        assert not refused, "the error goes to stderr"


def _points(instance: Instance, twin: str = "a") -> list[int]:
    try:
        found: list[int] = instance.get(f"/api/twins/pump/{twin}/series", field="temperature")["time_ns"]
    except AssertionError:
        return []
    return found
