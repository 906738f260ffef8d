"""What `twinstream bench console` finds: runs without and with an audience, side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.bench.report import Spread

COLUMNS = ("figure", "lowest", "median", "highest", "to reach")
RATIO_LIMIT = 1.5
_API = "api"


@dataclass(frozen=True)
class Audience:
    """What open pages and the API's callers got.

    Attributes:
        pages: That were open.
        seconds: For so long.
        pushes: To all of them.
        answers: Of the API.
        answer_ms: Median and 99th percentile from when a request was due to the end of its answer.
        cpu_s: Of the process that opened and asked.
    """

    pages: int
    seconds: float
    pushes: int
    answers: int
    answer_ms: tuple[float, float]
    cpu_s: float


@dataclass(frozen=True)
class Run:
    """One load of messages.

    Attributes:
        messages: That were published, and processed.
        seconds: That publishing took.
        processed_ms: Median, 99th percentile and highest time from a record's writing to its line, committed.
        wall_s: Span of `cpu_s`.
        cpu_s: CPU time of each process of the instance.
        generator_cpu_s: Of the one that published.
        audience: None of a run without.
    """

    messages: int
    seconds: float
    processed_ms: tuple[float, float, float]
    wall_s: float
    cpu_s: Mapping[str, float]
    generator_cpu_s: float
    audience: Audience | None = None

    @property
    def api_cores(self) -> float:
        """What the API's process took."""
        return self.cpu_s.get(_API, 0.0) / self.wall_s

    @property
    def others_cores(self) -> float:
        """What everything else of the instance took."""
        return sum(cpu_s for name, cpu_s in self.cpu_s.items() if name != _API) / self.wall_s

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        names = ("median", "p99", "maximum")
        found: dict[str, Any] = {
            "messages": self.messages,
            "messages_per_second": round(self.messages / self.seconds, 1),
            "processed_ms": {name: round(value, 1) for name, value in zip(names, self.processed_ms, strict=True)},
            "cores": {name: round(cpu_s / self.wall_s, 3) for name, cpu_s in self.cpu_s.items()},
            "generator_cores": round(self.generator_cpu_s / self.seconds, 3),
        }
        if self.audience is not None:
            seen = self.audience
            found["audience"] = {
                "pages": seen.pages,
                "pushes_per_second": round(seen.pushes / seen.seconds, 1),
                "requests_per_second": round(seen.answers / seen.seconds, 1),
                "answer_ms": {"median": round(seen.answer_ms[0], 2), "p99": round(seen.answer_ms[1], 2)},
                "generator_cores": round(seen.cpu_s / seen.seconds, 3),
            }
        return found


@dataclass(frozen=True)
class Looked:
    """A page in a real browser, under the same load.

    Attributes:
        changes: How often it showed something else than half a second before.
        looks: How often one looked.
        cores: That the browser took.
    """

    changes: int
    looks: int
    cores: float

    @property
    def is_live(self) -> bool:
        """Whether it went on: what is pushed once a second changes every second look."""
        return self.changes >= self.looks / 4

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {"changes": self.changes, "looks": self.looks, "live": self.is_live, "cores": round(self.cores, 3)}


@dataclass(frozen=True)
class Outcome:
    """All runs.

    Attributes:
        pairs: A run without and one with an audience each, made one after the other.
        looked: What a real browser showed; None where there is none.
    """

    pairs: Sequence[tuple[Run, Run]]
    looked: Looked | None = None

    @property
    def ratio(self) -> Spread:
        """How many times as long the slowest hundredth took with the audience."""
        return Spread.of(self._ratios())

    @property
    def kept(self) -> bool:
        """Whether the limit was kept, and the real page lived."""
        return self.ratio.median <= RATIO_LIMIT and (self.looked is None or self.looked.is_live)

    def as_rows(self) -> Iterator[tuple[str, ...]]:
        """For people, under `COLUMNS`."""
        quiet, busy = [one for one, _ in self.pairs], [one for _, one in self.pairs]
        seen = [one.audience for one in busy if one.audience is not None]
        yield _row("processors' p99 without an audience, ms", [one.processed_ms[1] for one in quiet], 0)
        yield _row("processors' p99 with it, ms", [one.processed_ms[1] for one in busy], 0)
        yield _row("times as long", self._ratios(), 2, f"{RATIO_LIMIT:g}")
        yield _row("processors' median without, ms", [one.processed_ms[0] for one in quiet], 0)
        yield _row("processors' median with it, ms", [one.processed_ms[0] for one in busy], 0)
        yield _row("pushes to the pages per second", [one.pushes / one.seconds for one in seen], 0)
        yield _row("answers of the API per second", [one.answers / one.seconds for one in seen], 1)
        yield _row("answers, median, ms", [one.answer_ms[0] for one in seen], 1)
        yield _row("answers, p99, ms", [one.answer_ms[1] for one in seen], 1)
        yield _row("api role without, cores", [one.api_cores for one in quiet], 2)
        yield _row("api role with it, cores", [one.api_cores for one in busy], 2)
        yield _row("rest of the instance without, cores", [one.others_cores for one in quiet], 2)
        yield _row("rest of the instance with it, cores", [one.others_cores for one in busy], 2)
        yield _row("generator of messages, cores", [one.generator_cpu_s / one.seconds for one in (*quiet, *busy)], 2)
        yield _row("pages and requests, cores", [one.cpu_s / one.seconds for one in seen], 2)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        quiet, busy = zip(*self.pairs, strict=True)
        found: dict[str, Any] = {
            "times_as_long": self.ratio.as_json(3),
            "limit": RATIO_LIMIT,
            "kept": self.kept,
            "without_p99_ms": Spread.of(one.processed_ms[1] for one in quiet).as_json(1),
            "with_p99_ms": Spread.of(one.processed_ms[1] for one in busy).as_json(1),
            "api_cores_without": Spread.of(one.api_cores for one in quiet).as_json(3),
            "api_cores_with": Spread.of(one.api_cores for one in busy).as_json(3),
            "runs": [{"without": one.as_json(), "with": other.as_json()} for one, other in self.pairs],
        }
        if self.looked is not None:
            found["browser"] = self.looked.as_json()
        return found

    def _ratios(self) -> list[float]:
        return [busy.processed_ms[1] / quiet.processed_ms[1] for quiet, busy in self.pairs]


def _row(name: str, values: Sequence[float], digits: int, to_reach: str = "") -> tuple[str, ...]:
    spread = Spread.of(values)
    return (name, *(f"{value:,.{digits}f}" for value in (spread.minimum, spread.median, spread.maximum)), to_reach)
