"""How long a record takes from its event time, which is when it was sent, to where it shall be."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import numpy as np
from paho.mqtt.client import MQTTMessage

from connectors.mqtt.connection import MqttConnection
from connectors.mqtt.settings import MqttSettings
from connectors.ports import BrokerAwayError
from schemas.headers import KIND
from schemas.topics import TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.follow import Follower
from streams.log.record import LogRecord

_LOOK_S = 0.02
_GATHER_S = 0.05
_PROCESSED_GATHER_S = 0.02
_NS_PER_MS = 1e6


class Stored:
    """Time series: from the event time of each line to the commit of the sink that has stored it.

    A sink commits what the store has, so that this is an upper bound, by at most the interval between two looks and the
    time for which lines are gathered here.

    Attributes:
        lines: That were stored so far.
        latencies_ms: Of each of them.
    """

    def __init__(self, kafka: KafkaOptions, topic: str, group: str) -> None:
        self._kafka, self._topic, self._group = kafka, topic, group
        self._waiting: dict[int, deque[tuple[int, list[int]]]] = {}
        self.lines = 0
        self.latencies_ms: list[float] = []

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch for as long as this lasts."""
        async with (
            Follower(self._kafka, topics=[self._topic], start="latest", gather_s=_GATHER_S) as follower,
            LogAdmin(self._kafka) as admin,
        ):
            tasks = [asyncio.create_task(self._read(follower)), asyncio.create_task(self._look(admin))]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task

    async def _read(self, follower: Follower) -> None:
        while True:
            for record in await follower.read(timeout_s=0.1):
                times = [int(line.rpartition(b" ")[2]) for line in (record.value or b"").splitlines()]
                self._waiting.setdefault(record.partition, deque()).append((record.offset, times))

    async def _look(self, admin: LogAdmin) -> None:
        while True:
            committed = await admin.committed(self._group, [self._topic])
            now_ns = time.time_ns()
            for (_, partition), offset in committed.items():
                waiting = self._waiting.get(partition, deque())
                while waiting and waiting[0][0] < offset:
                    _, times = waiting.popleft()
                    self.lines += len(times)
                    self.latencies_ms += [(now_ns - time_ns) / _NS_PER_MS for time_ns in times]
            await asyncio.sleep(_LOOK_S)


class _Sent(msgspec.Struct):
    time: int


class Processed:
    """Processing: from a record's time of writing in the input topic to its line, by a reader of committed records.

    That includes fetching, stepping, the transaction and the reader's own way to the line, for which it gathers 20 ms,
    so that it takes less of the machine that it measures.

    Attributes:
        lines: That were read so far and whose record is known.
        latencies_ms: Of each of them; Kafka tells times of writing in whole milliseconds.
    """

    def __init__(self, kafka: KafkaOptions, type_name: str) -> None:
        self._kafka = kafka
        self._topics = TypeTopics(type_name)
        self._decoder = msgspec.json.Decoder(_Sent)
        self._written_ns: dict[tuple[bytes, int], int] = {}
        self._read_ns: dict[tuple[bytes, int], int] = {}
        self.latencies_ms: list[float] = []

    @property
    def lines(self) -> int:
        """How many."""
        return len(self.latencies_ms)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch for as long as this lasts."""
        topics = [self._topics.telemetry, self._topics.timeseries]
        async with Follower(self._kafka, topics=topics, start="latest", gather_s=_PROCESSED_GATHER_S) as follower:
            reading = asyncio.create_task(self._read(follower))
            try:
                yield
            finally:
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading

    async def _read(self, follower: Follower) -> None:
        while True:
            self.take(await follower.read(timeout_s=0.1), time.time_ns())

    def take(self, records: Sequence[LogRecord], now_ns: int) -> None:
        """Records of both topics, read now; a line may come before its record does."""
        for record in records:
            if record.topic == self._topics.timeseries:
                for line in (record.value or b"").splitlines():
                    head, _, time_ns = line.rpartition(b" ")
                    twin = head[head.index(b"twin=") + 5 : head.index(b" ")]
                    self._meet((twin, int(time_ns)), self._read_ns, now_ns)
            elif record.key is not None and not record.header(KIND):
                key = record.key, self._decoder.decode(record.value or b"").time
                self._meet(key, self._written_ns, record.timestamp_ms * 1_000_000)

    def _meet(self, key: tuple[bytes, int], mine: dict[tuple[bytes, int], int], at_ns: int) -> None:
        mine[key] = at_ns
        if key in self._written_ns and key in self._read_ns:
            self.latencies_ms.append((self._read_ns.pop(key) - self._written_ns.pop(key)) / _NS_PER_MS)


class _Issued(msgspec.Struct):
    issued_ns: int


class Commanded:
    """Commands: from the event time of the record that led to each to its arrival at an MQTT client."""

    def __init__(self, url: str, type_name: str) -> None:
        self._settings = MqttSettings(url=url, client_id="bench-commands", protocol="3.1.1")
        self._topic = f"twins/{type_name}/+/commands/+"
        self._decoder = msgspec.json.Decoder(_Issued)
        self.latencies_ms: list[float] = []

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch for as long as this lasts.

        On the event loop: a thread of paho's would wait for the interpreter three times a message while lines are read.

        Raises:
            BrokerAwayError: the broker did not take the client, or it was gone before this ended.
        """

        def arrived(message: MQTTMessage) -> None:
            now_ns = time.time_ns()
            self.latencies_ms.append((now_ns - self._decoder.decode(message.payload).issued_ns) / _NS_PER_MS)
            connection.acknowledge([message.mid])

        connection = MqttConnection(self._settings, "out", arrived)
        async with connection:
            await connection.subscribe([self._topic])
            yield
            if connection.is_gone:
                raise BrokerAwayError(await connection.gone())


def percentiles_ms(latencies_ms: Sequence[float]) -> tuple[float, float, float]:
    """Median, 99th percentile and highest; NaN of none."""
    if not latencies_ms:
        return (float("nan"),) * 3
    middle, high = np.percentile(np.asarray(latencies_ms), [50, 99])
    return float(middle), float(high), max(latencies_ms)
