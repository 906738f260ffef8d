"""The bridges over a real Kafka: durable before acknowledged, through an outage of Kafka and a kill of the bridge."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import uuid
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from support.bridging import BridgeProcess, first_seen, in_order, inbound, messages, records_of, session_exists
from support.brokers import MqttUnderTest, until

from connectors import reconnect
from connectors.bridge_in import InboundBridge
from connectors.bridge_out import OutboundBridge, group_of
from connectors.mqtt.connector import connector
from connectors.mqtt.settings import MqttSettings
from schemas.clock import NS_PER_S, SystemClock
from schemas.headers import KIND, LETTER, STATUS, Kind
from schemas.messages import Cause, Command, DeadLetter, Event, encode
from schemas.topics import DEADLETTER, TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.follow import Follower
from streams.log.group import GroupReader
from streams.log.writer import LogWriter

if TYPE_CHECKING:
    from infra.embedded import EmbeddedKafka

pytestmark = [pytest.mark.kafka, pytest.mark.system]


@pytest.fixture
async def mqtt(tmp_path: Path) -> AsyncIterator[MqttUnderTest]:
    broker = MqttUnderTest(tmp_path, "mosquitto", "5")
    await broker.start()
    yield broker
    await broker.stop()


async def made_topics(kafka: "EmbeddedKafka") -> TypeTopics:
    made = TypeTopics(f"t{uuid.uuid4().hex[:12]}")
    async with LogAdmin(KafkaOptions(kafka.bootstrap_servers)) as admin:
        await admin.ensure_topics(made.all(), partitions=4)
    return made


@pytest.fixture
async def topics(kafka: "EmbeddedKafka") -> TypeTopics:
    """The topics of a type that this test alone has."""
    return await made_topics(kafka)


@pytest.fixture
async def other_topics(kafka: "EmbeddedKafka") -> TypeTopics:
    """Those of a second one."""
    return await made_topics(kafka)


def outbound(url: str, options: KafkaOptions, topics: TypeTopics, group: str, member: str = "") -> OutboundBridge:
    pattern = rf"^twinstream\.{topics.type}\.(commands|events)$"
    return OutboundBridge(
        connector=connector(MqttSettings(url=url), SystemClock()),
        reader=lambda: GroupReader(options, group=group, pattern=pattern, member=member),
        writer=lambda: LogWriter(options),
        clock=SystemClock(),
    )


@contextlib.asynccontextmanager
async def running(bridge: InboundBridge | OutboundBridge) -> AsyncIterator[None]:
    task = asyncio.ensure_future(bridge.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_frozen_kafka_holds_the_broker_back_and_nothing_is_lost(
    kafka: "EmbeddedKafka", mqtt: MqttUnderTest, topics: TypeTopics
) -> None:
    await session_exists(mqtt.url)
    async with running(inbound(mqtt.url, kafka.bootstrap_servers)):
        await mqtt.publish(messages(topics, 0, 100))
        await records_of(kafka.bootstrap_servers, topics.telemetry, 100)
        os.kill(kafka.pid, signal.SIGSTOP)
        try:
            await mqtt.publish(messages(topics, 100, 3000))
            await asyncio.sleep(2)
        finally:
            os.kill(kafka.pid, signal.SIGCONT)
        records = await records_of(kafka.bootstrap_servers, topics.telemetry, 3000)
    assert first_seen(records) == in_order(3000)
    # The connection stood all the while: nothing had to be delivered twice.
    assert len(records) == 3000


async def test_killed_bridge_loses_nothing_and_keeps_order(
    kafka: "EmbeddedKafka", mqtt: MqttUnderTest, topics: TypeTopics
) -> None:
    await session_exists(mqtt.url)
    count = 6000
    publishing = asyncio.create_task(mqtt.publish(messages(topics, 0, count)))
    with BridgeProcess(mqtt.url, kafka.bootstrap_servers) as bridge:
        for _ in range(3):
            await asyncio.sleep(1.5)
            bridge.kill()
            bridge.start()
        await publishing
        records = await records_of(kafka.bootstrap_servers, topics.telemetry, count)
    assert first_seen(records) == in_order(count)


async def test_bridges_with_types_of_their_own_share_the_load_and_lose_nothing_when_one_is_killed(
    kafka: "EmbeddedKafka", mqtt: MqttUnderTest, topics: TypeTopics, other_topics: TypeTopics
) -> None:
    of_each = [{"client_id": one.type, "types": [one.type]} for one in (topics, other_topics)]
    for settings in of_each:
        await session_exists(mqtt.url, **settings)
    count, servers = 5000, kafka.bootstrap_servers
    both = zip(messages(topics, 0, count), messages(other_topics, 0, count), strict=True)
    publishing = asyncio.create_task(mqtt.publish([message for pair in both for message in pair]))
    with BridgeProcess(mqtt.url, servers, **of_each[0]), BridgeProcess(mqtt.url, servers, **of_each[1]) as killed:
        for _ in range(3):
            await asyncio.sleep(1.5)
            killed.kill()
            killed.start()
        await publishing
        untouched = await records_of(servers, topics.telemetry, count)
        records = await records_of(servers, other_topics.telemetry, count)
    assert len(untouched) == count  # each message went to one bridge
    assert first_seen(untouched) == first_seen(records) == in_order(count)


async def test_payload_of_just_the_limit_is_taken(
    kafka: "EmbeddedKafka", mqtt: MqttUnderTest, topics: TypeTopics
) -> None:
    await session_exists(mqtt.url)
    async with running(inbound(mqtt.url, kafka.bootstrap_servers)):
        topic = f"twins/{topics.type}/inc-1/telemetry"
        await mqtt.publish([(topic, b"x" * 1024 * 1024), (topic, b"{}")])
        records = await records_of(kafka.bootstrap_servers, topics.telemetry, 2)
    assert [len(record.value or b"") for record in records] == [1024 * 1024, 2]


async def test_payload_that_a_topic_made_otherwise_can_not_take_is_a_dead_letter(
    kafka: "EmbeddedKafka", mqtt: MqttUnderTest
) -> None:
    stock = TypeTopics(f"t{uuid.uuid4().hex[:12]}")
    raw = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await raw.start()
    await raw.create_topics([NewTopic(stock.telemetry, 1, 1, topic_configs={"max.message.bytes": "1048588"})])
    await raw.close()
    await session_exists(mqtt.url)
    async with running(inbound(mqtt.url, kafka.bootstrap_servers)):
        topic = f"twins/{stock.type}/inc-1/telemetry"
        await mqtt.publish([(topic, b"x" * 1_048_570), (topic, b"x" * 1_040_000), (topic, b"{}")])
        wanted, sizes = 2, [0]
        while sizes[-1] != len(b"{}"):
            # What shared a request with the one that was refused may have been sent twice: at least once, in order.
            records = await records_of(kafka.bootstrap_servers, stock.telemetry, wanted)
            told = [record for record in records if record.header(KIND) != Kind.REFUSED.value.encode()]
            sizes, wanted = [len(record.value or b"") for record in told] or [0], wanted + 1
        letters: list[DeadLetter] = []
        async with Follower(KafkaOptions(kafka.bootstrap_servers), topics=[DEADLETTER]) as follower:
            async with asyncio.timeout(30):
                while not letters:
                    read = [
                        msgspec.json.decode(one.value or b"", type=DeadLetter)
                        for one in await follower.read()
                        if not one.header(LETTER)
                    ]
                    letters += [letter for letter in read if letter.type == stock.type]
    assert list(dict.fromkeys(sizes)) == [1_040_000, 2]
    assert [(letter.reason, letter.size) for letter in letters] == [("too_large", 1_048_570)]


async def test_command_is_confirmed_before_the_group_moves_on(
    kafka: "EmbeddedKafka", mqtt: MqttUnderTest, topics: TypeTopics
) -> None:
    options = KafkaOptions(kafka.bootstrap_servers)
    now_ns = SystemClock().now_ns()
    command = Command(
        id=uuid.uuid4().hex,
        type=topics.type,
        twin="inc-1",
        name="heater",
        value=True,
        issued_ns=now_ns,
        expires_ns=now_ns + 60 * NS_PER_S,
        cause=Cause(partition=0, offset=0, definition="d", parameters=0),
    )
    group = f"{group_of('mqtt')}-{topics.type}"
    async with mqtt.listen() as seen, running(outbound(mqtt.url, options, topics, group)), LogWriter(options) as writer:
        await (await writer.send(topics.commands, b"inc-1", encode(command)))
        await until(lambda: seen)
        events = await records_of(kafka.bootstrap_servers, topics.events, 1)
        async with LogAdmin(options) as admin:
            async with asyncio.timeout(20):
                while sum((await admin.committed(group, [topics.commands])).values()) < 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
    assert seen == [(f"twins/{topics.type}/inc-1/commands/heater", encode(command))]
    assert msgspec.json.decode(events[0].value or b"", type=Event).name == "command_sent"


def outbound_process(url: str, servers: str, type_name: str) -> None:
    topics = TypeTopics(type_name)
    asyncio.run(outbound(url, KafkaOptions(servers), topics, f"{group_of('mqtt')}-{type_name}", "killed").run())


async def test_a_killed_bridge_sends_every_command_and_none_that_expired_or_was_refused(
    kafka: "EmbeddedKafka", mqtt: MqttUnderTest, topics: TypeTopics
) -> None:
    options = KafkaOptions(kafka.bootstrap_servers)
    context = multiprocessing.get_context("spawn")
    now_ns = SystemClock().now_ns()

    def command(number: int) -> Command:
        """Of three one is live, one has expired, and one was refused."""
        refused = number % 3 == 2
        return Command(
            id=f"{number:032x}",
            type=topics.type,
            twin=f"inc-{number % 5}",
            name="heater",
            value=number,
            issued_ns=number,
            expires_ns=now_ns + (-NS_PER_S if number % 3 == 1 else 600 * NS_PER_S),
            cause=Cause(partition=0, offset=number, definition="d", parameters=0),
            status="refused" if refused else "issued",
            reason="range" if refused else "",
        )

    def start() -> Any:
        arguments = (mqtt.url, kafka.bootstrap_servers, topics.type)
        process = context.Process(target=outbound_process, args=arguments, daemon=True)
        process.start()
        return process

    commands = [command(number) for number in range(900)]
    live, expired = ({one.id for one in commands[first::3]} for first in (0, 1))
    bridge = start()
    try:
        async with mqtt.listen() as seen, LogWriter(options) as writer:
            for number, one in enumerate(commands):
                headers = ((STATUS, b"refused"),) if one.status == "refused" else ()
                await (await writer.send(topics.commands, one.twin.encode(), encode(one), headers=headers))
                if number in {300, 600}:
                    await until(partial(_more_than, seen, number // 6))
                    bridge.kill()
                    bridge.join()
                    bridge = start()
            await until(lambda: id_of_all(seen) >= live, 60)
            told = await records_of(kafka.bootstrap_servers, topics.events, 600)
    finally:
        bridge.kill()
        bridge.join()
        bridge.close()
    # A device that knows the ids that it has done does each of them once.
    assert id_of_all(seen) == live
    events = [msgspec.json.decode(record.value or b"", type=Event) for record in told]
    assert {event.data["id"] for event in events if event.name == "command_sent"} == live
    assert {event.data["id"] for event in events if event.name == "command_expired"} == expired
    assert len(live) + len(expired) == 600


def _more_than(seen: list[tuple[str, bytes]], number: int) -> bool:
    return len(seen) > number


def id_of_all(seen: list[tuple[str, bytes]]) -> set[str]:
    return {msgspec.json.decode(payload)["id"] for address, payload in seen if "/commands/" in address}


async def test_bridge_stops_at_once_while_kafka_is_frozen(
    kafka: "EmbeddedKafka", mqtt: MqttUnderTest, topics: TypeTopics
) -> None:
    await session_exists(mqtt.url)
    options = KafkaOptions(kafka.bootstrap_servers)
    back = outbound(mqtt.url, options, topics, topics.type)
    bridges = [
        asyncio.ensure_future(inbound(mqtt.url, kafka.bootstrap_servers).run()),
        asyncio.ensure_future(back.run()),
    ]
    await mqtt.publish(messages(topics, 0, 1))
    await records_of(kafka.bootstrap_servers, topics.telemetry, 1)
    await asyncio.sleep(1)
    os.kill(kafka.pid, signal.SIGSTOP)
    try:
        await mqtt.publish(messages(topics, 1, 100))
        await asyncio.sleep(1)
        for bridge in bridges:
            bridge.cancel()
        done, _ = await asyncio.wait(bridges, timeout=8)
    finally:
        os.kill(kafka.pid, signal.SIGCONT)
    await asyncio.gather(*bridges, return_exceptions=True)
    assert len(done) == 2
    await until(lambda: not reconnect._still_leaving)  # noqa: SLF001
