"""Text of the queries and reading of the answers."""

import pytest

from connectors.influx.flux import FluxError, oldest_points, quoted, read_points
from connectors.series import Series


def question(start_ns: int | None, stop_ns: int | None) -> str | None:
    return oldest_points(bucket="b", measurement="m", twin="a", field="f", start_ns=start_ns, stop_ns=stop_ns, limit=5)


def test_the_stop_of_a_range_is_one_nanosecond_later_than_asked() -> None:
    assert "range(start: time(v: 3), stop: time(v: 8))" in (question(3, 7) or "")
    assert question(8, 7) is None


def test_a_literal_can_not_be_left() -> None:
    assert quoted('a"b') == '"a\\"b"'
    assert quoted("a\\") == '"a\\\\"'
    assert "${" not in quoted("${1}")
    assert "\n" not in quoted("a\n|> drop()")


def test_nanoseconds_and_values_are_read_exactly() -> None:
    answer = (
        "#datatype,string,long,long,double\r\n#group,false,false,false,false\r\n#default,_result,,,\r\n"
        ",result,table,time_ns,value\r\n,,0,1690000000000000001,0.1\r\n,,0,-5,1e+300\r\n\r\n"
    )
    assert read_points(answer) == Series([1690000000000000001, -5], [0.1, 1e300])
    assert read_points("\r\n") == Series()


@pytest.mark.parametrize(
    "answer",
    [
        "error,reference\r\nout of memory,897\r\n",
        "#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n,out of memory,897\r\n",
        ",result,table,time_ns,value\r\n,,0,12,text\r\n",
        ",result,table,time_ns,value\r\n,,0\r\n",
        "<html>",
    ],
)
def test_an_answer_that_is_none_is_an_error(answer: str) -> None:
    with pytest.raises(FluxError):
        read_points(answer)
