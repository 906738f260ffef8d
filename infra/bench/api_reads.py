"""Reads of the API at a steady rate, over connections that stay open, each answer looked at."""

import asyncio
import time
from collections.abc import Iterator
from itertools import count

import aiohttp

_TICK_S = 0.005
_TIMEOUT_S = 10.0
_WINDOW_NS = 300 * 10**9
_KEPT_FAULTS = 5

Read = tuple[str, bytes]
"""Path, and what a right answer to it holds."""


class ApiReads:
    """Asks so often, whether answers are slow or not.

    Args:
        http: Connections to the server.
        url: Of the API.
        type_name: Of the twins that are asked for.
        twins: Their ids.

    Attributes:
        latencies_ms: From when a request was due to the end of its answer.
        wrong: Answers that were refusals or had nothing in them, and requests without an answer.
        faults: What the first of them were.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, type_name: str, twins: list[str]) -> None:
        self._http = http
        self._url = url
        self._type = type_name
        self._twins = twins
        self._asking: set[asyncio.Task[None]] = set()
        self.latencies_ms: list[float] = []
        self.wrong = 0
        self.faults: list[str] = []

    async def run(self, per_second: float, stop: asyncio.Event) -> None:
        """Ask until `stop`; then wait for the answers that are still due."""
        reads, sent, began_s = self.reads(), 0, time.perf_counter()
        while not stop.is_set():
            due = int((time.perf_counter() - began_s) * per_second)
            while sent < due:
                sent += 1
                task = asyncio.create_task(self._ask(next(reads), began_s + sent / per_second))
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)
            await asyncio.sleep(_TICK_S)
        if self._asking:
            await asyncio.wait(self._asking)

    def reads(self) -> Iterator[Read]:
        """What is asked, without end: each kind in turn, each time of another twin."""
        kind = self._type
        for number in count():
            twin = self._twins[number * 7 % len(self._twins)]
            now_ns = time.time_ns()
            path, start_ns = f"/api/twins/{kind}/{twin}", now_ns - _WINDOW_NS
            yield f"/api/twins?type={kind}&limit=50", b'"inputs"'
            yield path, b'"outputs"'
            yield f"/api/twins?status=ok&id={twin[:-2]}&limit=100", twin.encode()
            yield f"{path}/series?field=T_air&start={start_ns}&limit=100", b'"time_ns":[1'
            yield path, b'"outputs"'
            yield f"{path}/series/buckets?field=T_air&start={start_ns}&stop={now_ns}&count=60", b'"time_ns":[1'
            yield f"/api/twins?type={kind}&limit=50&after={kind}/{twin}", b'"items"'
            yield "/api/account", b'"received"'
            yield f"{path}/commands?limit=10", b'"items"'
            yield "/api/status", b'"ready":true'

    async def _ask(self, read: Read, due_s: float) -> None:
        path, wanted = read
        try:
            async with (
                asyncio.timeout(_TIMEOUT_S),
                self._http.get(self._url + path) as answer,
            ):
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self._note(f"{path}: {error or type(error).__name__}")
            return
        self.latencies_ms.append((time.perf_counter() - due_s) * 1000)
        if answer.status != 200 or wanted not in body:  # noqa: PLR2004 - OK
            self._note(f"{path}: {answer.status} {body[:200].decode(errors='replace')}")

    def _note(self, fault: str) -> None:
        self.wrong += 1
        if len(self.faults) < _KEPT_FAULTS:
            self.faults.append(fault)
