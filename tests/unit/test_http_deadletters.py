from infra.http.deadletters import DeadLetters, parse_cursor
from schemas.messages import dead_letter, encode
from streams.log.record import LogRecord


def letter(number: int, *, type_name: str = "box", reason: str = "late", size: int = 1) -> LogRecord:
    message = dead_letter(
        reason=reason, detail="", source="mqtt:a", type_name=type_name, twin="a", received_ns=number, raw=b"x" * size
    )
    return LogRecord("twinstream.deadletter", number % 3, number, number, b"a", encode(message), ())


def test_the_newest_are_kept_in_whatever_order_partitions_are_read() -> None:
    letters = DeadLetters(kept=3)
    letters.apply(letter(number) for number in (9, 8, 7, 1, 2, 10, 3))
    assert [entry.timestamp_ms for entry in letters.newest()] == [10, 9, 8]
    assert letters.counts == {("box", "late"): 7}


def test_large_ones_are_bounded_by_their_bytes() -> None:
    letters = DeadLetters(kept_bytes=100_000)
    letters.apply(letter(number, size=30_000) for number in range(10))
    assert [entry.timestamp_ms for entry in letters.newest()] == [9, 8]


def test_a_cursor_names_a_place() -> None:
    letters = DeadLetters()
    letters.apply(letter(number) for number in range(3))
    first = next(letters.newest())
    assert [entry.timestamp_ms for entry in letters.newest(after=parse_cursor(first.cursor))] == [1, 0]


def test_hostile_type_names_and_reasons_make_no_endless_labels() -> None:
    letters = DeadLetters()
    letters.apply(letter(number, type_name=f"t{number}") for number in range(1000))
    letters.apply([letter(1, type_name="NOT A TYPE"), letter(2, reason="made_up"), letter(3, type_name="")])
    assert len(letters.counts) <= 205
    assert letters.counts.total() == 1003
    assert letters.counts["", "late"] == 1


def test_a_record_that_is_no_dead_letter_is_counted_and_passed_over() -> None:
    letters = DeadLetters()
    values = (b"", b"{}", b"\xff", b"[1]", None)
    letters.apply(LogRecord("twinstream.deadletter", 0, 0, 0, None, value, ()) for value in values)
    assert list(letters.newest()) == []
    assert letters.counts == {("", "other"): 4}
