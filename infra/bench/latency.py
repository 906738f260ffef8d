"""How long a record takes from its event time, which is when it was sent, to where it shall be."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.follow import Follower

_LOOK_S = 0.02
_NS_PER_MS = 1e6


class Stored:
    """Time series: from the event time of each line to the commit of the sink that has stored it.

    A sink commits what the store has, so that this is an upper bound, by at most the interval between two looks.

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
            Follower(self._kafka, topics=[self._topic], start="latest") as follower,
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


class _Issued(msgspec.Struct):
    issued_ns: int


class Commanded:
    """Commands: from the event time of the record that led to each to its arrival at an MQTT client."""

    def __init__(self, url: str, type_name: str) -> None:
        parts = urlsplit(url)
        self._where = parts.hostname or "127.0.0.1", parts.port or 1883
        self._topic = f"twins/{type_name}/+/commands/+"
        self._decoder = msgspec.json.Decoder(_Issued)
        self.latencies_ms: list[float] = []

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch for as long as this lasts, in a thread of paho's."""
        client = Client(CallbackAPIVersion.VERSION2, client_id="bench-commands")

        def connected(*_: Any) -> None:  # noqa: ANN401 - paho passes more than is wanted
            client.subscribe(self._topic, qos=1)

        def arrived(_client: Client, _data: object, message: MQTTMessage) -> None:
            now_ns = time.time_ns()
            self.latencies_ms.append((now_ns - self._decoder.decode(message.payload).issued_ns) / _NS_PER_MS)

        client.on_connect, client.on_message = connected, arrived
        client.connect(*self._where)
        client.loop_start()
        try:
            yield
        finally:
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)


def percentiles_ms(latencies_ms: Sequence[float]) -> tuple[float, float, float]:
    """Median, 99th percentile and highest; NaN of none."""
    if not latencies_ms:
        return (float("nan"),) * 3
    middle, high = np.percentile(np.asarray(latencies_ms), [50, 99])
    return float(middle), float(high), max(latencies_ms)
