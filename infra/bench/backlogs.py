"""One Kafka and two brokers, whose backlogs contestants drain in turns.

Every run has types, sessions, queues, topics and data directories of its own: nothing of one can reach another.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aio_pika
import msgspec
from aio_pika.abc import AbstractExchange

from connectors.amqp.settings import AmqpSettings
from connectors.mqtt.settings import MqttSettings
from connectors.patterns import EXCHANGE, ROOT
from infra.bench import telegraf
from infra.bench.child import finished
from infra.bench.contest import Watch, clear
from infra.bench.contestants import bare_aio_pika, bare_paho
from infra.bench.draining import Drain, RoleUnderTest
from infra.bench.job import Finished
from infra.bench.jobs import FOLDERS, INCUBATOR
from infra.bench.kept import compared
from infra.bench.mqtt_load import Load
from infra.bench.peers import ROOT as CLONE
from infra.bench.servers.rabbitmq import RabbitMq
from infra.bench.workload import Workload
from infra.deployment.switching import put_into_force
from infra.embedded.mqtt import EmbeddedMqtt
from infra.embedded.ports import LOOPBACK
from infra.embedded.process import ChildProcess
from schemas.bundle import Bundle, bundle_of, read_folder
from schemas.definition_file import FILE
from schemas.errors import SetupError
from schemas.topics import TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions

_TWINS, _PARTITIONS = 1000, 8


@dataclass
class Backlogs:
    """Makes a backlog for a contestant, and times it while that is drained.

    Attributes:
        kafka: Where bridges write to.
        folder: For everything that is written.
        messages: In each backlog.
        watch: Is told what goes on.
        stack: Ends the brokers, which are started by the first run that needs them.
    """

    kafka: KafkaOptions
    folder: Path
    messages: int
    watch: Watch
    stack: AsyncExitStack
    _runs: int = field(default=0, init=False)
    _mosquitto: EmbeddedMqtt | None = field(default=None, init=False)
    _rabbit: RabbitMq | None = field(default=None, init=False)

    async def mqtt_bridges(self, count: int) -> Finished:
        """So many bridges, a type each.

        Raises:
            SetupError: Mosquitto can't be had, or not every message is in Kafka.
        """
        broker = await self._mqtt()
        folder, types = await self._begin(count)
        bridges = []
        for name in types:
            settings = {"URL": broker.protocols["5"], "CLIENT_ID": name, "TYPES": msgspec.json.encode([name]).decode()}
            bridges.append(self._bridge("mqtt", folder / name, settings))
        await self._introduce(bridges)
        await self._publish(broker, folder, types, ROOT)
        return await self._drain(f"mqtt: {count} of our bridges", [one.process() for one in bridges], types)

    async def paho(self) -> Finished:
        """Bare paho, with a session of its own.

        Raises:
            SetupError: Mosquitto can't be had, or paho does not get it all.
        """
        broker = await self._mqtt()
        folder, (name, *_) = await self._begin(0)
        job = await self._session(broker, folder, name, f"{name}/#")
        await self._publish(broker, folder, [INCUBATOR], name)
        job = msgspec.structs.replace(job, messages=self.messages, report=str(folder / "report.jsonl"))
        return await _contestant("bare_paho", job, self.watch("mqtt: bare paho", self.messages))

    async def telegraf(self) -> Finished:
        """Telegraf, which acknowledges what Kafka has.

        Raises:
            SetupError: Mosquitto can't be had, or not every message is in Kafka.
        """
        broker = await self._mqtt()
        folder, types = await self._begin(1)
        topics = f"{ROOT}/{types[0]}/+/telemetry"
        await self._session(broker, folder, types[0], topics)
        await self._publish(broker, folder, types, ROOT)
        into = TypeTopics(types[0]).telemetry
        process = telegraf.process(folder, broker.url, types[0], topics, self.kafka, into)
        return await self._drain("mqtt: telegraf", [process], types)

    async def _session(self, broker: EmbeddedMqtt, folder: Path, client_id: str, topic: str) -> bare_paho.Consuming:
        """A session for which Mosquitto keeps what comes; its client's job, with no messages to wait for."""
        port = int(broker.protocols["5"].rpartition(":")[2])
        most = MqttSettings().receive_maximum
        job = bare_paho.Consuming(LOOPBACK, port, client_id, topic, 0, most, str(folder / "session.jsonl"))
        await _contestant("bare_paho", job, lambda _: None)
        return job

    async def amqp_bridge(self) -> Finished:
        """A bridge with a queue of its own.

        Raises:
            SetupError: RabbitMQ can't be had, or not every message is in Kafka.
        """
        rabbit = await self._amqp()
        folder, types = await self._begin(1)
        settings = {"URL": rabbit.url, "QUEUE": types[0], "TYPES": msgspec.json.encode(types).decode()}
        bridges = [self._bridge("amqp", folder / types[0], settings)]
        await self._introduce(bridges)
        async with await aio_pika.connect(rabbit.url) as connection:
            channel = await connection.channel(publisher_confirms=False)
            await self._publish_amqp(await channel.get_exchange(EXCHANGE), types)
            try:
                return await self._drain("amqp: our bridge", [one.process() for one in bridges], types)
            finally:
                await channel.queue_delete(types[0])

    async def aio_pika(self) -> Finished:
        """Bare aio-pika, with a queue of its own.

        Raises:
            SetupError: RabbitMQ can't be had, or aio-pika does not get it all.
        """
        rabbit = await self._amqp()
        folder, (name, *_) = await self._begin(0)
        async with await aio_pika.connect(rabbit.url) as connection:
            channel = await connection.channel(publisher_confirms=False)
            exchange = await channel.declare_exchange(name, aio_pika.ExchangeType.TOPIC)
            queue = await channel.declare_queue(name, durable=True)
            await queue.bind(exchange, "#")
            await self._publish_amqp(exchange, [INCUBATOR])
            report = str(folder / "report.jsonl")
            job = bare_aio_pika.Consuming(rabbit.url, name, self.messages, AmqpSettings().prefetch, report)
            try:
                told = self.watch("amqp: bare aio-pika", self.messages)
                return await _contestant("bare_aio_pika", job, told)
            finally:
                await queue.delete(if_unused=False, if_empty=False)
                await exchange.delete()

    async def _mqtt(self) -> EmbeddedMqtt:
        if self._mosquitto is None:
            self._mosquitto = await self.stack.enter_async_context(EmbeddedMqtt(self.folder, 0, prefer="mosquitto"))
        return self._mosquitto

    async def _amqp(self) -> RabbitMq:
        if self._rabbit is None:
            self._rabbit = await self.stack.enter_async_context(RabbitMq(self.folder))
        return self._rabbit

    async def _begin(self, types: int) -> tuple[Path, list[str]]:
        """A folder and names of this run alone, the first of them types in force."""
        self._runs += 1
        await clear(self.kafka)
        names = [f"bench_{self._runs:03d}_{place}" for place in range(max(types, 1))]
        folder = self.folder / "runs" / f"{self._runs:03d}"
        folder.mkdir(parents=True)
        for name in names[:types]:
            await put_into_force(self.kafka, _named(name), _PARTITIONS, who="bench")
        return folder, names

    def _bridge(self, broker: str, data_dir: Path, settings: dict[str, str]) -> RoleUnderTest:
        environment = {
            "TWINSTREAM_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "TWINSTREAM_KAFKA__PARTITIONS": str(_PARTITIONS),
        }
        environment |= {f"TWINSTREAM_{broker.upper()}__{key}": value for key, value in settings.items()}
        return RoleUnderTest(f"bridge:{broker}", data_dir, environment)

    async def _introduce(self, bridges: Sequence[RoleUnderTest]) -> None:
        """Let the broker know the bridges, so that it keeps what comes for them."""
        for bridge in bridges:
            async with bridge.process():
                await bridge.ready()

    async def _publish(self, broker: EmbeddedMqtt, folder: Path, types: list[str], root: str) -> None:
        report = folder / "load.jsonl"
        load = Load(LOOPBACK, broker.port, str(report), self.messages, _TWINS, types, root)
        file = folder / "load.json"
        file.write_bytes(msgspec.json.encode(load))
        told = self.watch(f"publishing {self.messages:,} messages", self.messages)
        command = [sys.executable, "-m", "infra.bench.mqtt_load", str(file)]
        await finished("the load generator", command, report, env={"PYTHONPATH": str(CLONE)}, told=told)

    async def _publish_amqp(self, exchange: AbstractExchange, types: list[str]) -> None:
        told = self.watch(f"publishing {self.messages:,} messages", self.messages)
        for done, (name, key, payload) in enumerate(self._wanted(types)):
            message = aio_pika.Message(payload, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await exchange.publish(message, f"{ROOT}.{name}.{key.decode()}.telemetry")
            if done % _TWINS == 0:
                told(done)

    def _wanted(self, types: list[str]) -> Iterable[tuple[str, bytes, bytes]]:
        return Workload(self.messages, _TWINS, 1).by_type(types)

    async def _drain(self, title: str, processes: Sequence[ChildProcess], types: list[str]) -> Finished:
        """Run processes until everything is in Kafka, and see that it is.

        Raises:
            SetupError: a message is missing there.
        """
        topics = [TypeTopics(name).telemetry for name in types]
        async with LogAdmin(self.kafka) as admin, AsyncExitStack() as stack:
            before = await admin.end_offsets(topics)

            async def done() -> int:
                return sum((await admin.end_offsets(topics)).values()) - sum(before.values())

            told = self.watch(title, self.messages)
            for process in processes:
                await stack.enter_async_context(process)
            run = await Drain(title, processes, self.messages, done, told).from_the_first()
        wanted = [(TypeTopics(name).telemetry, key, payload) for name, key, payload in self._wanted(types)]
        missing, again = await compared(self.kafka, before, wanted)
        if missing:
            message = f"{title} left {missing} of {self.messages} messages out"
            raise SetupError(message)
        return Finished(self.messages, run.seconds, run.cpu_seconds, {"written_again": again})


def _named(name: str) -> Bundle:
    """The incubator type under another name."""
    files = dict(read_folder(FOLDERS[INCUBATOR]).files)
    before, after = f"name: {INCUBATOR}\n".encode(), f"name: {name}\n".encode()
    return bundle_of(files | {FILE: files[FILE].replace(before, after, 1)})


async def _contestant(
    module: str, job: bare_paho.Consuming | bare_aio_pika.Consuming, told: Callable[[int], None]
) -> Finished:
    report = Path(job.report)
    file = report.with_suffix(".json")
    file.write_bytes(msgspec.json.encode(job))
    command = [sys.executable, "-m", f"infra.bench.contestants.{module}", str(file)]
    return await finished(module, command, report, env={"PYTHONPATH": str(CLONE)}, told=told)
