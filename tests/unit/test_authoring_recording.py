"""Recorded values as CSV: which rows become which payloads, and which files are refused as a whole."""

import json
from pathlib import Path

import pytest

from infra.authoring.recording import Row, hint_of, read_rows
from schemas.definition_file import read_definition
from schemas.errors import SetupError

DEFINITION = read_definition("name: a\nversion: 1.0.0\ninputs: {x: {}, n: {type: int}, on_: {type: bool}}\n")
HEAD = "time,x,n,on_\n"
START_NS = 1_700_000_000_000_000_000


def _rows(folder: Path, text: str | bytes) -> list[Row]:
    path = folder / "data.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_rows(path, DEFINITION))


def _values(folder: Path, text: str) -> list[object]:
    return [json.loads(row.payload) for row in _rows(folder, HEAD + text)]


def test_a_row_is_what_a_device_would_send(tmp_path: Path) -> None:
    assert _values(tmp_path, f"{START_NS},1.5,3,true\n") == [{"time": START_NS, "x": 1.5, "n": 3, "on_": True}]


def test_columns_are_in_any_order_and_byte_order_marks_and_blanks_don_t_matter(tmp_path: Path) -> None:
    (row,) = _rows(tmp_path, f"\ufeffn, on_ ,x,time\r\n 3,false , 1e-3,{START_NS}\r\n")
    assert json.loads(row.payload) == {"time": START_NS, "x": 0.001, "n": 3, "on_": False}


def test_times_are_integers_or_rfc_3339(tmp_path: Path) -> None:
    rows = _rows(tmp_path, HEAD + f"{START_NS},1,1,true\n2023-11-14T22:13:20Z,1,1,true\nnoon,1,1,true\n,1,1,true\n")
    assert [row.time_ns for row in rows] == [START_NS, START_NS, None, None]
    assert [json.loads(row.payload)["time"] for row in rows] == [START_NS, "2023-11-14T22:13:20Z", "noon", ""]


def test_numbers_in_other_spellings_are_numbers_and_the_rest_is_text(tmp_path: Path) -> None:
    rows = _rows(tmp_path, HEAD + "".join(f"1,{cell},1,1\n" for cell in ("1.", ".5", "+2", "007", "1_0", "True", "a")))
    assert [json.loads(row.payload)["x"] for row in rows] == [1.0, 0.5, 2.0, 7.0, "1_0", "True", "a"]


def test_what_is_no_finite_number_is_left_for_the_type_to_refuse(tmp_path: Path) -> None:
    rows = _rows(tmp_path, HEAD + "1,nan,1,1\n1,-inf,1,1\n" + f"{'9' * 5000},{'9' * 5000},1,1\n")
    assert [row.payload for row in rows[:2]] == [
        b'{"time":1,"x":NaN,"n":1,"on_":1}',
        b'{"time":1,"x":-Infinity,"n":1,"on_":1}',
    ]
    assert rows[2].time_ns is None


def test_an_empty_cell_is_a_field_that_is_not_there(tmp_path: Path) -> None:
    assert _values(tmp_path, "1,,3,true\n") == [{"time": 1, "n": 3, "on_": True}]


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    rows = _rows(tmp_path, HEAD + '1,1,1,true\n\n\n2,"a\nb",1,true\n3,1\n4,1,1,true,5\n')
    assert [(row.line, row.fault) for row in rows] == [
        (2, ""),
        (5, ""),
        (7, "2 values under 4 columns"),
        (8, "5 values under 4 columns"),
    ]
    assert rows[2].raw == "3,1"


def test_what_stands_in_the_file_is_told_with_its_quotes(tmp_path: Path) -> None:
    rows = _rows(tmp_path, HEAD + '1,"say ""hi"", you",1,true\r\n"2","a\nb",1,true\n3,4')
    assert [row.raw for row in rows] == ['1,"say ""hi"", you",1,true', '"2","a\nb",1,true', "3,4"]


@pytest.mark.parametrize(
    ("first", "last", "unit"),
    [
        (1_767_268_800, 1_767_272_400, "seconds, which are to be multiplied by 1,000,000,000"),
        (1_767_268_800_000, 1_767_272_400_000, "milliseconds, which are to be multiplied by 1,000,000"),
        (1_767_268_800_000_000, 1_767_272_400_000_000, "microseconds, which are to be multiplied by 1,000"),
        (0, 100, "since then; a time may also be written as 2026-01-01T12:00:00Z"),
    ],
)
def test_times_that_all_lie_in_1970_are_told_with_the_unit_that_they_look_like(
    first: int, last: int, unit: str
) -> None:
    assert hint_of(first, last).startswith("every time is in 1970, because time counts nanoseconds")
    assert unit in hint_of(first, last)


def test_times_of_later_years_are_told_nothing() -> None:
    assert hint_of(START_NS, START_NS) == hint_of(0, START_NS) == hint_of(None, None) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no column time, x, n, on_ (the first line names the columns: time,x,n,on_)"),
        ("time;x;n;on_\n", "no column time, x, n, on_; unknown column time;x;n;on_"),
        ("time;x;n;on_\n", "; columns are separated by commas, not by ';' (the first line"),
        ("time,x,n\n", "no column on_"),
        ("time,x,n,on_,y,z\n", "unknown column y, z"),
        ("time,x,n,on_,\n", "unknown column without a name"),
        ("time,x,n,on_,x\n", "column x more than once"),
        (b"time,x,n,on_\n1,\xff,1,1\n", "there is something that is no UTF-8"),
        (HEAD + f"1,{'9' * 200_000},1,true\n", "line 2: field larger than field limit"),
    ],
)
def test_a_file_that_is_no_recording_of_the_type_is_one_line(tmp_path: Path, text: str | bytes, why: str) -> None:
    with pytest.raises(SetupError) as refused:
        _rows(tmp_path, text)
    assert why in str(refused.value)
    assert str(tmp_path / "data.csv") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_or_is_a_folder_is_one_line(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "gone.csv", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(SetupError, match=f"can't be read: {why}"):
            list(read_rows(path, DEFINITION))
