"""Commands of `bench` that measure bridges, sinks, several workers and whole instances."""

import asyncio
from typing import Annotated

import typer

from infra.cli.bench_options import Partitions, Records, Repeat
from infra.cli.bench_results import show_results
from infra.cli.options import AsJson
from infra.cli.output import FAILED, show_json, show_table
from schemas.errors import SetupError


def bridge(
    messages: Annotated[int, typer.Option("--messages", min=100, help="In each backlog that is drained.")] = 100_000,
    repeat: Repeat = 3,
    broker: Annotated[str, typer.Option("--broker", metavar="NAME", help="mqtt, amqp or both.")] = "both",
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Compare the bridges with clients that only receive and acknowledge, on Mosquitto and RabbitMQ.

    Each drains a backlog that the broker kept for it. Needs both servers on this machine.
    """
    from infra.bench import bridge as bench  # noqa: PLC0415 - no other command needs these
    from infra.bench import machine  # noqa: PLC0415

    if broker not in {bench.MQTT, bench.AMQP, "both"}:
        message = f"--broker {broker}: choose mqtt, amqp or both"
        raise SetupError(message)
    ground = machine.machine()
    brokers = (bench.MQTT, bench.AMQP) if broker == "both" else (broker,)
    results = asyncio.run(bench.measure(messages, repeat, brokers))
    show_results(results, ground, as_json=as_json)


def sink(
    points: Annotated[int, typer.Option("--points", min=1000, help="Points of seven fields each.")] = 300_000,
    documents: Annotated[int, typer.Option("--documents", min=100, help="Changes of twins' documents.")] = 10_000,
    repeat: Repeat = 3,
    store: Annotated[str, typer.Option("--store", metavar="NAME", help="timeseries, metadata or both.")] = "both",
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Compare the sinks with what clients do by themselves, on InfluxDB and on a server of MongoDB's protocol.

    Sinks read from Kafka; the clients have everything in memory. Needs both servers on this machine.
    """
    from infra.bench import machine  # noqa: PLC0415 - no other command needs these
    from infra.bench import sink as bench  # noqa: PLC0415

    if store not in {bench.TIMESERIES, bench.METADATA, "both"}:
        message = f"--store {store}: choose timeseries, metadata or both"
        raise SetupError(message)
    ground = machine.machine()
    stores = (bench.TIMESERIES, bench.METADATA) if store == "both" else (store,)
    results = asyncio.run(bench.measure(points, documents, repeat, stores))
    show_results(results, ground, as_json=as_json)


def end_to_end(
    rates: Annotated[
        str, typer.Option("--rates", metavar="N,N,…", help="Messages per second, rising; ends with the first too many.")
    ] = "2000,4000,5000,6000,8000",
    seconds: Annotated[float, typer.Option("--seconds", min=5, help="For each rate.")] = 60.0,
    twins: Annotated[int, typer.Option("--twins", min=1, max=100_000, help="Devices that publish.")] = 1000,
    confirm: Annotated[
        float, typer.Option("--confirm", metavar="SECONDS", min=0, help="Hold the highest sustained rate again.")
    ] = 0.0,
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Load a whole instance over MQTT: the rate it sustains, how soon points are stored and commands are out.

    Everything runs on this machine: brokers, stores, all roles, and a generator whose CPU time is told apart.
    """
    from infra.bench import e2e, machine  # noqa: PLC0415 - no other command needs these
    from infra.bench import level as bench  # noqa: PLC0415

    try:
        wanted = sorted(float(rate) for rate in rates.split(",") if rate.strip())
    except ValueError:
        wanted = []
    if not wanted or wanted[0] <= 0:
        message = f"--rates {rates}: give numbers above 0, separated by commas"
        raise SetupError(message)
    ground = machine.machine()
    levels = asyncio.run(e2e.measure(wanted, seconds, twins, confirm))
    if as_json:
        show_json(bench.as_json(levels, ground, machine.versions()))
        return
    show_table(bench.COLUMNS, (level.as_row() for level in levels), empty="nothing was measured")
    typer.echo(f"CPU at {levels[-1].rate:,.0f} messages/s:")
    show_table(("part", "cores", "µs per message"), bench.cpu_rows(levels[-1]), empty="nothing")


def scale(
    workers: Annotated[str, typer.Option("--workers", metavar="N,N,…", help="Numbers of workers.")] = "1,2,4",
    records: Records = 1_500_000,
    partitions: Partitions = 8,
    repeat: Repeat = 3,
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Step the same input with several workers, and say what larger machines would give.

    The incubator type. Records are made beforehand and written while workers that have their partitions wait for them.
    """
    from infra.bench import machine, report  # noqa: PLC0415 - no other command needs these
    from infra.bench import scale as bench  # noqa: PLC0415

    counts = sorted({int(word) for word in workers.split(",") if word.strip().isdecimal()} - {0})
    if not counts or counts[-1] > partitions:
        message = f"--workers {workers}: give numbers from 1 to the number of partitions, separated by commas"
        raise SetupError(message)
    ground = machine.machine()
    results = asyncio.run(bench.measure(counts, records, partitions, repeat))
    model = bench.fit(results)
    if as_json:
        show_json(report.as_json(results, ground, machine.versions()) | {"model": model.as_json()})
    else:
        show_table(report.COLUMNS, report.as_rows(results), empty="nothing was measured")
        cost = f"workers {model.worker_s * 1e6:.2f} µs of CPU and Kafka {model.broker_s * 1e6:.2f} µs"
        typer.echo(f"a record costs {cost}")
        show_table(bench.MODEL_COLUMNS, model.rows(), empty="nothing")
    if any(result.failed for result in results):
        raise typer.Exit(FAILED)


def console(
    repeat: Annotated[
        int | None, typer.Option("--repeat", min=1, help="Runs without and with an audience each; 5, quick 3.")
    ] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", min=3, help="Of a run; 15, quick 8.")] = None,
    rate: Annotated[float, typer.Option("--rate", min=10, help="Messages per second, in every run.")] = 1500.0,
    twins: Annotated[int, typer.Option("--twins", min=100, max=100_000, help="Devices that publish.")] = 1000,
    consoles: Annotated[int, typer.Option("--consoles", min=1, max=200, help="Pages that are open.")] = 20,
    requests: Annotated[
        float, typer.Option("--requests", min=0, max=400, help="Requests to the API per second.")
    ] = 100.0,
    browser: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option("--browser/--no-browser", help="Whether a page in a real browser is looked at in the end.")
    ] = True,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and shorter runs.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Load the console and the API while messages flow: what that costs those who process them.

    A whole instance; runs without and with an audience take turns. The audience is open pages, each with its socket,
    and reads of the API. Exit code 1 when it was not served, or when the slowest hundredth of the records took more
    than 1.5 times as long with it (median of the pairs).
    """
    from infra.bench import console as bench  # noqa: PLC0415 - no other command needs these
    from infra.bench import console_figures, machine  # noqa: PLC0415

    if twins > bench.LONGEST_CYCLE_S * rate:
        most = round(bench.LONGEST_CYCLE_S * rate)
        message = (
            f"--twins {twins}: at --rate {rate:g} at most {most:,}, so that the page of each has something to show"
        )
        raise SetupError(message)
    ground = machine.machine()
    plan = bench.Plan(
        repeat or (3 if quick else 5), seconds or (8.0 if quick else 15.0), rate, twins, consoles, requests, browser
    )
    outcome = asyncio.run(bench.measure(plan))
    if as_json:
        show_json(outcome.as_json() | {"machine": ground, "versions": machine.versions()})
    else:
        show_table(console_figures.COLUMNS, outcome.as_rows(), empty="nothing was measured")
        if outcome.looked is not None:
            looked = outcome.looked
            typer.echo(f"a page in a real browser changed in {looked.changes} of {looked.looks} looks, two a second")
    if not outcome.kept:
        raise typer.Exit(FAILED)
