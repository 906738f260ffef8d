"""Workers that are frozen past their session in every state, and thaw when others have their partitions."""

import asyncio
from dataclasses import dataclass

import psutil
from faults.dealing import owned, said, taken_over
from faults.freezing import POINTS
from faults.run import Run, until
from faults.site import PARTITIONS, TOPICS, Site
from support.role_process import ROOT
from support.transactions import until_nothing_hangs

IDLE = "idle"
_FENCED = ("fenced: another worker owns", "Fenced", "InvalidProducerEpoch", "InvalidTxnState")
_FAILED = ("last flush failed", "flush failed, rebuilding")
_SHUT_OUT = {
    IDLE: (*_FENCED, *_FAILED, "partitions given up", "Heartbeat session expired"),
    POINTS[0]: (*_FENCED, *_FAILED),
    POINTS[1]: _FENCED,
    POINTS[2]: _FENCED,
}
"""What one of these says when it thaws: Kafka refuses a transaction that is open, and who has none begins none.

An idle one may notice nothing but that its session has expired, and come back to the group with nothing of its own.
"""


class Trapped:
    """A worker that freezes itself where it is told to."""

    def __init__(self, site: Site, point: str) -> None:
        self.point = point
        self._file = site.run.folder / f"trap-{len(site.roles)}"
        program = ("-m", "faults.freezing", str(self._file))
        self.worker = site.worker(program, PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}")
        self._read = 0

    async def freeze(self) -> None:
        """Return when it stands still; it needs work for that unless it is to be idle."""
        self._read = len(self.worker.output())
        if self.point == IDLE:
            self.worker.freeze()
        else:
            self._file.write_text(self.point)
        process = psutil.Process(self.worker.pid)
        await until(lambda: process.status() == psutil.STATUS_STOPPED, f"it is frozen {self.point}")

    def thaw(self) -> None:
        """Let it go on where it was."""
        self.worker.thaw()

    def was_shut_out(self) -> bool:
        """Whether it has said since that it may not write; an idle one has nothing to write, and gives up."""
        told = said(self.worker, self._read)
        return any(text in told for text in _SHUT_OUT[self.point])


@dataclass(frozen=True)
class Zombies:
    """A worker frozen past its session in whatever state is fenced when it thaws, and changes nothing.

    Attributes:
        rounds: Freezes in each state; in a round four of five workers freeze, each in another state.
        records: Of each round.
    """

    rounds: int = 10
    records: int = 4000

    async def play(self, run: Run) -> None:
        """Freeze them together, let the fifth take everything over, and thaw them under load."""
        async with Site(run) as site:
            zombies = [Trapped(site, point) for point in (IDLE, *POINTS)]
            fifth = site.worker()
            await site.ready(fifth, *(zombie.worker for zombie in zombies))
            not_taken_over = 0
            shut_out = dict.fromkeys((zombie.point for zombie in zombies), 0)
            for number in range(self.rounds):
                await site.send(200, 1000)
                await site.drained()
                await until(
                    lambda: all(owned(one) for one in (fifth, *(zombie.worker for zombie in zombies))), "all work"
                )
                idle, *busy = zombies
                before = len(fifth.output())
                await idle.freeze()
                sending = asyncio.create_task(site.send(self.records, 1000))
                await asyncio.gather(*(zombie.freeze() for zombie in busy))
                await sending
                run.say(
                    f"round {number + 1}: all four are frozen, the fifth goes on after {await site.drained():.1f} s"
                )
                theirs = frozenset[int]().union(*(owned(zombie.worker) for zombie in zombies))
                not_taken_over += len(theirs - taken_over(fifth, before))
                for zombie in zombies:
                    zombie.thaw()
                await site.send(self.records, 1000)
                for zombie in zombies:
                    await until(zombie.was_shut_out, f"the one that was {zombie.point} was shut out")
                    shut_out[zombie.point] += 1
                await site.drained()
            run.exactly("partitions of frozen workers that nobody took over meanwhile", 0, not_taken_over)
            for point, times in shut_out.items():
                run.exactly(f"fenced, frozen {point}", self.rounds, times)
            await site.compare()


@dataclass(frozen=True)
class FrozenInTransaction:
    """A single worker that is frozen inside a transaction holds readers of its outputs back for at most 15 s.

    Attributes:
        records: Before and after.
    """

    records: int = 4000

    async def play(self, run: Run) -> None:
        """Freeze the only worker, and wait until committed readers get to the end of everything it wrote to."""
        async with Site(run) as site:
            zombie = Trapped(site, POINTS[1])
            await site.ready(zombie.worker)
            sending = asyncio.create_task(site.send(self.records, 1000))
            await zombie.freeze()
            loop = asyncio.get_running_loop()
            frozen_s = loop.time()
            await until_nothing_hangs(site.options.bootstrap_servers, TOPICS.all(), 90)
            held_s = loop.time() - frozen_s
            run.at_least("seconds that readers were held back at all", 1, int(held_s))
            run.at_most("readers were held back for", 15.0, held_s, "s")
            zombie.thaw()
            await sending
            await site.send(PARTITIONS * 100, 1000)
            await site.drained()
            await site.compare()
