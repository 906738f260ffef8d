"""Names, topics, partitions, time and messages: what others rely on byte by byte."""

import base64
import hashlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.clock import ManualClock, SystemClock
from schemas.errors import InvalidNameError
from schemas.headers import Kind, input_headers
from schemas.messages import RAW_LIMIT_BYTES, TEXT_LIMIT, command_id, dead_letter, encode, stable_id
from schemas.names import TypeName, check_field, check_twin_id, parse_type
from schemas.partitioning import partition_of
from schemas.topics import (
    DEADLETTER,
    DEADLETTER_MAX_BYTES,
    DEFINITIONS,
    LOGS,
    PAYLOAD_MAX_BYTES,
    TypeTopics,
    topic_config,
    type_of_topic,
)
from streams.log.client import KafkaOptions
from streams.options import EngineOptions


@pytest.mark.parametrize(
    ("text", "project", "name"),
    [
        ("a", "main", "a"),
        ("incubator", "main", "incubator"),
        ("a" * 40, "main", "a" * 40),
        ("x_1", "main", "x_1"),
        ("plant-tank", "plant", "tank"),
        ("main", "main", "main"),
    ],
)
def test_a_type_name_is_its_project_and_its_own_name_and_prints_as_it_was_read(
    text: str, project: str, name: str
) -> None:
    assert parse_type(text) == TypeName(project, name)
    assert str(parse_type(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "1a",
        "_a",
        "a" * 41,
        "a.b",
        "a b",
        "a-b-c",
        "-a",
        "a-",
        "main-a",
        "a\n",
        "\u00e4",
        "a/b",
        "b-" + "a" * 41,
        "a--b",
    ],
)
def test_a_type_name_outside_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(InvalidNameError):
        parse_type(text)


@pytest.mark.parametrize("text", ["a", "0", "incubator-1", "A_b-9", "x" * 64])
def test_a_twin_id_inside_the_grammar_is_taken_as_it_is(text: str) -> None:
    assert check_twin_id(text) == text


@pytest.mark.parametrize(
    "text", ["", "-a", "_a", "x" * 65, "a b", "a/b", "a.b", "a\n", "\u00e4", "+", "#", "a\x00", "\u0661"]
)
def test_a_twin_id_outside_the_grammar_is_refused_in_readable_words(text: str) -> None:
    with pytest.raises(InvalidNameError) as caught:
        check_twin_id(text)
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("T_air", True),
        ("a1", True),
        ("_a", False),
        ("1a", False),
        ("a-b", False),
        ("", False),
        ("a" * 129, False),
        ("a\n", False),
    ],
)
def test_field_names_begin_with_a_letter(text: str, fine: bool) -> None:  # noqa: FBT001
    if fine:
        assert check_field(text) == text
    else:
        with pytest.raises(InvalidNameError):
            check_field(text)


@given(st.text(max_size=100))
def test_no_name_that_is_accepted_could_break_a_topic(text: str) -> None:
    try:
        check_twin_id(text)
    except InvalidNameError:
        return
    assert text.isascii()
    assert not set(text) & set('/+#.*, ="\\\n')


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        # The test vectors of Apache Kafka's own UtilsTest.testMurmur2.
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
@pytest.mark.parametrize("partitions", [1, 3, 8, 100])
def test_partitions_are_those_of_java_clients(key: bytes, hashed: int, partitions: int) -> None:
    assert partition_of(key, partitions) == (hashed & 0x7FFFFFFF) % partitions
    assert partition_of(key.decode(), partitions) == partition_of(key, partitions)


def test_topics_of_a_type_bear_its_name_and_lead_back_to_it() -> None:
    topics = TypeTopics("plant-tank")
    kinds = ("telemetry", "commands", "events", "timeseries", "metadata", "state")
    assert topics.all() == tuple(f"twinstream.plant-tank.{kind}" for kind in kinds)
    assert {type_of_topic(topic) for topic in topics.all()} == {"plant-tank"}
    assert {type_of_topic(topic) for topic in (DEFINITIONS, DEADLETTER, LOGS, "other.a.b")} == {""}


