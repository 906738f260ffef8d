"""Commands of `bench` that measure parts of a worker: compiled code, a switch of versions, reading rows back."""

import asyncio
from typing import Annotated

import typer

from infra.cli.bench_options import Partitions, Twins
from infra.cli.options import AsJson
from infra.cli.output import FAILED, show_json, show_table


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


def start(
    repeat: Annotated[int, typer.Option("--repeat", min=1, help="Starts, each of a new process.")] = 5,
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Measure how soon a worker that is started does its work: from its process to its first commit.

    The incubator type on one embedded Kafka that runs; compiled code is in the cache, and records wait.
    """
    from infra.bench import machine  # noqa: PLC0415 - no other command needs these
    from infra.bench import start as bench  # noqa: PLC0415

    ground = machine.machine()
    seconds = asyncio.run(bench.measure(repeat))
    if as_json:
        show_json(bench.as_json(seconds, ground, machine.versions()))
    else:
        show_table(bench.COLUMNS, [bench.as_row(seconds)], empty="nothing was measured")
