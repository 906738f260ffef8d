"""`twinstream bench console`: what open pages and the API's callers cost those who process records."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from infra.bench.browser import BrowserPage, find_browser
from infra.bench.child import finished
from infra.bench.console_figures import Audience, Looked, Outcome, Run
from infra.bench.console_load import ConsoleLoad
from infra.bench.instance import Instance
from infra.bench.job import Finished, read_report
from infra.bench.jobs import INCUBATOR_FOLDER
from infra.bench.latency import Processed, percentiles_ms
from infra.bench.mqtt_load import Load
from infra.bench.peers import ROOT
from infra.bench.stages import Stages
from infra.embedded.process import ChildProcess, ServerEndedError
from schemas.clock import SystemClock
from schemas.errors import SetupError
from streams.log.client import KafkaOptions

_TYPE = "incubator"
_WARM_UP_S = 8.0
_OPEN_TIMEOUT_S, _STOP_TIMEOUT_S = 60.0, 20.0
_SETTLE_S = 2.0
_LINGER_S = 32.0
"""Pages that were closed are kept for 30 s by the console, for the case that they come back."""
_LOOK_S = 0.05
_DRAIN_TIMEOUT_S = 30.0
_RATE_REACHED = 0.98
LONGEST_CYCLE_S = 2.0
"""Every device publishes so often at least: an open page of its twin that is told nothing for 5 s is a fault."""


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        repeat: Runs without and with an audience each.
        seconds: Of a run.
        messages_per_s: That are published all the time.
        twins: Devices that publish, in turns.
        consoles: Pages that are open.
        requests_per_s: To the API.
        browser: Whether a page in a real browser is looked at in the end.
    """

    repeat: int = 5
    seconds: float = 15.0
    messages_per_s: float = 1500.0
    twins: int = 1000
    consoles: int = 20
    requests_per_s: float = 100.0
    browser: bool = True


