"""The command `bench`: what `infra.bench` measures, for people and machines."""

import asyncio
from typing import Annotated

import typer

from infra.cli.options import AsJson
from infra.cli.output import FAILED, show_json, show_table

bench_app = typer.Typer(no_args_is_help=True, help="Measure speed on this machine.")

Records = Annotated[
    int, typer.Option("--records", min=1, help="Telemetry records; Faust gets at most 120,000 of them.")
]
Twins = Annotated[int, typer.Option("--twins", min=1, max=1_000_000, help="Number of twins.")]
Partitions = Annotated[int, typer.Option("--partitions", min=1, max=1000, help="Partitions of every topic.")]
Repeat = Annotated[int, typer.Option("--repeat", min=1, help="Runs of each contestant; medians are shown.")]
Peers = Annotated[str, typer.Option("--peers", metavar="NAMES", help="Contestants: twinstream, faust, floor.")]
Headers = Annotated[bool, typer.Option("--headers", help="Records carry the two headers that a bridge adds.")]


@bench_app.command("processor")
def processor(
    records: Records = 2_000_000,
    twins: Twins = 10_000,
    partitions: Partitions = 8,
    repeat: Repeat = 3,
    peers: Peers = "twinstream,faust,floor",
    headers: Headers = False,  # noqa: FBT002 - an option
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Compare the engine with stock Faust and with bare consuming, on the incubator type and one embedded Kafka.

    Rates count from the first record to the last commit; starting and compiling are left out. CPU time is that of the
    contestant's own processes, without the broker's.
    """
    from infra.bench import machine, report  # noqa: PLC0415 - no other command needs these
    from infra.bench.processor import contestants_of, measure  # noqa: PLC0415
    from infra.bench.workload import Workload  # noqa: PLC0415

    chosen = contestants_of(peers)
    ground = machine.machine()
    results = asyncio.run(measure(chosen, Workload(records, twins, partitions), repeat=repeat, headers=headers))
    if as_json:
        show_json(report.as_json(results, ground, machine.versions()))
    else:
        show_table(report.COLUMNS, report.as_rows(results), empty="nothing was measured")


@bench_app.command("kernel")
def kernel(
    twins: Twins = 10_000,
    repeat: Annotated[int, typer.Option("--repeat", min=1, help="Runs of each measurement.")] = 5,
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Measure the compiled pipeline by itself: time per record, and until a type is ready to step.

    The incubator type and one of ten built-in functions step records that are decoded already. Compiling and loading
    are those of the incubator in a new process, its imports left out.
    """
    from infra.bench import kernel as bench  # noqa: PLC0415 - no other command needs these
    from infra.bench import machine  # noqa: PLC0415

    ground = machine.machine()
    figures = bench.measure(twins, repeat)
    if as_json:
        show_json(bench.as_json(figures, ground, machine.versions()))
    else:
        show_table(bench.COLUMNS, (figure.as_row() for figure in figures), empty="nothing was measured")


@bench_app.command("switch")
def switch(
    rate: Annotated[int, typer.Option("--rate", min=100, help="Records per second while versions switch.")] = 20_000,
    twins: Twins = 10_000,
    partitions: Partitions = 8,
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Deploy a version and roll it back while records flow: how long they wait, and whether any is lost or doubled.

    Every record is compared with its line of time series; exit code 1 when one is lost or doubled. One worker of the
    incubator type and one embedded Kafka; the load comes from this process.
    """
    from infra.bench import machine  # noqa: PLC0415 - no other command needs these
    from infra.bench import switch as bench  # noqa: PLC0415

    ground = machine.machine()
    finished = asyncio.run(bench.measure(rate, twins, partitions))
    if as_json:
        show_json(bench.as_json(finished, ground, machine.versions()))
    else:
        show_table(bench.COLUMNS, bench.as_rows(finished), empty="nothing was measured")
        told = f"{finished.lost:,} lost, {finished.doubled:,} doubled"
        typer.echo(f"{finished.sent:,} records sent, {finished.stored:,} lines stored: {told}")
    if finished.lost or finished.doubled:
        raise typer.Exit(FAILED)


@bench_app.command("restore")
def restore(
    rows: Annotated[int, typer.Option("--rows", min=1, max=10_000_000, help="Twins whose rows are read back.")] = (
        1_000_000
    ),
    partitions: Partitions = 8,
    repeat: Annotated[int, typer.Option("--repeat", min=1, help="Restores, each by a new process.")] = 3,
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Measure how fast a worker reads back what it knows: fetching the changelog, unpacking it, rows and ids in place.

    The incubator type on one embedded Kafka. A partition that no other worker keeps warm waits for this at every
    change of its owner.
    """
    from infra.bench import machine  # noqa: PLC0415 - no other command needs these
    from infra.bench import restore as bench  # noqa: PLC0415

    ground = machine.machine()
    finished = asyncio.run(bench.measure(rows, partitions, repeat))
    if as_json:
        show_json(bench.as_json(finished, ground, machine.versions()))
    else:
        show_table(bench.COLUMNS, bench.as_rows(finished), empty="nothing was measured")
        size = finished.changelog_bytes / 1e6
        typer.echo(f"{finished.rows:,} rows in {finished.partitions} partitions, {size:,.0f} MB")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(bench_app, name="bench")
