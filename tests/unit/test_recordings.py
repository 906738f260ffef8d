import asyncio
import json
from pathlib import Path
from typing import Any, cast

import duckdb
import pytest

from connectors.series import Series
from infra.cli.recordings import letters_since
from infra.recordings.reading import Record, read_recording
from infra.recordings.sending import Progress, send_recording
from infra.recordings.table import write_table
from schemas.clock import ManualClock
from schemas.definition_file import read_definition
from schemas.errors import SetupError
from streams.log.writer import LogWriter

T0 = 1_700_000_000_000_000_000
BOX = read_definition("name: box\nversion: 1.0.0\ninputs: {t: {unit: degC}, lid: {type: bool}}\n")


def _parquet(file: Path, select: str) -> Path:
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({select}) TO '{file}' (FORMAT parquet)")
    return file


def test_csv_and_parquet_hold_the_same_telemetry(tmp_path: Path) -> None:
    text = tmp_path / "a.csv"
    text.write_text(f"time,t,lid\n{T0},20.5,true\n{T0 + 1},,false\n")
    rows = f"SELECT * FROM (VALUES ({T0}, 20.5::DOUBLE, true), ({T0 + 1}, NULL, false)) AS r(time, t, lid)"  # noqa: S608
    packed = _parquet(tmp_path / "a.parquet", rows)
    found = [
        [(one.time_ns, one.payload.replace(b" ", b"")) for one in read_recording(file, BOX)] for file in (text, packed)
    ]
    assert found[0] == found[1]
    assert found[0][0] == (T0, b'{"time":%d,"t":20.5,"lid":true}' % T0)


def test_a_time_stamp_of_parquet_is_a_time(tmp_path: Path) -> None:
    packed = _parquet(tmp_path / "a.parquet", "SELECT TIMESTAMP '2023-11-14 22:13:20' AS time, 1.0 AS t, true AS lid")
    assert [one.time_ns for one in read_recording(packed, BOX)] == [T0]


@pytest.mark.parametrize("cell", ["2023-11-14T22:13:20Z", " 2023-11-14T23:13:20.000+01:00", str(T0), "yesterday"])
def test_a_time_in_text_is_the_same_time_in_csv_and_parquet(tmp_path: Path, cell: str) -> None:
    text = tmp_path / "a.csv"
    text.write_text(f"time,t,lid\n{cell},20.5,true\n")
    packed = _parquet(tmp_path / "a.parquet", f"SELECT '{cell}' AS time, 20.5::DOUBLE AS t, true AS lid")
    found = [[(one.time_ns, json.loads(one.payload)) for one in read_recording(file, BOX)] for file in (text, packed)]
    assert found[0] == found[1]
    assert found[1][0][0] == (None if cell == "yesterday" else T0)


def test_a_decimal_of_parquet_is_a_number(tmp_path: Path) -> None:
    packed = _parquet(tmp_path / "a.parquet", f"SELECT {T0} AS time, 20.5::DECIMAL(3, 1) AS t, true AS lid")
    assert [json.loads(one.payload)["t"] for one in read_recording(packed, BOX)] == [20.5]


@pytest.mark.parametrize("kind", ["DOUBLE", "DECIMAL(20, 1)"])
def test_a_time_that_may_have_a_fraction_is_no_record(tmp_path: Path, kind: str) -> None:
    packed = _parquet(tmp_path / "a.parquet", f"SELECT 1.5::{kind} AS time, 1.0 AS t, true AS lid")
    assert [(one.time_ns, one.fault[:14]) for one in read_recording(packed, BOX)] == [(None, "time is 1.5: i")]


@pytest.mark.parametrize(("name", "words"), [("a.parquet", "can't be read"), ("a.txt", "neither .csv nor .parquet")])
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_text("nothing")
    with pytest.raises(SetupError, match=words):
        list(read_recording(tmp_path / name, BOX))


def test_other_columns_are_named(tmp_path: Path) -> None:
    packed = _parquet(tmp_path / "a.parquet", "SELECT 1 AS time, 1.0 AS u")
    with pytest.raises(SetupError, match="columns are time, u; they must be time, t, lid"):
        list(read_recording(packed, BOX))


