"""Parts of `twinstream bench all`: each measurement with its sizes, and what the report says of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from infra.bench import bridge, console, console_figures, e2e, kernel, level, processor, restore, scale, sink, start
from infra.bench.document import Section, Table
from infra.bench.jobs import contestants_of, jobs_of
from infra.bench.report import Result
from infra.bench.turns import EachTurn
from infra.bench.workload import Workload

_TWINS, _PARTITIONS = 10_000, 8


@dataclass(frozen=True)
class Span:
    """What a part may take.

    Attributes:
        quick: Whether few records and rounds do.
        left_s: Seconds until a quick run should end.
        told: Is given the section as far as it is after each turn.
    """

    quick: bool
    left_s: float
    told: Callable[[Section], None]

    def each_turn(self, name: str, title: str, says: str) -> EachTurn:
        """Tells a section of results after every turn."""

        def tell(results: Sequence[Result]) -> bool:
            self.told(Section(name, title, says, 0.0, results))
            return False

        return tell


@dataclass(frozen=True)
class Part:
    """One measurement.

    Attributes:
        name: Of its sub-command.
        quick_s: What it takes in a quick run; it is left out of one that has less time left.
        run: Measures it.
    """

    name: str
    quick_s: float
    run: Callable[[Span], Awaitable[Section]]


async def _processor(span: Span) -> Section:
    workload = Workload(1_000_000 if span.quick else 2_000_000, _TWINS, _PARTITIONS)
    contestants = [one for one in contestants_of("") if not (span.quick and one.further)]
    limits: dict[str, Any] = {"share": 0.3, "budget_s": span.left_s} if span.quick else {}
    says = (
        f"{workload.records:,} records of {_TWINS:,} twins in {_PARTITIONS} partitions lie in the topic before a run "
        "begins; time and CPU of a contestant's own processes count from its first record to its last commit. The last "
        "state of every twin was checked in each contestant's changelog, where it keeps one. How each keeps its state: "
        + "; ".join(f"{one.name}: {one.state}" for one in contestants)
        + "."
    )
    name, title = "processor", "Stream processors"
    told = span.each_turn(name, title, says)
    results = await processor.measure(contestants, jobs_of("both"), workload, repeat=3, each_turn=told, **limits)
    return Section(name, title, says, 0.0, results)


async def _bridge(span: Span) -> Section:
    says = (
        "Each contestant drains a backlog that Mosquitto or RabbitMQ kept for it; bridges write to Kafka with acks=all "
        "and acknowledge then, bare clients receive and acknowledge only. Every message was then looked for in Kafka."
    )
    name, title, sizes = "bridge", "Bridges", (20_000, 1) if span.quick else (100_000, 3)
    results = await bridge.measure(*sizes, each_turn=span.each_turn(name, title, says))
    return Section(name, title, says, 0.0, results)


async def _sink(span: Span) -> Section:
    sizes = (60_000, 3_000, 1) if span.quick else (300_000, 10_000, 3)
    says = (
        "Sinks store what lies in Kafka; InfluxDB's own client writes Point objects in batches, pymongo calls "
        "update_one for each document, both from memory. Everything was counted in the store."
    )
    name, title = "sink", "Sinks"
    results = await sink.measure(*sizes, each_turn=span.each_turn(name, title, says))
    return Section(name, title, says, 0.0, results)


async def _e2e(span: Span) -> Section:
    rates, seconds, confirm_s = [2000.0, 4000.0, 5000.0, 6000.0, 8000.0], 60.0, 300.0
    if span.quick:
        rates, seconds, confirm_s = [2000.0], 10.0, 0.0
    says = (
        f"A whole instance as `up` runs it, loaded over MQTT at QoS 1 by 1,000 devices for {seconds:.0f} s at each "
        f"rate{', the highest that was sustained again for 300 s' if confirm_s else ''}; the last row is 70 % of it. "
        "Stored is when the sink has committed."
    )

    def section(levels: Sequence[level.Level]) -> Section:
        last = levels[-1]
        parts = (f"CPU at {last.rate:,.0f} messages/s", ("part", "cores", "µs per message"), list(level.cpu_rows(last)))
        tables: list[Table] = [("Rates", level.COLUMNS, [one.as_row() for one in levels]), parts]
        return Section("e2e", "End to end", says, 0.0, tables=tables, detail=level.summary(levels))

    return section(await e2e.measure(rates, seconds, 1000, confirm_s, lambda levels: span.told(section(levels))))


async def _console(span: Span) -> Section:
    plan = console.Plan(repeat=1, seconds=5.0, browser=False) if span.quick else console.Plan()
    outcome = await console.measure(plan)
    says = (
        f"A whole instance, {plan.messages_per_s:,.0f} messages/s, without and with an audience in turns: "
        f"{plan.consoles} open pages of the console and {plan.requests_per_s:.0f} requests/s to the API. Processing "
        "counts from a record's writing to its line, read by somebody who reads committed records."
    )
    tables = [("Figures", console_figures.COLUMNS, list(outcome.as_rows()))]
    return Section("console", "An audience", says, 0.0, tables=tables, detail=outcome.as_json())


async def _scale(span: Span) -> Section:
    name, title, records, repeat = "scale", "Scale-out", *((300_000, 1) if span.quick else (1_500_000, 3))
    says = "The incubator type on several workers of one machine, from the first record written to the last commit. "
    told = span.each_turn(name, title, says)
    results = await scale.measure((1, 2, 4), records, _PARTITIONS, repeat, each_turn=told)
    model = scale.fit(results)
    says += (
        f"A record costs workers {model.worker_s * 1e6:.2f} µs of CPU and Kafka {model.broker_s * 1e6:.2f} µs; the "
        "second table is what that gives where every worker has two cores of its own."
    )
    tables = [("By the model", scale.MODEL_COLUMNS, list(model.rows()))]
    return Section(name, title, says, 0.0, results, tables, {"model": model.as_json()})


async def _kernel(span: Span) -> Section:
    figures = kernel.measure(_TWINS, 1 if span.quick else 5)
    says = "The compiled pipeline by itself: records that are decoded already, no Kafka, nothing written."
    tables = [("Figures", kernel.COLUMNS, [list(figure.as_row()) for figure in figures])]
    detail = {"figures": [figure.as_json() for figure in figures]}
    return Section("kernel", "The compiled pipeline", says, 0.0, tables=tables, detail=detail)


async def _start(span: Span) -> Section:
    seconds = await start.measure(1 if span.quick else 5)
    says = (
        "From the start of a worker's process to its first commit of records that wait in Kafka, which runs; compiled "
        "code is in the cache."
    )
    tables = [("Figures", start.COLUMNS, [list(start.as_row(seconds))])]
    return Section("start", "Starting a worker", says, 0.0, tables=tables, detail=start.as_json(seconds, {}, {}))


async def _restore(span: Span) -> Section:
    finished = await restore.measure(100_000 if span.quick else 1_000_000, _PARTITIONS, 1 if span.quick else 3)
    says = "New processes take all partitions over and read the rows of all twins back from the changelog."
    tables = [("Figures", restore.COLUMNS, [list(row) for row in restore.as_rows(finished)])]
    detail = {name: value for name, value in restore.as_json(finished, {}, {}).items() if value}
    return Section("restore", "Reading rows back", says, 0.0, tables=tables, detail=detail)


PARTS = (
    Part("processor", 0.0, _processor),
    Part("sink", 75.0, _sink),
    Part("bridge", 100.0, _bridge),
    Part("e2e", 100.0, _e2e),
    Part("console", 180.0, _console),
    Part("scale", 150.0, _scale),
    Part("kernel", 60.0, _kernel),
    Part("start", 60.0, _start),
    Part("restore", 80.0, _restore),
)
