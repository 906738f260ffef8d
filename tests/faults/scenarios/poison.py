"""Records that nobody can use, among those that are good."""

import base64
import math
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec
import numpy as np
from faults.run import Run
from faults.site import TOPICS, TYPE, Site
from support import oracle
from support.worker_process import WorkerProcess

from schemas.clock import NS_PER_S
from schemas.topics import DEADLETTER
from streams.log.writer import LogWriter

_YEAR_NS = 365 * 24 * 3600 * 10**9
_IN_FLIGHT = 5000


def _rubbish(rng: Random) -> tuple[bytes, str]:
    """One record that can't be used, unlike every other one, and the reason that it must be given."""
    number = rng.getrandbits(63)
    return rng.choice(
        (
            (b'{"value": 1.0, "n": %d' % number, "undecodable"),
            (b"\xff\xfe %d" % number, "undecodable"),
            (b"[1.0, %d]" % number, "not_flat"),
            (b'{"value": "warm", "n": %d}' % number, "wrong_type"),
            (b'{"value": NaN, "n": %d}' % number, "not_finite"),
            (b'{"value": 1e999, "n": %d}' % number, "not_finite"),
            (b'{"value": 1e6, "n": %d}' % number, "out_of_range"),
            (b'{"value": 1.0, "n": %d, "time": %d}' % (number, time.time_ns() + _YEAR_NS), "future_time"),
            (b'{"value": 1.0, "n": %d, "time": "soon"}' % number, "invalid_time"),
        )
    )


def _on_cpu_s(pid: int) -> float:
    """How long threads of a process were on a CPU: in nanoseconds, where its times count ticks of 10 ms."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return math.fsum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / NS_PER_S


@dataclass(frozen=True)
class Poison:
    """Of 1 % rubbish every record is a dead letter with its reason and bytes, and costs the others next to nothing.

    Attributes:
        records: Of each measurement.
        pairs: Measurements without rubbish and with it, in turns.
    """

    records: int = 100_000
    pairs: int = 4

    async def play(self, run: Run) -> None:
        """Let a worker catch up with good records and with mixed ones, in turns."""
        async with Site(run) as site:
            worker = site.worker(TWINSTREAM_ENGINE__SESSION_TIMEOUT_S="60")  # it is frozen for a while
            await site.ready(worker)
            letters: Counter[tuple[str, bytes]] = Counter()
            await self._catch_up(site, worker, letters, 0.01, run.rng)
            seconds = []
            for _ in range(self.pairs):
                plain_s = await self._catch_up(site, worker, letters, 0.0, run.rng)
                mixed_s = await self._catch_up(site, worker, letters, 0.01, run.rng)
                seconds.append((plain_s, mixed_s))
                run.say(f"{self.records / plain_s:.0f} records/s, with 1 % rubbish {self.records / mixed_s:.0f}")
            plain_s, mixed_s = np.median(seconds, axis=0)
            run.at_most("processor time with 1 % rubbish beside none, medians", 1.05, float(mixed_s / plain_s), "")
            await self._letters(run, site, letters)
            await site.compare()

    async def _catch_up(
        self, site: Site, worker: WorkerProcess, letters: Counter[tuple[str, bytes]], share: float, rng: Random
    ) -> float:
        """Processor time of a worker, in seconds, for records that are all there when it may go on."""
        worker.freeze()
        async with LogWriter(site.options, linger_ms=5) as writer:
            sent = []
            for _ in range(self.records):
                twin, payload = site.load.next() if rng.random() >= share else (site.load.name(0), b"")
                if not payload:
                    payload, reason = _rubbish(rng)
                    letters[reason, payload] += 1
                sent.append(await writer.send(TOPICS.telemetry, twin.encode(), payload))
                if len(sent) >= _IN_FLIGHT:
                    for future in sent:
                        await future
                    sent.clear()
            for future in sent:
                await future
        before_s = _on_cpu_s(worker.pid)
        worker.thaw()
        await site.drained()
        return _on_cpu_s(worker.pid) - before_s

    async def _letters(self, run: Run, site: Site, wanted: Counter[tuple[str, bytes]]) -> None:
        found: Counter[tuple[str, bytes]] = Counter()
        for record in await oracle.read_all(site.options, (DEADLETTER,)):
            letter = msgspec.json.decode(record.value or b"{}")
            if letter["type"] == TYPE:
                found[letter["reason"], base64.b64decode(letter["raw_base64"])] += 1
        run.at_least("records that nobody can use", 1, wanted.total())
        run.exactly("of them no dead letter with its reason and bytes", 0, (wanted - found).total())
        for reason, payload in found - wanted:
            run.say(f"{payload!r} is {reason}")
        run.exactly("dead letters of others", 0, (found - wanted).total())
