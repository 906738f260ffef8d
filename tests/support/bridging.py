"""Bridges into a real Kafka, in this process and in others that tests kill, and what they wrote."""

import asyncio
import multiprocessing
from types import TracebackType
from typing import Any, Self

import msgspec

from connectors.bridge_in import InboundBridge
from connectors.mqtt.connector import connector
from connectors.mqtt.settings import MqttSettings
from schemas.clock import SystemClock
from schemas.topics import TypeTopics
from streams.log.client import KafkaOptions
from streams.log.follow import Follower
from streams.log.record import LogRecord
from streams.log.writer import LogWriter


def inbound(url: str, servers: str, **settings: Any) -> InboundBridge:
    """A bridge of MQTT that takes every type for deployed."""
    return InboundBridge(
        connector=connector(MqttSettings.model_validate({"url": url, **settings}), SystemClock()),
        writer=lambda: LogWriter(KafkaOptions(servers)),
        known_type=lambda _: True,
        clock=SystemClock(),
    )


async def session_exists(url: str, **settings: Any) -> None:
    """Let the broker keep what comes for this bridge from now on."""
    async with connector(MqttSettings.model_validate({"url": url, **settings}), SystemClock()).inlet():
        pass


class BridgeProcess:
    """An inbound bridge in a process of its own, which can be killed and started again."""

    def __init__(self, url: str, servers: str, **settings: Any) -> None:
        self._arguments = (url, servers, settings)
        self._process: Any = None

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it."""
        self.kill()

    def start(self) -> None:
        """Start it, anew."""
        spawn = multiprocessing.get_context("spawn")
        self._process = spawn.Process(target=_bridge, args=self._arguments, daemon=True)
        self._process.start()

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self._process.kill()
        self._process.join()
        self._process.close()


def _bridge(url: str, servers: str, settings: dict[str, Any]) -> None:
    asyncio.run(inbound(url, servers, **settings).run())


async def records_of(servers: str, topic: str, wanted: int, timeout_s: float = 60.0) -> list[LogRecord]:
    """Records until `wanted` different values are there."""
    found: list[LogRecord] = []
    values: set[bytes | None] = set()
    async with Follower(KafkaOptions(servers), topics=[topic]) as follower, asyncio.timeout(timeout_s):
        while len(values) < wanted:
            read = await follower.read()
            found += read
            values |= {record.value for record in read}
    return found


def messages(topics: TypeTopics, first: int, last: int, twins: int = 7) -> list[tuple[str, bytes]]:
    """Numbered telemetry of these twins in turns."""
    return [(f"twins/{topics.type}/inc-{n % twins}/telemetry", b'{"seq": %d}' % n) for n in range(first, last)]


def first_seen(records: list[LogRecord]) -> dict[bytes, list[int]]:
    """Sequence numbers of each twin in log order, repeats left out."""
    seen: dict[bytes, dict[int, None]] = {}
    for record in records:
        number = msgspec.json.decode(record.value or b"")["seq"]
        seen.setdefault(record.key or b"", {}).setdefault(number)
    return {key: list(numbers) for key, numbers in seen.items()}


def in_order(count: int, twins: int = 7) -> dict[bytes, list[int]]:
    """What `first_seen` finds when nothing is lost and the order of each twin holds."""
    return {b"inc-%d" % twin: list(range(twin, count, twins)) for twin in range(twins)}
