"""Workers and the broker are killed under load, one after another and several at once."""

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Literal

from faults.dealing import owned
from faults.run import Run
from faults.site import Site
from support.worker_process import WorkerProcess

Strike = Literal["one worker", "all workers", "Kafka"]


@dataclass(frozen=True)
class WorkerBounces:
    """Hard bounces of workers and of the broker change no state and no output.

    Attributes:
        records: In all, spread over the rounds.
        workers: That run at a time.
        rounds: In which workers are killed; one in five takes all of them.
        broker_rounds: In which Kafka is killed.
        per_second: Rate of the load.
    """

    records: int = 100_000
    workers: int = 3
    rounds: int = 20
    broker_rounds: int = 3
    per_second: float = 800.0

    def schedule(self, rng: Random) -> list[Strike]:
        """What is struck in each round."""
        strikes: list[Strike] = ["all workers" if rng.random() < 0.2 else "one worker" for _ in range(self.rounds)]
        for _ in range(self.broker_rounds):
            strikes.insert(rng.randrange(len(strikes) + 1), "Kafka")
        return strikes

    async def play(self, run: Run) -> None:
        """Strike in every round while its share of the load is sent."""
        async with Site(run) as site:
            workers = [site.worker() for _ in range(self.workers)]
            await site.dealt_out(*workers)
            schedule = self.schedule(run.rng)
            idle, missed = 0, 0
            for number, strike in enumerate(schedule):
                share = (number + 1) * self.records // len(schedule) - site.load.count
                sending = asyncio.create_task(site.send(share, self.per_second))
                await site.underway(share)
                run.say(f"round {number + 1} of {len(schedule)}: {strike}")
                idle += sending.done()
                missed += not await self._strike(strike, site, workers, run.rng)
                await sending
                # Who is struck next works: a process that has no partitions yet has nothing to lose.
                await site.dealt_out(*workers)
            run.say(f"drained after {await site.drained():.1f} s")
            run.exactly("strikes while nothing was sent", 0, idle)
            run.exactly("strikes at workers that had no partitions", 0, missed)
            await site.compare()

    async def _strike(self, strike: Strike, site: Site, workers: list[WorkerProcess], rng: Random) -> bool:
        """Strike; return whether anything that works was struck."""
        if strike == "Kafka":
            await site.kafka.kill()
            await site.kafka.start()
            return True
        at_work = [index for index, worker in enumerate(workers) if owned(worker)]
        for index in range(len(workers)) if strike == "all workers" else rng.sample(at_work, min(1, len(at_work))):
            workers[index].kill()
            workers[index] = site.worker()
        return bool(at_work)
