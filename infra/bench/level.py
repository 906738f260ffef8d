"""One rate at which a whole instance was loaded, and what came of it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

COLUMNS = (
    "messages/s",
    "sent/s",
    "sustained",
    "in time",
    "stored p50, ms",
    "stored p99, ms",
    "command p99, ms",
    "lag at the end",
    "stored after s",
    "in the API after s",
    "CPU, cores",
    "generator, cores",
)
DRAINED_LIMIT_S = 10.0
STORED_LIMIT_MS, COMMAND_LIMIT_MS = 500.0, 250.0
LATENCY_SHARE = 0.7
"""Of the highest sustained rate: there latencies are to keep their limits."""

_RATE_REACHED = 0.98
_LAG_GROWTH = 0.03


@dataclass(frozen=True)
class Level:
    """One rate, held for a while.

    Attributes:
        rate: Messages per second that were asked for.
        messages: That were published.
        seconds: That publishing took, to the broker's last acknowledgement.
        lag_half: Messages published and not stored yet, at half time.
        lag_end: The same when the load ended.
        drained_s: From then until all were stored; NaN when they were not in time.
        shown_s: From then until the API showed every point of the twin that sent the last message; NaN likewise.
        stored_ms: Median, 99th percentile and highest time from publishing to stored.
        command_ms: The same to the arrival of a command at a device.
        commands: How many came.
        generator_cpu_s: CPU time of the load generator while it published.
        cpu_s: The same of each process of the instance.
    """

    rate: float
    messages: int
    seconds: float
    lag_half: int
    lag_end: int
    drained_s: float
    shown_s: float
    stored_ms: tuple[float, float, float]
    command_ms: tuple[float, float, float]
    commands: int
    generator_cpu_s: float
    cpu_s: dict[str, float]

    @property
    def sustained(self) -> bool:
        """Whether it was sent at that rate, the lag did not grow, and all was stored soon after."""
        reached = self.messages / self.seconds >= _RATE_REACHED * self.rate
        grown = self.lag_end - self.lag_half > _LAG_GROWTH * self.messages / 2
        return reached and not grown and self.drained_s <= DRAINED_LIMIT_S

    @property
    def in_time(self) -> bool:
        """Whether latencies keep their limits."""
        return self.stored_ms[1] <= STORED_LIMIT_MS and self.command_ms[1] <= COMMAND_LIMIT_MS

    def as_json(self) -> dict[str, Any]:
        """For machines; cores are CPU seconds per second."""
        return {
            "messages_per_second": self.rate,
            "sent_per_second": round(self.messages / self.seconds, 1),
            "messages": self.messages,
            "seconds": round(self.seconds, 2),
            "sustained": self.sustained,
            "in_time": self.in_time,
            "lag_half": self.lag_half,
            "lag_end": self.lag_end,
            "drained_seconds": _number(self.drained_s, 2),
            "in_the_api_seconds": _number(self.shown_s, 2),
            "stored_ms": _spread(self.stored_ms),
            "command_ms": _spread(self.command_ms),
            "commands": self.commands,
            "generator_cores": round(self.generator_cpu_s / self.seconds, 3),
            "cores": {name: round(cpu_s / self.seconds, 3) for name, cpu_s in self.cpu_s.items()},
        }

    def as_row(self) -> tuple[str, ...]:
        """For people, under `COLUMNS`."""
        return (
            f"{self.rate:,.0f}",
            f"{self.messages / self.seconds:,.0f}",
            "yes" if self.sustained else "no",
            "yes" if self.in_time else "no",
            *(f"{value:,.0f}" for value in (self.stored_ms[0], self.stored_ms[1], self.command_ms[1])),
            f"{self.lag_end:,}",
            f"{self.drained_s:.1f}",
            f"{self.shown_s:.1f}",
            f"{sum(self.cpu_s.values()) / self.seconds:.2f}",
            f"{self.generator_cpu_s / self.seconds:.2f}",
        )


def as_json(levels: Sequence[Level], machine: dict[str, Any], versions: dict[str, str]) -> dict[str, Any]:
    """The measurement for machines."""
    return {**summary(levels), "machine": machine, "versions": versions}


def summary(levels: Sequence[Level]) -> dict[str, Any]:
    """All levels, and what they come to."""
    return {"sustained_per_second": sustained_rate(levels), "levels": [level.as_json() for level in levels]}


def sustained_rate(levels: Sequence[Level]) -> float:
    """The highest rate that was sustained as often as it was held; 0 for none."""
    missed = {level.rate for level in levels if not level.sustained}
    return max((level.rate for level in levels if level.rate not in missed), default=0.0)


def cpu_rows(level: Level) -> Iterator[tuple[str, str, str]]:
    """Where CPU time goes at a level: part, cores, and microseconds per message."""
    for name, cpu_s in sorted(level.cpu_s.items(), key=lambda item: -item[1]):
        yield name, f"{cpu_s / level.seconds:.2f}", f"{cpu_s / level.messages * 1e6:.0f}"


def _spread(values: tuple[float, float, float]) -> dict[str, float | None]:
    names = ("median", "p99", "maximum")
    return {name: _number(value, 1) for name, value in zip(names, values, strict=True)}


def _number(value: float, digits: int) -> float | None:
    return None if math.isnan(value) else round(value, digits)
