"""`twinstream bench switch`: what a new version costs while records flow: how long they wait, and that none is lost."""

import asyncio
import contextlib
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from rich.console import Console

from infra.bench.balance import Balance, longest_pause_s
from infra.bench.jobs import INCUBATOR_FOLDER
from infra.bench.producing import BATCH_BYTES
from infra.bench.watched import watched
from infra.bench.workload import Workload
from infra.deployment.switching import put_into_force
from infra.embedded.kafka import EmbeddedKafka
from infra.embedded.process import ChildProcess
from infra.settings import Settings
from infra.supervisor.process import role_argv
from schemas.bundle import Bundle, bundle_of, read_folder
from schemas.clock import SystemClock
from schemas.definition_file import FILE
from schemas.errors import SetupError
from schemas.topics import TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.follow import Follower

COLUMNS = ("switch", "deployed in s", "longest pause, s", "to reach, s")
PAUSE_LIMIT_S = 1.0
NOTHING = "no switch"
"""How long partitions pause anyhow, on this machine and under this load."""

_TICK_S = 0.02
_LOOK_S = 0.01
_SETTLE_S = 4.0
_DRAIN_TIMEOUT_S = 120.0
_START_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Switched:
    """One switch.

    Attributes:
        name: What was done.
        took_s: From the order to its return.
        pause_s: The longest that nothing of a partition was committed, from the order to some seconds after it; also
            one that is not over then.
    """

    name: str
    took_s: float
    pause_s: float


@dataclass(frozen=True)
class Finished:
    """What was measured.

    Attributes:
        sent: Records of the load.
        stored: Lines of time series that came of them: one each.
        lost: Records without a line.
        doubled: Lines without a record of their own.
        records_per_second: Rate of the load.
    """

    switches: tuple[Switched, ...]
    sent: int
    stored: int
    lost: int
    doubled: int
    records_per_second: int


async def measure(records_per_second: int, twins: int, partitions: int) -> Finished:
    """Deploy and roll back the incubator type under load, on one embedded Kafka and one worker.

    Raises:
        SetupError: Kafka can't be had, the worker does not begin, or it does not keep up with the load.
    """
    if not INCUBATOR_FOLDER.is_dir():
        message = f"{INCUBATOR_FOLDER} is not there: run from a clone of the repository"
        raise SetupError(message)
    console = Console(stderr=True)
    first = _on_trust(read_folder(INCUBATOR_FOLDER))
    topics = TypeTopics(str(first.definition().type_name))
    with tempfile.TemporaryDirectory(prefix="twinstream-bench-") as name:
        folder = Path(name)
        async with EmbeddedKafka(folder / "kafka", port=0) as kafka:
            options = KafkaOptions(kafka.bootstrap_servers)
            settings = Settings.model_validate(
                {
                    "data_dir": folder / "data",
                    "kafka": {"bootstrap_servers": kafka.bootstrap_servers, "partitions": partitions},
                }
            )
            await put_into_force(options, first, partitions, who="bench")
            improved = folder / "improved"
            _improved(first).write(improved)
            load = _Load(options, topics.telemetry, Workload(10**9, twins, partitions), records_per_second)
            watch = _Watch(options, topics, partitions)
            argv = role_argv("type-worker", "--type", topics.type, "--data-dir", str(settings.data_dir))
            environment = watched(kafka.bootstrap_servers, partitions)
            async with ChildProcess("worker", argv, log_path=folder / "worker.log", env=environment):
                with console.status("starting and compiling"):
                    await watch.until_committed(1, _START_TIMEOUT_S)
                async with load.running(), watch.running():
                    switches = []
                    for title, words in (
                        (NOTHING, ()),
                        ("deploy", ("deploy", str(improved))),
                        ("rollback", ("rollback", topics.type)),
                    ):
                        with console.status(f"{records_per_second:,} records/s, {title}"):
                            command = _ordered(words, settings.data_dir, environment)
                            switches.append(await watch.switch(title, command))
                with console.status("draining"):
                    balance = await _drained(options, topics, load.sent)
    lost = balance.lost + load.sent - balance.sent
    return Finished(tuple(switches), load.sent, balance.stored, lost, balance.doubled, records_per_second)


def as_json(finished: Finished, machine: dict[str, Any], versions: dict[str, str]) -> dict[str, Any]:
    """The measurement for machines."""
    return {
        "records_per_second": finished.records_per_second,
        "sent": finished.sent,
        "stored": finished.stored,
        "lost": finished.lost,
        "doubled": finished.doubled,
        "switches": [
            {"name": one.name, "seconds": one.took_s, "pause_seconds": one.pause_s} for one in finished.switches
        ],
        "machine": machine,
        "versions": versions,
    }


def as_rows(finished: Finished) -> Iterator[list[str]]:
    """The measurement for people."""
    for one in finished.switches:
        wanted = "" if one.name == NOTHING else f"{PAUSE_LIMIT_S:g}"
        yield [one.name, f"{one.took_s:.1f}", f"{one.pause_s:.2f}", wanted]


def _on_trust(bundle: Bundle) -> Bundle:
    """The workload's event time is of its own."""
    text = bundle.files[FILE].decode()
    return bundle_of(bundle.files | {FILE: f"{text.rstrip()}\nmax_ahead_s: 0\n".encode()})