async def measure(plan: Plan) -> Outcome:
    """Measure runs without and with an audience in turns, which of a pair comes first changing each time.

    Raises:
        SetupError: the instance does not come up, messages were not processed, or the audience was not served: an
            answer was wrong, a page lost its connection, or one that shows what changes was not told for 5 s.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twinstream-bench-")))
        shown = stack.enter_context(Stages())
        shown.begin("starting an instance", 1)
        instance = await stack.enter_async_context(Instance(folder / "data"))
        shown.begin("compiling the incubator", 1)
        await instance.run("deploy", str(INCUBATOR_FOLDER))
        bench = _Bench(instance, folder, plan, shown)
        await bench.run("warming up, without an audience", _WARM_UP_S)
        await bench.run("warming up, with it", _WARM_UP_S, audience=True)
        pairs: list[tuple[Run, Run]] = []
        for number in range(plan.repeat):
            shown.round = f"{number + 1}/{plan.repeat}"
            found: dict[bool, Run] = {}
            for audience in (False, True) if number % 2 == 0 else (True, False):
                title = "with an audience" if audience else "without an audience"
                found[audience] = await bench.run(title, plan.seconds, audience=audience)
            pairs.append((found[False], found[True]))
        shown.round = ""
        return Outcome(pairs, await bench.look() if plan.browser else None)


@dataclass
class _Bench:
    instance: Instance
    folder: Path
    plan: Plan
    shown: Stages
    _runs: int = 0
    _closed_s: float = float("-inf")

    async def run(self, title: str, seconds: float, *, audience: bool = False) -> Run:
        """Publish for so long, and see how long each message took to be processed.

        Raises:
            SetupError: some were not, or the audience was not served.
        """
        clock = SystemClock()
        if not audience:
            await self._until_nobody_lingers()
        self._runs += 1
        async with AsyncExitStack() as stack:
            heard: list[Audience] = []
            if audience:
                self.shown.begin(f"{title}: opening {self.plan.consoles} pages", 1)
                heard = await stack.enter_async_context(self._audience())
                await asyncio.sleep(_SETTLE_S)
            messages = round(self.plan.messages_per_s * seconds)
            told = self.shown.begin(
                f"{title}: {self.plan.messages_per_s:,.0f} messages/s for {seconds:.0f} s", messages
            )
            processed = Processed(KafkaOptions(self.instance.urls["Kafka"]), _TYPE)
            async with processed.watching():
                before, began_s = self.instance.cpu_seconds(), clock.monotonic_s()
                report = self.folder / f"messages-{self._runs:02d}.jsonl"
                published = await self._publish(self._load(messages, report), report, told)
                after, wall_s = self.instance.cpu_seconds(), clock.monotonic_s() - began_s
                await self._drained(processed, messages)
        if published.records / published.seconds < _RATE_REACHED * self.plan.messages_per_s:
            message = (
                f"this machine sent {published.records / published.seconds:,.0f} messages/s only: choose a lower rate"
            )
            raise SetupError(message)
        return Run(
            messages=messages,
            seconds=published.seconds,
            processed_ms=percentiles_ms(processed.latencies_ms),
            wall_s=wall_s,
            cpu_s={name: cpu_s - before.get(name, 0.0) for name, cpu_s in after.items()},
            generator_cpu_s=published.cpu_seconds,
            audience=heard[0] if heard else None,
        )

    async def look(self) -> Looked | None:
        """Open the fleet in a real browser, under the same load; None where there is no browser."""
        program = find_browser()
        if program is None:
            self.shown.say("no Chromium is here: no page was looked at in a real browser")
            return None
        clock, stop = SystemClock(), asyncio.Event()
        folder = self.folder / "browser"
        folder.mkdir()
        async with BrowserPage(program, folder, f"{self.instance.urls['API']}/") as page:
            cpu_s, began_s = page.cpu_seconds, clock.monotonic_s()
            looking = asyncio.create_task(page.changes(stop))
            try:
                await self.run("with an audience and a real browser", self.plan.seconds, audience=True)
            finally:
                stop.set()
                changes, looks = await looking
            return Looked(changes, looks, (page.cpu_seconds - cpu_s) / (clock.monotonic_s() - began_s))

    async def _until_nobody_lingers(self) -> None:
        left_s = self._closed_s + _LINGER_S - SystemClock().monotonic_s()
        if left_s > 0:
            self.shown.begin("pages that were closed are forgotten", 1)
            await asyncio.sleep(left_s)

    @asynccontextmanager
    async def _audience(self) -> AsyncIterator[list[Audience]]:
        """Open pages and ask while this lasts; what came of it is in the list then."""
        heard: list[Audience] = []
        report = self.folder / f"audience-{self._runs:02d}.jsonl"
        load = ConsoleLoad(
            self.instance.urls["API"],
            str(report),
            _TYPE,
            self.plan.twins,
            self.plan.consoles,
            self.plan.requests_per_s,
        )
        command = _command("infra.bench.console_load", report, load)
        log_path, env = report.with_suffix(".log"), {"PYTHONPATH": str(ROOT)}
        child = ChildProcess("the audience", command, log_path=log_path, env=env, stop_timeout_s=_STOP_TIMEOUT_S)

        async def opened() -> bool:
            return any(read_report(report))

        async with child:
            try:
                await child.until_ready(opened, _OPEN_TIMEOUT_S)
            except ServerEndedError as error:
                message = f"the audience does not get in:\n{error.tail[-2000:]}"
                raise SetupError(message) from None
            yield heard
        self._closed_s = SystemClock().monotonic_s()
        done = next((line for line in read_report(report) if isinstance(line, Finished)), None)
        if done is None or done.detail["wrong"] or done.detail["lost"] or done.detail["silent"]:
            what = dict(done.detail) if done else "it ended early"
            message = f"the audience was not served: {what}\n{child.log_tail()[-2000:]}"
            raise SetupError(message)
        answer_ms = done.detail["answer_median_us"] / 1000, done.detail["answer_p99_us"] / 1000
        pages, pushes = done.detail["pages"], done.detail["pushes"]
        heard.append(Audience(pages, done.seconds, pushes, done.records, answer_ms, done.cpu_seconds))

    def _load(self, messages: int, report: Path) -> Load:
        parts = urlsplit(self.instance.urls["MQTT"])
        return Load(
            *(parts.hostname or "", parts.port or 0, str(report), messages, self.plan.twins, [_TYPE]),
            rate=self.plan.messages_per_s,
            live=True,
            boot=f"run-{self._runs}",
        )

    async def _publish(self, load: Load, report: Path, told: Callable[[int], None]) -> Finished:
        command = _command("infra.bench.mqtt_load", report, load)
        return await finished("the load generator", command, report, env={"PYTHONPATH": str(ROOT)}, told=told)

    async def _drained(self, processed: Processed, messages: int) -> None:
        clock = SystemClock()
        deadline_s = clock.monotonic_s() + _DRAIN_TIMEOUT_S
        while processed.lines < messages:
            if clock.monotonic_s() > deadline_s:
                message = f"{processed.lines} of {messages} messages were processed"
                raise SetupError(message)
            await asyncio.sleep(_LOOK_S)


def _command(module: str, report: Path, job: msgspec.Struct) -> list[str]:
    file = report.with_suffix(".json")
    file.write_bytes(msgspec.json.encode(job))
    return [sys.executable, "-m", module, str(file)]
