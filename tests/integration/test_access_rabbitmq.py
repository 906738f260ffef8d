"""The accounts that we make for devices at RabbitMQ: a device reaches its own twin and nothing else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from servers.availability import unavailable
from servers.background import BackgroundLoop
from servers.rabbitmq import RabbitMq
from support.brokers import until
from support.forged import forged_topics
from typer.testing import CliRunner

from connectors.amqp.connector import connector
from connectors.amqp.settings import AmqpSettings
from connectors.bridge_in import InboundBridge
from connectors.memory.log import MemoryLog
from infra.bench.servers.rabbitmq import find_rabbitmq
from infra.cli.app import app
from infra.embedded.ports import LOOPBACK
from schemas.clock import SystemClock

pytestmark = pytest.mark.system

PASSWORD = "p@ss:wörd"  # noqa: S105 - of a test server
IN, OUT = "twinstream.devices", "twinstream"
TELEMETRY, INPUT = "twins.incubator.one.telemetry", "twinstream.incubator.telemetry"
_CONF = Path(__file__).parents[2] / "infra" / "deploy" / "rabbitmq.conf"
_AT_ONCE = 8


@pytest.fixture(scope="module")
def node(servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    if find_rabbitmq() is None:
        unavailable("RabbitMQ", "the system package rabbitmq-server is not installed")
    folder = tmp_path_factory.mktemp("shipped")
    server = RabbitMq(folder, further=_CONF.read_text("utf-8").splitlines())
    servers_loop.enter(server)
    file = folder / "devices.json"
    for twin in ("one", "two"):
        command = ["device", "add", "incubator", twin, "--broker", "rabbitmq", "--into", str(file), "--password-stdin"]
        made = CliRunner().invoke(app, command, input=f"{PASSWORD}\n")
        assert made.exit_code == 0, made.output
    servers_loop.run(server.control("import_definitions", str(file)))
    # The account of the bridge is the first one, `guest` here, with the rights that the configuration gives it.
    servers_loop.run(server.control("add_user", "admin", "admin"))
    servers_loop.run(server.control("set_permissions", "admin", ".*", ".*", ".*"))
    yield server
    servers_loop.leave(server)


@contextlib.asynccontextmanager
async def connected(
    node: RabbitMq, user: str, password: str = PASSWORD
) -> AsyncIterator[aio_pika.abc.AbstractConnection]:
    async with await aio_pika.connect(host=LOOPBACK, port=node.port, login=user, password=password) as connection:
        yield connection


@contextlib.asynccontextmanager
async def bridge(node: RabbitMq, log: MemoryLog) -> AsyncIterator[None]:
    made = connector(AmqpSettings(url=node.url), SystemClock())
    way = InboundBridge(connector=made, writer=log.writer, known_type=lambda _: True, clock=SystemClock()).run()
    task = asyncio.ensure_future(way)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


Try = Callable[[AbstractChannel], Awaitable[object]]


async def refused(connection: aio_pika.abc.AbstractConnection, attempt: Try) -> bool:
    """Whether the broker refuses what is tried on a channel of its own."""
    channel = await connection.channel()
    try:
        await attempt(channel)
    except (aio_pika.exceptions.AMQPError, aio_pika.exceptions.ChannelInvalidStateError):
        return True
    await channel.close()
    return False


def publish(exchange: str, key: str, **properties: object) -> Try:
    async def attempt(channel: AbstractChannel) -> None:
        to = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
        message = aio_pika.Message(b"forged", **properties)  # type: ignore[arg-type]
        await to.publish(message, key, mandatory=False)

    return attempt


async def test_none_of_a_thousand_forged_publishes_is_accepted(node: RabbitMq) -> None:
    log = MemoryLog()
    keys = [topic.replace("/", ".") for topic in forged_topics(1200)]
    keys = [
        key
        for key in dict.fromkeys(keys)
        if len(key.encode()) <= 255 and not key.startswith(f"{TELEMETRY[:-10]}.acks.")
    ]
    forged = [publish(IN, key) for key in keys[:900]] + [publish(OUT, key) for key in (TELEMETRY, *keys[:60])]
    elsewhere = ("", "amq.topic", "amq.direct", "amq.fanout", "amq.match")
    queues = ("twinstream-bridge", "twins.incubator.two", "twins.incubator.one", TELEMETRY)
    forged += [publish(exchange, key) for exchange in elsewhere for key in queues]
    forged += [publish(IN, f"twins.incubator.two.{end}") for end in ("acks.#", "acks.*", "#", "*")]
    forged += [publish(IN, f"{TELEMETRY}{end}") for end in ("\n", "\0", " ", ".", ".x", "\r\n")]
    forged += [publish(IN, TELEMETRY, user_id=user) for user in ("guest", "incubator/two")]
    forged += [publish(IN, ".".join(["twins", "incubator", "two", "telemetry", *["x"] * n])) for n in range(1, 8)]
    assert len(forged) >= 1000
    async with bridge(node, log), connected(node, "admin", "admin") as admin:
        audited = await auditing(admin)
        async with connected(node, "incubator/one") as device:
            for start in range(0, len(forged), _AT_ONCE):
                answers = await asyncio.gather(*(refused(device, one) for one in forged[start : start + _AT_ONCE]))
                assert all(answers)
            assert not await refused(device, publish(IN, TELEMETRY))
            assert not await refused(device, publish(IN, "twins.incubator.one.acks.heater"))
        await until(lambda: len(log.records.get(INPUT, [])) >= 2)
        assert await texts(audited) == [TELEMETRY, "twins.incubator.one.acks.heater"]
    assert {record.key for record in log.records[INPUT]} == {b"one"}
    assert "twinstream.deadletter" not in log.records


async def test_headers_with_further_routing_keys_reach_nobody_else(node: RabbitMq) -> None:
    log = MemoryLog()
    others = ["twins.incubator.two.commands.heater", "twins.incubator.two.telemetry", "twins.tank.one.acks.x"]
    async with (
        bridge(node, log),
        connected(node, "incubator/one") as device,
        connected(node, "admin", "admin") as admin,
    ):
        for header in ("CC", "BCC"):
            await refused(device, publish(IN, TELEMETRY, headers={header: others}))
        assert not await refused(device, publish(IN, TELEMETRY))
        await until(lambda: len(log.records.get(INPUT, [])) >= 1)
        await asyncio.sleep(0.3)
        victim = await (await admin.channel()).get_queue("twins.incubator.two")
        assert await victim.get(fail=False) is None
    assert {record.key for record in log.records[INPUT]} == {b"one"}
    assert "twinstream.deadletter" not in log.records


async def test_a_device_declares_binds_reads_and_removes_nothing_of_others(node: RabbitMq) -> None:
    async def bind_exchange(channel: AbstractChannel) -> object:
        own = await channel.get_exchange("amq.topic", ensure=False)
        return await (await channel.get_exchange(IN, ensure=False)).bind(own, "#")

    async def bind_queue(channel: AbstractChannel) -> object:
        queue = await channel.get_queue("twins.incubator.one", ensure=False)
        return await queue.bind(OUT, "twins.#")

    async def get(channel: AbstractChannel) -> object:
        return await (await channel.get_queue("twins.incubator.two", ensure=False)).get(fail=False)

    async def consume(channel: AbstractChannel) -> object:
        async def take(_: object) -> None: ...

        return await (await channel.get_queue("twinstream-bridge", ensure=False)).consume(take)

    async def purge(channel: AbstractChannel) -> object:
        return await (await channel.get_queue("twinstream-bridge", ensure=False)).purge()

    async def delete(channel: AbstractChannel) -> object:
        return await channel.queue_delete("twins.incubator.two")

    tries: list[Try] = [
        bind_exchange,
        bind_queue,
        get,
        consume,
        purge,
        delete,
        lambda channel: channel.declare_queue("mine"),
        lambda channel: channel.declare_queue(""),
        lambda channel: channel.declare_exchange("mine", "topic"),
        lambda channel: channel.declare_exchange("twins.incubator.one", "topic"),
        lambda channel: channel.exchange_delete(IN),
    ]
    log = MemoryLog()
    async with bridge(node, log), connected(node, "incubator/one") as device:
        for attempt in tries:
            assert await refused(device, attempt), attempt


async def test_a_device_hears_its_own_commands_alone(node: RabbitMq) -> None:
    async with connected(node, "guest", "guest") as bridge_connection, connected(node, "incubator/one") as device:
        exchange = await (await bridge_connection.channel()).get_exchange(OUT, ensure=False)
        for twin in ("two", "one"):
            for end in ("events.too_hot", "commands.heater"):
                await exchange.publish(aio_pika.Message(b""), f"twins.incubator.{twin}.{end}")
        queue = await (await device.channel()).get_queue("twins.incubator.one", ensure=False)
        message = await queue.get(timeout=5)
        assert message is not None
        assert message.routing_key == "twins.incubator.one.commands.heater"
        await message.ack()
        assert await queue.get(fail=False) is None


async def test_the_bridge_has_its_own_exchanges_and_queue_alone(node: RabbitMq) -> None:
    async with connected(node, "guest", "guest") as made:
        assert await refused(made, lambda channel: channel.declare_queue("another"))
        assert await refused(made, publish("", "twins.incubator.one"))
        assert not await refused(made, publish(OUT, "twins.incubator.one.commands.heater"))
    assert "administrator" not in await node.control("list_users")


async def auditing(admin: aio_pika.abc.AbstractConnection) -> aio_pika.abc.AbstractQueue:
    """A queue that gets whatever any exchange took."""
    channel = await admin.channel()
    queue = await channel.declare_queue("audit", exclusive=True)
    for name in (IN, OUT, "amq.topic"):
        await queue.bind(name, "#")
    return queue


async def texts(queue: aio_pika.abc.AbstractQueue) -> list[str | None]:
    found = []
    while message := await queue.get(fail=False):
        found.append(message.routing_key)
    return found
