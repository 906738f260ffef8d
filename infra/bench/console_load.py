"""Pages that are open and requests to the API, as many as a job says, until it is told to stop.

A process of its own: `python -m infra.bench.console_load JOB`. Its first line of progress says that all pages are open
and requests flow; SIGTERM ends it, and its report says what came.
"""

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import msgspec

from infra.bench.api_reads import ApiReads
from infra.bench.job import Stopwatch
from infra.bench.latency import percentiles_ms
from infra.bench.page_session import PageSession
from infra.bench.workload import Workload

_CONNECTIONS = 16
_SILENT_S = 5.0
"""A page of something that changes all the time is told so far more often."""


class ConsoleLoad(msgspec.Struct, frozen=True):
    """What to open and to ask.

    Attributes:
        url: Of the API.
        report: File to write lines to, as contestants do.
        type: Twin type.
        twins: How many it has, named as in `Workload`.
        consoles: Pages that are open.
        requests_per_s: To the API.
    """

    url: str
    report: str
    type: str
    twins: int
    consoles: int
    requests_per_s: float


def paths(load: ConsoleLoad) -> list[str]:
    """Pages to open: half of them show the fleet, each in its own way, the others twins, the system and types."""
    ids = [key.decode() for key in Workload(1, load.twins, 1).keys]
    found = []
    for number in range(load.consoles):
        twin = ids[number * 13 % len(ids)]
        turn = (
            ("/", "/?status=ok", f"/?q={twin[:-1]}", "/?sort=event_time_ns&descending=true")[number // 4 % 4],
            f"/twins/{load.type}/{twin}",
            ("/", "/?sort=id&number=2")[number // 4 % 2],
            ("/system", f"/twins/{load.type}/{twin}", "/system", f"/types/{load.type}", "/deadletters")[
                number // 4 % 5
            ],
        )
        found.append(turn[number % 4])
    return found


def is_live(path: str) -> bool:
    """Whether what the page shows changes all the time under load."""
    return not path.startswith(("/types", "/deadletters"))


async def run(load: ConsoleLoad) -> None:
    """Open, ask, and report when it is told to stop."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    watch = Stopwatch(load.report)
    connector = aiohttp.TCPConnector(limit=_CONNECTIONS + load.consoles)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        sessions = [PageSession(http, load.url, path) for path in paths(load)]
        for session in sessions:
            await stack.enter_async_context(session)
        reads = ApiReads(http, load.url, load.type, [key.decode() for key in Workload(1, load.twins, 1).keys])
        watch.start()
        watch.progress(0)
        for session in sessions:
            session.begin()
        if load.requests_per_s:
            await reads.run(load.requests_per_s, stop)
        else:
            await stop.wait()
        median_ms, p99_ms, _ = percentiles_ms(reads.latencies_ms or [0.0])
        lost = [session.fault for session in sessions if session.fault]
        live = [session for session in sessions if is_live(session.path)]
        silent = [one.path for one in live if not one.pushes or one.longest_silence_s > _SILENT_S]
        for fault in (*reads.faults, *lost, *(f"{path}: nothing was pushed for a while" for path in silent)):
            sys.stderr.write(f"{fault}\n")
        watch.finish(
            len(reads.latencies_ms),
            pages=len(sessions),
            pushes=sum(session.pushes for session in sessions),
            wrong=reads.wrong,
            lost=len(lost),
            silent=len(silent),
            answer_median_us=round(median_ms * 1000),
            answer_p99_us=round(p99_ms * 1000),
        )


if __name__ == "__main__":
    asyncio.run(run(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=ConsoleLoad)))