class Writer:
    def __init__(self) -> None:
        self.sent: list[Any] = []

    def as_log_writer(self) -> LogWriter:
        return cast("LogWriter", self)

    async def send_many(self, records: list[Any]) -> list[asyncio.Future[Any]]:
        self.sent += records
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return [done]


async def test_records_are_sent_in_their_order_and_rows_that_are_none_are_told() -> None:
    writer, heard = Writer(), []
    rows = [Record(T0 + at, b"%d" % at, "" if at != 5 else "line 7: 2 values") for at in range(2_500)]

    def told(progress: Progress) -> None:
        heard.append(progress.sent)

    sent = writer.as_log_writer()
    progress = await send_recording(rows, sent, type_name="box", twin="a", clock=ManualClock(T0), told=told)
    assert (progress.sent, progress.left_out, progress.faults) == (2_499, 1, ["line 7: 2 values"])
    assert [int(record[2]) for record in writer.sent] == [at for at in range(2_500) if at != 5]
    assert {(record[0], record[1]) for record in writer.sent} == {("twinstream.box.telemetry", b"a")}
    assert heard[-1] == 2_499


async def test_a_speed_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    writer, clock, came = Writer(), ManualClock(T0), []
    sleep = asyncio.sleep

    async def passing(seconds: float) -> None:
        clock.advance(seconds)
        came.append(len(writer.sent))
        await sleep(0)

    monkeypatch.setattr("infra.recordings.sending.asyncio.sleep", passing)
    rows = [Record(T0 + at * 10**9, b"x", "") for at in range(31)]
    started_s = clock.monotonic_s()
    await send_recording(rows, writer.as_log_writer(), type_name="box", twin="a", clock=clock, speed=10.0)
    assert clock.monotonic_s() - started_s == pytest.approx(3.0, abs=0.3)
    assert len(set(came)) > 10


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_history_is_written_side_by_side_and_empty_where_a_field_has_no_point(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"h'istory{suffix}"
    given = {"t": Series([T0, T0 + 2], [1.5, 2.5]), "u": Series([T0 + 1, T0 + 2], [7.0, 8.0])}
    assert write_table(file, given) == 3
    target = str(file).replace("'", "''")
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT * FROM '{target}' ORDER BY time").fetchall()  # noqa: S608
    assert found == [(T0, 1.5, None), (T0 + 1, None, 7.0), (T0 + 2, 2.5, 8.0)]


def test_where_to_look_for_what_cannot_be_used_of_an_import_is_a_command_to_copy() -> None:
    assert letters_since("box", T0) == "twinstream deadletters list --type box --since 2023-11-14T22:13:20Z"


def test_a_history_without_points_has_its_columns(tmp_path: Path) -> None:
    assert write_table(tmp_path / "a.csv", {"t": Series()}) == 0
    assert (tmp_path / "a.csv").read_text() == "time,t\n"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_fields_that_differ_in_case_only_do_not_share_a_file(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    given = {"T": Series([T0], [1.0]), "u": Series([T0], [2.0]), "t": Series([T0], [3.0])}
    with pytest.raises(SetupError, match=r"fields T and t differ in case only.*export T and t one by one.*--field"):
        write_table(file, given)
    assert not file.exists()
    for field, one in given.items():
        write_table(file, {field: one})
        with duckdb.connect() as connection:
            found = connection.execute(f"SELECT * FROM '{file}'")  # noqa: S608
            assert [column[0] for column in found.description or ()] == ["time", field]
            assert found.fetchall() == [(T0, one.value[0])]


def test_a_field_that_differs_from_time_in_case_only_is_no_column(tmp_path: Path) -> None:
    given = {"t": Series([T0], [1.0]), "Time": Series([T0], [2.0])}
    with pytest.raises(SetupError, match=r"field Time and the column time differ in case only.*--field"):
        write_table(tmp_path / "a.csv", given)
