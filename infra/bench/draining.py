"""Times roles, run as `up` runs them, until they have done a known amount of work."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.bench.child import cpu_seconds_of
from infra.bench.job import Finished
from infra.bench.peers import ROOT
from infra.embedded.process import ChildProcess
from infra.registry import Registry
from infra.supervisor.process import role_argv
from schemas.clock import SystemClock
from schemas.errors import SetupError

_LOOK_S = 0.02
_READY_TIMEOUT_S = 60.0
_SILENCE_S = 60.0


@dataclass(frozen=True)
class RoleUnderTest:
    """A role in a process of its own, with a data directory of its own.

    Attributes:
        name: As its run file names it, such as `bridge:mqtt`.
        data_dir: Made if it is missing.
        environment: Its settings.
    """

    name: str
    data_dir: Path
    environment: Mapping[str, str]

    def process(self) -> ChildProcess:
        """The process, to be entered."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        argv = role_argv(*self.name.split(":"), "--data-dir", str(self.data_dir))
        log_path = self.data_dir / "role.log"
        return ChildProcess(self.name, argv, log_path=log_path, env=self.environment, cwd=ROOT)

    async def ready(self) -> None:
        """Wait until it says that it does its work.

        Raises:
            SetupError: it does not within a minute.
        """
        registry = Registry(self.data_dir)
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S):
                while (found := registry.find(self.name)) is None or not found.ready:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            message = f"{self.name} is not ready after {_READY_TIMEOUT_S:.0f} s: see {self.data_dir}"
            raise SetupError(message) from None


@dataclass
class Drain:
    """A measurement of processes from outside.

    Attributes:
        title: Of the stage, for messages.
        processes: Whose CPU time counts.
        wanted: Amount of work.
        done: Tells how much of it is done.
        told: Is told too.
    """

    title: str
    processes: Sequence[ChildProcess]
    wanted: int
    done: Callable[[], Awaitable[int]]
    told: Callable[[int], None]

    def cpu_seconds(self) -> float:
        """Of all processes so far."""
        return sum(cpu_seconds_of(process.pid) for process in self.processes)

    async def from_the_first(self) -> Finished:
        """Time it from the last look that saw nothing done, so that nothing of the work is left out.

        Raises:
            SetupError: it got no further for a minute, or a process ended.
        """
        clock = SystemClock()
        began_s, began_cpu_s = clock.monotonic_s(), self.cpu_seconds()

        async def look() -> int:
            nonlocal began_s, began_cpu_s
            now_s, now_cpu_s = clock.monotonic_s(), self.cpu_seconds()
            found = await self.done()
            if not found:
                began_s, began_cpu_s = now_s, now_cpu_s
            return found

        done = await self._until(self.wanted, look)
        return Finished(done, clock.monotonic_s() - began_s, self.cpu_seconds() - began_cpu_s)

    async def while_given(self, give: Awaitable[None]) -> Finished:
        """Time it from when it is given its work to when all of it is done.

        Raises:
            SetupError: it got no further for a minute, or a process ended.
        """
        clock = SystemClock()
        began_s, began_cpu_s = clock.monotonic_s(), self.cpu_seconds()
        await give
        done = await self._until(self.wanted, self.done)
        return Finished(done, clock.monotonic_s() - began_s, self.cpu_seconds() - began_cpu_s)

    async def _until(self, wanted: int, look: Callable[[], Awaitable[int]]) -> int:
        clock = SystemClock()
        heard_s, before = clock.monotonic_s(), 0
        while (done := await look()) < wanted:
            now_s = clock.monotonic_s()
            if done != before:
                heard_s, before = now_s, done
                self.told(done)
            dead = [process for process in self.processes if not process.alive]
            if dead or now_s - heard_s > _SILENCE_S:
                tail = (dead or self.processes)[0].log_tail()[-2000:]
                message = f"{self.title} got no further than {done} of {self.wanted}:\n{tail}"
                raise SetupError(message)
            await asyncio.sleep(_LOOK_S)
        self.told(done)
        return done
