"""Log lines: JSON for machines, short lines for people, no secret in either."""

import io
import json
import logging
import stat
import threading
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest
import structlog

from infra import kafka_outage, logs
from infra.kafka_outage import KafkaOutage
from infra.masking import Masker, mask_url
from schemas.clock import ManualClock, SystemClock


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in before:
            handler.close()
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def test_a_line_goes_to_file_console_and_backlog_without_secrets(tmp_path: Path) -> None:
    console, backlog = io.StringIO(), logs.Backlog()
    logs.configure("bridge:mqtt", log_dir=tmp_path, secrets=["hunter2"], console=console, backlog=backlog)
    structlog.get_logger("infra.test").info("connected", url="mqtt://u:pw@host", note="hunter2 works", n=1)
    path = tmp_path / "bridge-mqtt.log"
    line = json.loads(path.read_text())
    assert line["event"] == "connected"
    assert (line["role"], line["n"], line["url"]) == ("bridge:mqtt", 1, "mqtt://u:***@host")
    assert json.loads(backlog.lines[0]) == line
    assert "bridge:mqtt connected" in console.getvalue()
    for text in (path.read_text(), console.getvalue()):
        assert "hunter2" not in text
        assert "pw@" not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_people_get_the_error_and_the_file_the_trace(tmp_path: Path) -> None:
    console = io.StringIO()
    logs.configure("api", log_dir=tmp_path, console=console)
    try:
        raise ValueError("bad luck")  # noqa: TRY301
    except ValueError:
        structlog.get_logger("infra.test").exception("failed")
    assert "Traceback" not in console.getvalue()
    assert "bad luck" in console.getvalue()
    assert "Traceback" in json.loads((tmp_path / "api.log").read_text())["exception"]


def test_a_library_that_repeats_itself_is_heard_once_in_a_while(tmp_path: Path) -> None:
    clock, console = ManualClock(), io.StringIO()
    logs.configure("api", log_dir=tmp_path, console=console, clock=clock)
    for attempt in range(5):
        logging.getLogger("aiokafka.conn").error("unable to connect, attempt %s", attempt)
    assert len((tmp_path / "api.log").read_text().splitlines()) == 1
    clock.advance(60.0)
    logging.getLogger("aiokafka.conn").error("unable to connect, attempt %s", 5)
    assert len((tmp_path / "api.log").read_text().splitlines()) == 2
    assert console.getvalue() == ""


def test_an_outage_of_kafka_is_one_line_when_it_begins_and_one_when_it_ends(tmp_path: Path) -> None:
    answers = threading.Event()
    outage = KafkaOutage(answers.is_set, SystemClock())
    logs.configure("api", log_dir=tmp_path, console=None)
    for handler in logging.getLogger().handlers:
        handler.addFilter(outage)
    library = logging.getLogger("aiokafka.consumer.group_coordinator")

    def say() -> None:
        library.error("Heartbeat send request failed: %s. Will retry.", "KafkaConnectionError: closed")
        logging.getLogger("aiokafka").error(
            "Unable connect to node with id %s: %s", 1, "[Errno 111] Connect call failed"
        )
        library.warning("Marking the coordinator dead (node %s)for group %s.", 1, "g")

    def lines() -> list[str]:
        return [json.loads(line)["event"] for line in (tmp_path / "api.log").read_text().splitlines()]

    say()
    assert lines() == ["kafka is away"]
    answers.set()
    deadline_s = time.monotonic() + 10
    while len(lines()) < 2:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    say()
    library.error("something else")
    assert lines() == ["kafka is away", "kafka is back", "something else"]


@pytest.mark.parametrize("error", ["[Error 6] NotLeaderForPartitionError", "[Error 3] UnknownTopicOrPartitionError"])
def test_a_topic_that_was_deleted_is_told_once_and_is_no_outage(error: str) -> None:
    clock = ManualClock()
    outage, logger = KafkaOutage(lambda: True, clock), logging.getLogger("aiokafka.producer.sender")
    text = f"Got error produce response on topic-partition twinstream.a.events-0, retrying. Error: {error}"
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            assert not outage.filter(logger.makeRecord(logger.name, logging.WARNING, "", 0, text, (), None))
            clock.advance(1)
    assert [line["event"] for line in lines] == ["a topic was deleted, or its partitions move to another broker"]


