"""The file of dead letters: what it keeps, what it counts, and what is due to be sent again."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from infra.http.deadletters import DeadLetters
from infra.http.letters import Entry, Place, Selection
from infra.http.redriving import record_of, why_not
from schemas.headers import LETTER, UNKNOWN
from schemas.messages import DeadLetter, LetterNote, Redriven, dead_letter, encode
from schemas.partitioning import partition_of
from streams.log.record import LogRecord


def letter(number: int, *, type_name: str = "box", reason: str = "late", **more: Any) -> LogRecord:
    message = dead_letter(
        **{
            "reason": reason,
            "detail": "",
            "source": "mqtt:a",
            "type_name": type_name,
            "twin": "a",
            "received_ns": number,
            "raw": b"x",
            **more,
        }
    )
    return LogRecord("twinstream.deadletter", number % 3, number, number, b"a", encode(message), ())


def note(about: LogRecord, *, offset: int = 0, purged_ns: int = 0, outcome: str = "", at: int = 1000) -> LogRecord:
    told = Redriven(time_ns=5, partition=1, offset=offset, outcome=outcome) if outcome else None
    message = LetterNote(id=of(about).id, redriven=told, purged_ns=purged_ns)
    headers = ((LETTER, message.id.encode()),)
    return LogRecord("twinstream.deadletter", 0, at, at, None, encode(message), headers)


def of(record: LogRecord) -> DeadLetter:
    return msgspec.json.decode(record.value or b"", type=DeadLetter)


def times(entries: list[Entry]) -> list[int]:
    return [entry.letter().received_ns for entry in entries]


def due(letters: DeadLetters, **more: Any) -> list[int]:
    return times(letters.due(Selection(), **more)[0])


def test_the_newest_come_first_in_whatever_order_partitions_are_read() -> None:
    letters = DeadLetters()
    letters.apply(letter(number) for number in (9, 8, 7, 1, 2, 10, 3))
    assert times(letters.newest(limit=3)) == [10, 9, 8]
    assert letters.counts == {("box", "late"): 7}
    place = letters.newest(limit=3)[-1].place
    assert times(letters.newest(after=Place.parse(str(place)))) == [7, 3, 2, 1]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(type="box"), [3, 1]),
        (Selection(reason="late"), [2, 1]),
        (Selection(type="box", reason="late"), [1]),
        (Selection(since_ns=2), [3, 2]),
        (Selection(until_ns=2), [2, 1]),
        (Selection(ids=(of(letter(1)).id[:8],)), [1]),
        (Selection(ids=("zz",)), []),
    ],
)
def test_letters_are_selected_by_type_reason_id_and_arrival(selection: Selection, expected: list[int]) -> None:
    letters = DeadLetters()
    letters.apply([letter(1), letter(2, type_name="other"), letter(3, reason="too_large")])
    assert times(letters.newest(selection)) == expected
    assert letters.number(selection) == len(expected)


def test_what_was_read_is_there_without_the_log(tmp_path: Path) -> None:
    file = tmp_path / "letters"
    first = DeadLetters(file)
    first.belong_to("log")
    first.apply([letter(1), letter(2), letter(3, reason="made_up")])
    first.close()
    again = DeadLetters(file)
    again.belong_to("log")
    assert again.positions() == {1: 2, 2: 3, 0: 4}
    assert times(again.newest()) == [3, 2, 1]
    again.apply([letter(2), letter(4)])
    assert times(again.newest()) == [4, 3, 2, 1]
    assert again.counts == {("box", "late"): 4, ("box", "other"): 1}
    again.belong_to("another log")
    assert (again.newest(), again.positions(), again.counts) == ([], {}, {})
    again.close()


def test_a_file_that_cannot_be_read_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "letters"
    file.write_bytes(b"rubbish" * 1000)
    letters = DeadLetters(file)
    letters.apply([letter(1)])
    assert times(letters.newest()) == [1]
    letters.close()


def test_without_a_place_for_the_file_letters_are_kept_in_memory(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "no such folder" / "letters")
    letters.apply([letter(1)])
    assert times(letters.newest()) == [1]


def test_a_failure_while_letters_are_taken_in_leaves_nothing_half_done() -> None:
    def failing() -> Iterator[LogRecord]:
        yield letter(1)
        message = "away"
        raise OSError(message)

    letters = DeadLetters()
    with pytest.raises(OSError, match="away"):
        letters.apply(failing())
    assert (letters.newest(), letters.positions(), letters.counts) == ([], {}, {})
    letters.apply([letter(1)])
    assert times(letters.newest()) == [1]


def test_what_kafka_no_longer_keeps_is_forgotten_and_still_counted() -> None:
    letters = DeadLetters()
    letters.apply([letter(number) for number in range(1, 5)])
    letters.expire(3)
    assert times(letters.newest()) == [4, 3]
    assert letters.counts == {("box", "late"): 4}


def test_hostile_type_names_and_reasons_make_no_endless_labels() -> None:
    letters = DeadLetters()
    letters.apply(letter(number, type_name=f"t{number}") for number in range(1000))
    letters.apply([letter(1, type_name="NOT A TYPE"), letter(2, reason="made_up"), letter(3, type_name="")])
    assert len(letters.counts) <= 205
    assert letters.counts.total() == 1003
    assert letters.counts["", "late"] == 1


def test_a_record_that_is_no_dead_letter_is_counted_and_passed_over() -> None:
    letters = DeadLetters()
    huge = encode(of(letter(1))).replace(b'"received_ns":1', b'"received_ns":99999999999999999999')
    values = (b"", b"{}", b"\xff", b"[1]", huge, None)
    letters.apply(LogRecord("twinstream.deadletter", 0, 0, 0, None, value, ()) for value in values)
    letters.apply([LogRecord("twinstream.deadletter", 0, 1, 0, None, b"{}", ((LETTER, b"x"),))])
    assert letters.newest() == []
    assert letters.counts == {("", "other"): 6}


def test_the_due_come_oldest_first_and_in_the_order_of_their_partition_whatever_clocks_say() -> None:
    letters = DeadLetters()
    records = [letter(number) for number in (3, 6, 9, 1, 4)]
    records[1] = records[1]._replace(timestamp_ms=1)  # its writer's clock is behind
    letters.apply(records)
    assert due(letters) == [1, 3, 6, 4, 9]
    first, more = letters.due(Selection(), limit=2)
    assert (times(first), more) == ([1, 3], True)
    rest, more = letters.due(Selection(), after=first[-1].place, limit=3)
    assert (times(rest), more) == ([6, 4, 9], False)


def test_what_was_sent_is_not_due_and_what_was_refused_again_only_when_wanted() -> None:
    letters = DeadLetters()
    records = [letter(number) for number in range(5)]
    letters.apply(records)
    outcomes = ("sent", "accepted", "late", "wrong_type")
    letters.apply(note(records[number], outcome=outcome) for number, outcome in enumerate(outcomes))
    assert due(letters) == [4]
    assert due(letters, refused_again=True) == [3, 4]
    assert letters.number(Selection(), refused_again=True) == 1
    letters.note([msgspec.json.decode(note(records[4], outcome="sent").value or b"", type=LetterNote)])
    assert due(letters) == []


def test_a_batch_ends_when_it_holds_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.http.deadletters.BATCH_BYTES", 30_000)
    letters = DeadLetters()
    letters.apply(letter(number, raw=b"x" * 10_000) for number in range(5))
    first, more = letters.due(Selection())
    assert (times(first), more) == ([0, 1, 2], True)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 3, 2), (3, 2, 1, 0)])
def test_a_letter_is_shown_with_the_last_that_became_of_it(order: tuple[int, ...]) -> None:
    record = letter(1)
    told = [
        note(record, offset=7, outcome="sent"),
        note(record, offset=7, outcome="wrong_type"),
        note(record, offset=9, outcome="sent"),
        note(record, offset=9, outcome="accepted"),
    ]
    letters = DeadLetters()
    letters.apply([told[order[0]], record, *(told[index] for index in order[1:])])
    (entry,) = letters.newest()
    shown = msgspec.json.decode(entry.shown())
    assert shown.pop("redriven") == {"time_ns": 5, "partition": 1, "offset": 9, "outcome": "accepted", "detail": ""}
    assert encode(msgspec.convert(shown, DeadLetter)) == entry.raw == record.value


def test_a_purged_letter_is_gone_also_when_it_comes_again_and_still_counted() -> None:
    letters = DeadLetters()
    letters.apply([letter(1), letter(2), note(letter(1), purged_ns=5), letter(1)])
    assert times(letters.newest()) == due(letters) == [2]
    assert letters.counts == {("box", "late"): 3}


def redriven(**more: Any) -> tuple[str, dict[str, Any]]:
    found = of(letter(7, **more))
    why = why_not(found, lambda name: name == "box")
    record = None if why else record_of(found, 8)
    return why, {} if record is None else {"value": record.value, **dict(record.headers)}


def test_a_letter_is_sent_as_the_record_that_it_was() -> None:
    record = record_of(of(letter(7, raw=b'{"t":1}', headers=[("traceparent", b"1")])), 8)
    assert (record.topic, record.key, record.value) == ("twinstream.box.telemetry", b"a", b'{"t":1}')
    assert record.partition == partition_of("a", 8)
    expected = {"traceparent": b"1", "ts-received": b"7", "ts-source": b"mqtt:a"}
    assert dict(record.headers) == {**expected, "ts-redrive": of(letter(7, raw=b'{"t":1}')).id.encode()}


def test_bare_values_and_requests_are_sent_as_the_bridge_would() -> None:
    request = [("ts-kind", b"request"), ("ts-name", b"saver")]
    _, bare = redriven(raw=b" 21.5", field="level")
    _, empty = redriven(raw=b" ", headers=request)
    assert bare["value"] == b'{"level":21.5}'
    assert (empty["value"], empty["ts-kind"], len(empty["ts-id"])) == (b"{}", b"request", 32)
    _, known = redriven(raw=b"{}", headers=[*request, ("ts-id", b"mine")])
    assert known["ts-id"] == b"mine"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"raw": b"x" * 70_000}, "cut: 70000 bytes"),
        ({"twin": "a/b"}, "which twin"),
        ({"type_name": ""}, "which twin"),
        ({"type_name": "gone"}, "gone is not deployed"),
        ({"source": "kafka:twinstream.box.commands/0/1"}, "comes from twinstream.box.commands"),
        ({"source": "kafka:twinstream.box.timeseries/0/1"}, "no input"),
        ({"headers": [("ts-kind", b"tick")]}, "kind 'tick'"),
        ({"raw": b"warm", "field": "level"}, "no value of level"),
        ({"source": "kafka:twinstream.other.telemetry/0/1"}, ""),
    ],
)
def test_what_cannot_be_sent_again_is_told(more: dict[str, Any], why: str) -> None:
    told, _ = redriven(**more)
    assert why in told
    assert bool(told) == bool(why)


def test_the_payload_is_what_the_letter_has() -> None:
    assert base64.b64decode(of(letter(1, raw=b"\x00\xff")).raw_base64) == redriven(raw=b"\x00\xff")[1]["value"]


def test_telemetry_that_no_type_knows_is_counted_by_type_and_source(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "letters")
    made = [letter(1, type_name="tank"), letter(2, type_name="tank", source="amqp:e/k"), letter(3, type_name="")]
    marked = [one._replace(headers=((UNKNOWN, b"1"),)) for one in made]
    letters.apply([*marked, letter(4, type_name="tank")])
    letters.close()
    again = DeadLetters(tmp_path / "letters")
    assert again.refusals == {("tank", "mqtt"): 1, ("tank", "amqp"): 1, ("", "mqtt"): 1}
    again.belong_to("another log")
    assert again.refusals == {}
