"""`twinstream bench e2e`: a whole instance under load, from devices that publish to points stored and commands out."""

import asyncio
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import numpy as np

from infra.bench.child import finished
from infra.bench.instance import Instance
from infra.bench.job import Finished
from infra.bench.jobs import INCUBATOR_FOLDER
from infra.bench.latency import Commanded, Stored, percentiles_ms
from infra.bench.level import LATENCY_SHARE, Level, sustained_rate
from infra.bench.mqtt_load import Load
from infra.bench.peers import ROOT
from infra.bench.stages import Stages
from infra.bench.workload import Workload
from infra.roles.sink import group_of_file
from schemas.clock import SystemClock
from schemas.errors import SetupError
from schemas.topics import TypeTopics
from streams.log.client import KafkaOptions

_TYPE = "incubator"
# Kafka's own code is compiled while it runs.
_WARM_UP_RATE, _WARM_UP_S = 2000, 20.0
_LOOK_S = 0.05
_DRAIN_TIMEOUT_S = 120.0
_SHOWN_TIMEOUT_S = 30.0


async def measure(
    rates: Sequence[float],
    seconds: float,
    twins: int,
    confirm_s: float = 0.0,
    told: Callable[[Sequence[Level]], None] = lambda _: None,
) -> list[Level]:
    """Hold each rate for so long, rising, until one is not sustained; then once more 70 % of the highest that was.

    Args:
        rates: Messages per second, in rising order.
        seconds: For each.
        twins: Devices that publish, in turns.
        confirm_s: So long the highest is held again, and where it is not sustained then, the one below; 0 for not.
        told: Called with what there is after each rate.

    Raises:
        SetupError: the instance does not come up, or the load generator failed.
    """
    levels: list[Level] = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twinstream-bench-")))
        shown = stack.enter_context(Stages())
        shown.begin("starting an instance", 1)
        instance = await stack.enter_async_context(Instance(folder / "data"))
        shown.begin("compiling the incubator", 1)
        await instance.run("deploy", str(INCUBATOR_FOLDER))
        bench = _Bench(instance, folder, twins, shown)
        await bench.hold(_WARM_UP_RATE, _WARM_UP_S)

        async def hold(rate: float, for_s: float) -> None:
            levels.append(await bench.hold(rate, for_s))
            told(levels)

        for rate in rates:
            await hold(rate, seconds)
            if not levels[-1].sustained:
                break
        confirmed = not confirm_s
        while (highest := sustained_rate(levels)) and not confirmed:
            await hold(highest, confirm_s)
            confirmed = levels[-1].sustained
        if highest:
            await hold(round(LATENCY_SHARE * highest), seconds)
    return levels


@dataclass
class _Bench:
    instance: Instance
    folder: Path
    twins: int
    shown: Stages
    _levels: int = 0

    async def hold(self, rate: float, seconds: float) -> Level:
        """Publish at a rate, wait until all of it is stored."""
        self._levels += 1
        clock = SystemClock()
        messages = round(rate * seconds)
        told = self.shown.begin(f"{rate:,.0f} messages/s for {seconds:.0f} s", messages)
        parts = urlsplit(self.instance.urls["MQTT"])
        report = self.folder / f"load-{self._levels:02d}.jsonl"
        load = Load(
            *(parts.hostname or "", parts.port or 0, str(report), messages, self.twins, [_TYPE]),
            rate=rate,
            live=True,
            boot=f"load-{self._levels}",
        )
        group = group_of_file(Path(self.instance.urls["time series"]))
        kafka = KafkaOptions(self.instance.urls["Kafka"])
        stored = Stored(kafka, TypeTopics(_TYPE).timeseries, group)
        commanded = Commanded(self.instance.urls["MQTT"], _TYPE)
        async with stored.watching(), commanded.watching():
            since_ns, before = clock.now_ns(), self.instance.cpu_seconds()
            halves: list[int] = []

            def look(published: int) -> None:
                told(published)
                if not halves and 2 * published >= messages:
                    halves.append(published - stored.lines)

            published = await self._publish(load, report, look)
            ended_s, after = clock.monotonic_s(), self.instance.cpu_seconds()
            lag_end = messages - stored.lines
            drained_s = await self._drained(stored, messages)
            shown_s = math.nan
            if not math.isnan(drained_s):
                await self._shown(messages, since_ns)
                shown_s = clock.monotonic_s() - ended_s
            return Level(
                rate=rate,
                messages=messages,
                seconds=published.seconds,
                lag_half=halves[0],
                lag_end=lag_end,
                drained_s=drained_s,
                shown_s=shown_s,
                stored_ms=percentiles_ms(stored.latencies_ms),
                command_ms=percentiles_ms(commanded.latencies_ms),
                commands=len(commanded.latencies_ms),
                generator_cpu_s=published.cpu_seconds,
                cpu_s={name: cpu_s - before.get(name, 0.0) for name, cpu_s in after.items()},
            )

    async def _publish(self, load: Load, report: Path, told: Callable[[int], None]) -> Finished:
        file = report.with_suffix(".json")
        file.write_bytes(msgspec.json.encode(load))
        command = [sys.executable, "-m", "infra.bench.mqtt_load", str(file)]
        return await finished("the load generator", command, report, env={"PYTHONPATH": str(ROOT)}, told=told)

    async def _drained(self, stored: Stored, messages: int) -> float:
        clock = SystemClock()
        began_s = clock.monotonic_s()
        while stored.lines < messages:
            if clock.monotonic_s() - began_s > _DRAIN_TIMEOUT_S:
                return math.nan
            await asyncio.sleep(_LOOK_S)
        return clock.monotonic_s() - began_s

    async def _shown(self, messages: int, since_ns: int) -> None:
        """Wait until the API has every point of this load of the twin that sent the last message.

        Raises:
            SetupError: it has not within 30 s, although the sink says that they are stored.
        """
        twin, wanted = _last(Workload(messages, self.twins, 1))
        query: dict[str, str | int] = {"field": "T_air", "start": since_ns, "limit": 100_000}
        shown = 0
        async with httpx.AsyncClient(base_url=self.instance.urls["API"], timeout=_SHOWN_TIMEOUT_S) as api:
            try:
                async with asyncio.timeout(_SHOWN_TIMEOUT_S):
                    while shown < wanted:
                        answer = await api.get(f"/api/twins/{_TYPE}/{twin}/series", params=query)
                        shown = len(answer.raise_for_status().json()["time_ns"])
                        await asyncio.sleep(_LOOK_S)
            except TimeoutError:
                message = f"the API shows {shown} of {wanted} points of {twin}"
                raise SetupError(message) from None


def _last(workload: Workload) -> tuple[str, int]:
    """The twin of the last record, and how many records it has."""
    twins = np.concatenate([columns[0] for columns in workload.columns()])
    return workload.keys[twins[-1]].decode(), int((twins == twins[-1]).sum())