def test_state_metadata_and_definitions_are_compacted_and_nothing_else_is() -> None:
    topics = TypeTopics("tank")
    compacted = {
        topic
        for topic in (*topics.all(), DEFINITIONS, DEADLETTER, LOGS)
        if topic_config(topic)["cleanup.policy"] == "compact"
    }
    assert compacted == {topics.state, topics.metadata, DEFINITIONS}
    assert topic_config(topics.telemetry)["retention.ms"] == "-1"
    assert int(topic_config(topics.telemetry)["max.message.bytes"]) == 2 * PAYLOAD_MAX_BYTES
    assert topic_config(LOGS)["retention.ms"] == str(24 * 3600 * 1000)
    assert topic_config(DEADLETTER)["max.message.bytes"] == str(DEADLETTER_MAX_BYTES) == "4194304"


def test_headers_name_the_kind_only_where_it_is_not_telemetry() -> None:
    assert input_headers(received_ns=5, source="mqtt:a/b") == [("ts-received", b"5"), ("ts-source", b"mqtt:a/b")]
    full = input_headers(received_ns=5, source="http:/x", kind=Kind.REQUEST, name="reset", record_id="7")
    assert dict(full)["ts-kind"] == b"request"
    assert (dict(full)["ts-name"], dict(full)["ts-id"]) == (b"reset", b"7")


@pytest.mark.parametrize("size", [0, 1, RAW_LIMIT_BYTES, RAW_LIMIT_BYTES + 1, 3 * RAW_LIMIT_BYTES])
def test_a_dead_letter_keeps_64_kilobytes_the_length_and_of_a_longer_payload_its_hash(size: int) -> None:
    raw = bytes(number % 251 for number in range(size))
    letter = dead_letter(
        reason="undecodable", detail="d" * 5000, source="mqtt:x", type_name="t", twin="w" * 5000, received_ns=1, raw=raw
    )
    assert base64.b64decode(letter.raw_base64) == raw[:65536]
    assert letter.size == size
    assert letter.sha256 == (hashlib.sha256(raw).hexdigest() if size > 65536 else "")
    assert ("sha256" in msgspec.json.decode(encode(letter))) == (size > 65536)
    assert len(letter.detail) == len(letter.twin) == TEXT_LIMIT


def test_a_dead_letter_has_the_id_of_what_it_is_about() -> None:
    def letter(
        source: str = "s", received_ns: int = 1, reason: str = "late", raw: bytes = b"r", detail: str = "d"
    ) -> str:
        return dead_letter(
            reason=reason, detail=detail, source=source, type_name="t", twin="w", received_ns=received_ns, raw=raw
        ).id

    assert letter() == letter(detail="other words")
    assert len({letter(), letter(source="o"), letter(received_ns=2), letter(reason="x"), letter(raw=b"q")}) == 5


def test_a_command_has_the_id_of_its_cause_and_name() -> None:
    cause = {"cluster": "c", "topic_id": "t", "partition": 1, "offset": 2, "twin": "w", "name": "n"}
    assert command_id(**cause) == command_id(**cause)  # type: ignore[arg-type]
    others = [command_id(**{**cause, name: 9 if isinstance(value, int) else "z"}) for name, value in cause.items()]  # type: ignore[arg-type]
    assert len({command_id(**cause), *others}) == 1 + len(cause)  # type: ignore[arg-type]


def test_parts_of_an_id_do_not_run_into_each_other() -> None:
    assert stable_id("a", "bc") != stable_id("ab", "c")
    assert stable_id("a", 1) == stable_id("a", "1")
    assert len(stable_id("a")) == 32


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(7)
    assert (clock.now_ns(), clock.monotonic_s()) == (7, 0.0)
    clock.advance(1.5)
    assert (clock.now_ns(), clock.monotonic_s()) == (1_500_000_007, 1.5)
    system = SystemClock()
    assert system.monotonic_s() <= system.monotonic_s()
    assert system.now_ns() > 1_700_000_000_000_000_000


def test_a_state_topic_keeps_deletions_for_twice_as_long_as_rows_are_trusted() -> None:
    kept_ms = int(topic_config(TypeTopics("box").state)["delete.retention.ms"])
    options = EngineOptions(KafkaOptions("127.0.0.1:1"), "group", "source", "changelog", "cluster", Path())
    assert kept_ms == 2000 * options.rows_age_s
