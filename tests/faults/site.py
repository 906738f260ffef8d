"""A small site that can be hurt: Kafka, the type `tally` in force, its workers, and a numbered load."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from faults.breakable import Breakable
from faults.comparison import compare
from faults.dealing import dealt_out
from faults.numbered import Numbered
from faults.run import Run, until
from support.role_process import CLI, RoleProcess
from support.worker_process import WorkerProcess

from infra.deployment.switching import put_into_force
from infra.embedded.kafka import EmbeddedKafka
from schemas.bundle import read_folder
from schemas.topics import TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.writer import LogWriter

FOLDER = Path(__file__).parents[1] / "types" / "tally"
TYPE = "tally"
TOPICS = TypeTopics(TYPE)
PARTITIONS = 8
_LOADED = 0.9
"""Faults come within so much of the time that a load takes, so that they meet it."""
_TICK_S = 0.02


class Site:
    """Everything of one scenario, while entered.

    Args:
        run: Its folder holds all data; its random numbers say who sends.
        twins: That send.
        kafka: The server, where it is not the usual one.

    Attributes:
        address: Where roles look for Kafka.
        load: What was sent.
        roles: Every process that was ever started.
    """

    def __init__(self, run: Run, twins: int = 200, kafka: Breakable[Any] | None = None) -> None:
        self.run = run
        self.kafka: Breakable[Any] = kafka or Breakable(lambda port: EmbeddedKafka(run.folder, port))
        self.address = ""
        self.load = Numbered(run.rng.randrange(10**6), twins)
        self.roles: list[RoleProcess] = []

    async def __aenter__(self) -> Self:
        await self.kafka.__aenter__()
        self.address = self.options.bootstrap_servers
        await put_into_force(self.options, read_folder(FOLDER), PARTITIONS, who="faults")
        self._before = 0
        self._before = await self.arrived()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for role in self.roles:
            role.end()
        await self.kafka.__aexit__(kind, error, trace)

    @property
    def options(self) -> KafkaOptions:
        """How clients reach Kafka."""
        return KafkaOptions(self.kafka.now.bootstrap_servers)

    # -- processes -----------------------------------------------------------------------------------------------

    def worker(self, program: Sequence[str] = CLI, **environment: str) -> WorkerProcess:
        """One more worker of the type, with a data directory of its own."""
        folder = self._folder(f"worker-{len(self.roles)}")
        worker = WorkerProcess(TYPE, self.address, folder, program, **environment)
        self.roles.append(worker)
        return worker

    def role(self, *arguments: str, name: str, folder: str, **environment: str) -> RoleProcess:
        """A role; in the folder of one that was killed it is that one's next life."""
        variables = {"TWINSTREAM_KAFKA__BOOTSTRAP_SERVERS": self.address, **environment}
        role = RoleProcess(arguments, name, self._folder(folder), variables)
        self.roles.append(role)
        return role

    async def ready(self, *roles: RoleProcess) -> None:
        """Wait until roles do their work."""
        for role in roles:
            try:
                await until(lambda role=role: role.ready() or not role.running(), f"{role.role} is ready")  # type: ignore[misc]
            except TimeoutError as error:
                raise TimeoutError(f"{error}\n{role.output()[-3000:]}") from None
            assert role.running(), role.output()[-3000:]

    async def dealt_out(self, *workers: RoleProcess) -> None:
        """Wait until workers are ready and have shared all partitions out: a new one is first dealt none."""
        await self.ready(*workers)
        await until(lambda: dealt_out(workers, PARTITIONS), "every worker has partitions")

    def _folder(self, name: str) -> Path:
        """A data directory whose compiled kernels are everybody's."""
        folder = self.run.folder / name
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "kernels").symlink_to(self.run.cache, target_is_directory=True)
        return folder

    # -- load ----------------------------------------------------------------------------------------------------

    async def send(self, records: int, per_second: float, ended: asyncio.Event | None = None) -> None:
        """Numbered records of drawn twins straight into the input topic, at a steady rate, until Kafka has them.

        Args:
            records: At most so many.
            per_second: Their rate.
            ended: Set when enough were sent.
        """
        await self._send((self.load.next() for _ in range(records)), records, per_second, ended)

    async def underway(self, records: int) -> None:
        """Wait until a load that was begun before has come to a drawn point in the next so many records."""
        wanted = self.load.count + round(self.run.rng.random() * _LOADED * records)
        await until(lambda: self.load.count >= wanted, f"{wanted} records are sent")

    async def send_one_each(self, per_second: float) -> None:
        """One record of every twin, as `send` does."""
        twins = self.load.twins
        await self._send((self.load.next(twin) for twin in range(twins)), twins, per_second, None)

    async def _send(
        self, load: Iterator[tuple[str, bytes]], records: int, per_second: float, ended: asyncio.Event | None
    ) -> None:
        began_s, count = time.monotonic(), 0
        unconfirmed: deque[asyncio.Future[tuple[int, int]]] = deque()
        async with LogWriter(self.options, linger_ms=5) as writer:
            while count < records and not (ended and ended.is_set()):
                due = min(records, round((time.monotonic() - began_s) * per_second) + 1)
                for _ in range(due - count):
                    twin, payload = next(load)
                    unconfirmed.append(await writer.send(TOPICS.telemetry, twin.encode(), payload))
                count = due
                while unconfirmed and unconfirmed[0].done():
                    unconfirmed.popleft().result()
                await asyncio.sleep(_TICK_S)
            await asyncio.gather(*unconfirmed)

    # -- looking -------------------------------------------------------------------------------------------------

    async def lag(self) -> int:
        """Records that the workers have not committed."""
        async with LogAdmin(self.options) as admin:
            ends = await admin.end_offsets([TOPICS.telemetry])
            done = await admin.committed(f"twinstream-{TYPE}", [TOPICS.telemetry])
        return sum(end - done.get(place, 0) for place, end in ends.items())

    async def drained(self, timeout_s: float = 120.0) -> float:
        """Wait until the workers have committed everything; return after how many seconds they had."""
        began_s = time.monotonic()
        while lag := await self.lag():
            if time.monotonic() - began_s > timeout_s:
                tails = [role.output()[-2000:] for role in self.roles if role.running()]
                raise TimeoutError("\n".join([f"after {timeout_s:g} s {lag} records are not committed", *tails]))
            await asyncio.sleep(0.2)
        return time.monotonic() - began_s

    async def arrived(self) -> int:
        """Records in the input topic, without the switches to the type's version."""
        async with LogAdmin(self.options) as admin:
            return sum((await admin.end_offsets([TOPICS.telemetry])).values()) - self._before

    async def compare(self) -> int:
        """Put what came out beside what must; return how many records are in the input topic again."""
        return await compare(self.run, self.options, FOLDER, self.load)