def test_a_fresh_cluster_that_still_makes_its_coordinator_is_away_only_after_five_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka_outage, "_LOOK_S", 0.001)
    clock, answers = ManualClock(), threading.Event()
    outage = KafkaOutage(answers.is_set, clock)
    logger = logging.getLogger("aiokafka.consumer.group_coordinator")
    texts = cycle(
        (
            "Group Coordinator Request failed: [Error 15] GroupCoordinatorNotAvailableError",
            "Marking the coordinator dead (node 1)for group g.",
        )
    )

    def passes() -> bool:
        return outage.filter(logger.makeRecord(logger.name, logging.ERROR, "", 0, next(texts), (), None))

    answers.set()
    with structlog.testing.capture_logs() as lines:
        for _ in range(2):  # two starts, a while apart
            for _ in range(9):
                assert not passes()
                clock.advance(0.5)
            clock.advance(60)
        assert lines == []
        for _ in range(12):
            assert not passes()
            clock.advance(0.5)
        for thread in threading.enumerate():
            if thread.name == "kafka-outage":
                thread.join(10)
        assert [line["event"] for line in lines] == ["kafka is away", "kafka is back"]


def test_the_backlog_is_bounded_and_counts_what_it_dropped() -> None:
    backlog = logs.Backlog()
    logs.configure("api", log_dir=None, console=None, backlog=backlog)
    log = structlog.get_logger("infra.test")
    for number in range(2003):
        log.info("line", number=number)
    assert len(backlog.lines) == 2000
    assert backlog.dropped == 3
    assert json.loads(backlog.lines[-1])["number"] == 2002


HOSTILE = "\x1b[2J\x1b]0;title\x07a\nb\r\x9b31m\u202ec\x00%s {} {0.__class__} %(x)s \ud800 d\u2028e"


def test_hostile_text_neither_commands_the_terminal_nor_begins_a_line_nor_is_a_format(tmp_path: Path) -> None:
    console, backlog = io.StringIO(), logs.Backlog()
    logs.configure("bridge:mqtt", log_dir=tmp_path, console=console, backlog=backlog)
    log = structlog.get_logger("infra.test")
    log.info(HOSTILE, id=HOSTILE, other={HOSTILE: [HOSTILE]}, **{HOSTILE: 1})
    logging.getLogger("infra.other").warning("id %s", HOSTILE)
    try:
        raise ValueError(HOSTILE)  # noqa: TRY301
    except ValueError:
        log.exception("failed")
    assert len(console.getvalue().splitlines()) == 3
    lines = (tmp_path / "bridge-mqtt.log").read_text("utf-8").split("\n")[:-1]
    assert [*map(str.encode, lines)] == list(backlog.lines)
    first, second, third = map(json.loads, lines)
    # Whoever reads the JSON gets what was written.
    assert (first["event"], first["id"], first[HOSTILE]) == (HOSTILE, HOSTILE, 1)
    assert second["event"] == f"id {HOSTILE}"
    assert "Traceback" in third["exception"]
    for text in (*lines, *console.getvalue().splitlines()):
        assert text.isprintable(), text


def test_ordinary_text_is_shown_as_it_is(tmp_path: Path) -> None:
    console = io.StringIO()
    logs.configure("api", log_dir=tmp_path, console=console)
    structlog.get_logger("infra.test").info("Wärme: 20 °C", ort="北京")
    assert "Wärme: 20 °C · ort=北京" in console.getvalue()
    assert "Wärme: 20 °C" in (tmp_path / "api.log").read_text("utf-8")


def test_a_long_text_is_masked_in_little_time() -> None:
    started_s = time.process_time()
    for piece in ("a", "://", "://a:", "a:b@", "+.-"):
        Masker(["secret"]).text(piece * (300_000 // len(piece)))
    assert time.process_time() - started_s < 2
    assert mask_url("x9mqtt://u:pw@h") == "x9mqtt://u:***@h"
