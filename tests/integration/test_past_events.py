"""Events from before a page was opened, as the console reads them from a real Kafka."""

import random

import pytest

from infra.console import past_events
from infra.console.past_events import LogPastEvents
from infra.embedded.kafka import EmbeddedKafka
from infra.http.services import LogUnavailableError
from schemas.messages import Cause, Event, encode
from schemas.topics import TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.writer import LogWriter

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(90)]


def event(type_name: str, twin: str, name: str, time_ns: int) -> bytes:
    return encode(
        Event(
            id=f"{name}-{time_ns}",
            type=type_name,
            twin=twin,
            name=name,
            severity="info",
            event_time_ns=time_ns,
            cause=Cause(partition=0, offset=0, definition="", parameters=0),
            data={},
        )
    )


async def written(options: KafkaOptions, type_name: str, *events: tuple[str, str, int]) -> None:
    """Put events, of twin, name and time, into one partition."""
    topic = TypeTopics(type_name).events
    async with LogAdmin(options) as admin:
        await admin.ensure_topics([topic], partitions=1)
    async with LogWriter(options) as writer:
        sent = [await writer.send(topic, twin.encode(), event(type_name, twin, name, at)) for twin, name, at in events]
        sent.append(await writer.send(topic, b"a", b"no event"))
        for record in sent:
            await record


@pytest.fixture
def options(kafka: EmbeddedKafka) -> KafkaOptions:
    return KafkaOptions(kafka.bootstrap_servers)


@pytest.fixture
def type_name() -> str:
    return f"past_{random.randrange(10**9)}"


async def test_the_events_of_a_twin_since_a_time_come_in_their_order(options: KafkaOptions, type_name: str) -> None:
    happened = [("a", "one", 1), ("b", "other", 2), ("a", "command_sent", 3), ("a", "two", 4), ("a", "three", 5)]
    await written(options, type_name, *happened)
    read = LogPastEvents(options)
    assert [found.name for found in await read(type_name, "a", None)] == ["one", "two", "three"]
    assert [found.name for found in await read(type_name, "a", 4)] == ["two", "three"]
    assert [found.name for found in await read(type_name, "b", None)] == ["other"]
    assert await read(type_name, "nobody", None) == []
    assert await read(f"{type_name}_x", "a", None) == []


async def test_no_more_is_read_than_what_is_due(
    options: KafkaOptions, type_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_events, "_AT_ONCE", 7)
    await written(options, type_name, *(("ab"[at % 2], f"n{at}", at) for at in range(100)))
    read = LogPastEvents(options)
    everything = [f"n{at}" for at in range(0, 100, 2)]
    assert [found.name for found in await read(type_name, "a", None)] == everything
    monkeypatch.setattr(past_events, "MOST_EVENTS", 5)
    assert [found.name for found in await read(type_name, "a", None)] == everything[-5:]
    monkeypatch.setattr(past_events, "MOST_EVENTS", 200)
    monkeypatch.setattr(past_events, "MOST_RECORDS", 21)
    assert [found.name for found in await read(type_name, "a", None)] == everything[-10:]


async def test_a_kafka_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_events, "_TIMEOUT_S", 1.0)
    with pytest.raises(LogUnavailableError):
        await LogPastEvents(KafkaOptions("127.0.0.1:1"))("box", "a", None)