def _improved(bundle: Bundle) -> Bundle:
    text = (
        bundle.files[FILE]
        .decode()
        .replace("version: 1.0.0", "version: 1.0.1")
        .replace("default: 0.001,", "default: 0.002,")
    )
    return bundle_of(bundle.files | {FILE: text.encode()})


async def _ordered(words: tuple[str, ...], data_dir: Path, environment: dict[str, str]) -> None:
    """Do it as people do, in a process of its own; nothing without words.

    Raises:
        SetupError: it failed.
    """
    if not words:
        await asyncio.sleep(_SETTLE_S)
        return
    argv = role_argv(*words, "--data-dir", str(data_dir))
    process = await asyncio.create_subprocess_exec(
        *argv, env=os.environ | environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    if process.returncode:
        message = f"{words[0]} failed: {said.decode(errors='replace').strip()}"
        raise SetupError(message)


class _Load:
    """Telemetry at a steady rate, as raw record batches.

    Attributes:
        sent: Records so far.
    """

    def __init__(self, options: KafkaOptions, topic: str, workload: Workload, records_per_second: int) -> None:
        self.sent = 0
        self._options = options
        self._topic = topic
        self._workload = workload
        self._rate = records_per_second

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send for as long as this lasts.

        Raises:
            SetupError: this machine can't send so fast.
        """
        stop = asyncio.Event()
        sending = asyncio.create_task(self._send(stop))
        try:
            yield
        finally:
            stop.set()
            seconds = await sending
        if self.sent < 0.9 * self._rate * seconds:
            message = f"this machine sent {self.sent / seconds:,.0f} records/s only: choose a lower --rate"
            raise SetupError(message)

    async def _send(self, stop: asyncio.Event) -> float:
        """Send until told to stop; return the seconds."""
        records = itertools.chain.from_iterable(self._workload.cycles())
        clock = SystemClock()
        async with AIOKafkaProducer(
            enable_idempotence=True, max_batch_size=BATCH_BYTES, **self._options.client_kwargs()
        ) as producer:
            started_s = clock.monotonic_s()
            futures: list[Any] = []
            while not stop.is_set():
                due = round((clock.monotonic_s() - started_s) * self._rate) - self.sent
                builders: dict[int, Any] = {}
                # At most what fits into one batch of every partition.
                for partition, key, value in itertools.islice(records, min(due, 2000)):
                    builder = builders.setdefault(partition, producer.create_batch())
                    builder.append(key=key, value=value, timestamp=None, headers=[])
                    self.sent += 1
                futures += [
                    await producer.send_batch(builder, self._topic, partition=partition)
                    for partition, builder in builders.items()
                ]
                await asyncio.sleep(_TICK_S)
            await asyncio.gather(*futures)
            return clock.monotonic_s() - started_s


class _Watch:
    """Looks all the time how far each partition is committed."""

    def __init__(self, options: KafkaOptions, topics: TypeTopics, partitions: int) -> None:
        self._options = options
        self._partitions = partitions
        self._topic = topics.telemetry
        self._group = f"twinstream-{topics.type}"
        self._clock = SystemClock()
        self._moves: dict[int, list[float]] = {}

    async def until_committed(self, records: int, timeout_s: float) -> None:
        """Wait until so many offsets are committed.

        Raises:
            SetupError: the worker does not come so far in time.
        """
        try:
            async with asyncio.timeout(timeout_s), LogAdmin(self._options) as admin:
                while sum((await admin.committed(self._group, [self._topic])).values()) < records:  # noqa: ASYNC110 - Kafka has no event for it
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            message = f"the worker committed nothing within {timeout_s:.0f} s"
            raise SetupError(message) from None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Note when each partition moves, for as long as this lasts."""
        looking = asyncio.create_task(self._look())
        try:
            yield
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking

    async def switch(self, name: str, work: Awaitable[object]) -> Switched:
        """Do something, and measure how long partitions stood still meanwhile and a little after."""
        started_s = self._clock.monotonic_s()
        await work
        took_s = self._clock.monotonic_s() - started_s
        await asyncio.sleep(_SETTLE_S)
        now_s = self._clock.monotonic_s()
        return Switched(name, took_s, longest_pause_s(self._moves, self._partitions, started_s, now_s))

    async def _look(self) -> None:
        last: dict[tuple[str, int], int] = {}
        async with LogAdmin(self._options) as admin:
            while True:
                done = await admin.committed(self._group, [self._topic])
                now_s = self._clock.monotonic_s()
                for place, offset in done.items():
                    if offset != last.get(place):
                        self._moves.setdefault(place[1], []).append(now_s)
                last = done
                await asyncio.sleep(_LOOK_S)


async def _drained(options: KafkaOptions, topics: TypeTopics, sent: int) -> Balance:
    """What was sent against what was stored, once all of it is there and nothing more comes, or too long nothing."""
    balance = Balance()
    clock = SystemClock()
    async with Follower(options, topics=(topics.telemetry, topics.timeseries)) as follower:
        heard_s = clock.monotonic_s()
        while clock.monotonic_s() - heard_s < (_SETTLE_S if balance.stored >= sent else _DRAIN_TIMEOUT_S / 4):
            found = await follower.read(timeout_s=0.2)
            if found:
                heard_s = clock.monotonic_s()
            for record in found:
                if record.topic == topics.timeseries:
                    balance.take_lines(record.partition, record.value or b"")
                elif record.key is not None:  # switches have none
                    balance.take_record(record.partition, record.key, record.value or b"")
    return balance
