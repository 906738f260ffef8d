"""Runs a program that reports what it did, until it has finished."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from infra.bench.job import Finished, read_report
from infra.embedded.process import ChildProcess
from schemas.clock import SystemClock
from schemas.errors import SetupError

_LOOK_S = 0.1
_SILENCE_S = 120.0


async def finished(
    name: str, command: Sequence[str], report: Path, *, env: Mapping[str, str], told: Callable[[int], None]
) -> Finished:
    """Run a program to the line of its report that says that it has finished, then end it.

    Args:
        name: For messages.
        command: What to run; its output goes beside the report.
        report: File that it writes lines to.
        env: Variables on top of our own.
        told: Called with how far it is.

    Raises:
        SetupError: it ended before that, or got no further for two minutes; with the end of its output.
    """
    clock = SystemClock()
    async with ChildProcess(name, command, log_path=report.with_suffix(".log"), env=env) as child:
        heard_s, done = clock.monotonic_s(), 0
        while True:
            ended = not child.alive
            for line in read_report(report):
                if isinstance(line, Finished):
                    told(line.records)
                    return line
                if line.records > done:
                    heard_s, done = clock.monotonic_s(), line.records
            told(done)
            silent = clock.monotonic_s() - heard_s > _SILENCE_S
            if ended or silent:
                what = "ended early" if ended else f"got no further for {_SILENCE_S:.0f} s"
                message = f"{name} {what} after {done} records:\n{child.log_tail()[-2000:]}"
                raise SetupError(message)
            await asyncio.sleep(_LOOK_S)


def cpu_seconds_of(pid: int) -> float:
    """User and system time of a process, its threads and its children so far."""
    process = psutil.Process(pid)
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        times = one.cpu_times()
        total += times.user + times.system
    return total
