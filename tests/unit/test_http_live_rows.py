"""The table of the latest rows, when topics are deleted and made anew under their names."""

from support.http_api import FixedCatalogue

from infra.http.live import StateTable
from infra.http.rows import RowReader
from streams.changelog import POSITION_KEY
from streams.log.record import LogRecord


def _record(partition: int, offset: int, key: bytes, value: bytes | None = b"row") -> LogRecord:
    return LogRecord("twinstream.box.state", partition, offset, 0, key, value, ())


def test_twins_of_topics_that_were_deleted_are_gone_when_their_type_comes_back() -> None:
    told: list[tuple[str, bytes | None]] = []
    table = StateTable(RowReader(FixedCatalogue()), lambda _, twin, value: told.append((twin, value)))
    table.apply([_record(0, 4, b"a"), _record(0, 5, b"b"), _record(1, 3, b"c"), _record(0, 7, b"b", None)])
    told.clear()
    table.apply([_record(0, 0, POSITION_KEY)])
    assert table.page("box", "", 10) == ["c"], "each partition for itself"
    assert told == [("a", None)]
    table.apply([_record(1, 1, b"d"), _record(0, 2, b"a", b"new")])
    assert table.page("box", "", 10) == ["a", "d"]
    assert table.count("box") == 2
    assert table.raw("box", "a") == b"new"
