"""The command `bench`: what `infra.bench` measures, for people and machines."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from infra.cli import bench_roles, bench_worker
from infra.cli.bench_options import Partitions, Records, Repeat, Twins
from infra.cli.bench_results import show_results
from infra.cli.options import AsJson
from infra.cli.output import FAILED, show_json, show_table
from schemas.errors import SetupError

bench_app = typer.Typer(no_args_is_help=True, help="Measure speed on this machine.")

JobName = Annotated[str, typer.Option("--job", metavar="JOB", help="statistics, incubator or both.")]
Peers = Annotated[
    str,
    typer.Option(
        "--peers",
        metavar="NAMES",
        help="Contestants: twinstream, faust, faust-take, quix, kafka-streams, kafka-streams-exactly-once, floor.",
        show_default="all that are installed",
    ),
]
InstallFirst = Annotated[
    bool, typer.Option("--install/--no-install", help="Whether peers that are missing are installed first.")
]
Update = Annotated[bool, typer.Option("--update", help="Write what was measured as what is asked from now on.")]
Headers = Annotated[bool, typer.Option("--headers", help="Records carry the two headers that a bridge adds.")]


@bench_app.command("processor")
def processor(
    job: JobName = "both",
    records: Records = 2_000_000,
    twins: Twins = 10_000,
    partitions: Partitions = 8,
    repeat: Repeat = 3,
    peers: Peers = "",
    headers: Headers = False,  # noqa: FBT002 - an option
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Compare the engine with other stream processors and with bare consuming, on one embedded Kafka.

    Two jobs: `statistics` keeps mean, variance and moving average of three values; `incubator` is the type of
    examples/incubator. Rates count from the first record to the last commit; starting and compiling are left out. CPU
    time is that of the contestant's own processes, without the broker's. `bench peers` tells what is installed.
    """
    from infra.bench import machine  # noqa: PLC0415 - no other command needs these
    from infra.bench.jobs import contestants_of, jobs_of  # noqa: PLC0415
    from infra.bench.processor import measure  # noqa: PLC0415
    from infra.bench.workload import Workload  # noqa: PLC0415

    chosen = contestants_of(peers)
    workload = Workload(records, twins, partitions)
    ground = machine.machine()
    results = asyncio.run(measure(chosen, jobs_of(job), workload, repeat=repeat, headers=headers))
    show_results(results, ground, as_json=as_json)


@bench_app.command("all")
def everything(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer records: less than 9 minutes.")] = False,  # noqa: FBT002
    out: Annotated[
        Path, typer.Option("--out", help="Folder for report.md, report.json and the charts.", file_okay=False)
    ] = Path("benchmark-report"),
    install: InstallFirst = True,  # noqa: FBT002 - an option
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Measure everything beside its peers, and write one report with figures, charts, versions and hardware.

    Peers go into folders of their own below the cache directory, as `bench peers` shows; what can't be installed here
    is left out, and said. What fails says so in its row and spoils nothing else; exit code 1 when that is ours.
    """
    from infra.bench import everything as bench  # noqa: PLC0415 - no other command needs these

    found = asyncio.run(bench.measure(quick=quick, install=install, folder=out))
    if as_json:
        show_json(found.as_json())
    else:
        for section in found.sections:
            show_table(bench.COLUMNS, bench.rows(section), empty="nothing was measured")
        typer.echo(f"{out / 'report.md'} has it all, with charts")
    if not found.sections or found.failed:
        raise typer.Exit(FAILED)


@bench_app.command("peers")
def peers(
    install: Annotated[bool, typer.Option("--install", help="Install what is not there yet.")] = False,  # noqa: FBT002
    names: Annotated[str, typer.Option("--peers", metavar="NAMES", help="Only these.", show_default="all")] = "",
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Show what the peers run in, each in a folder of its own below the cache directory, and install it on request.

    Nothing of it is used by anything but benchmarks; deleting the folder is all that uninstalling takes.
    """
    from infra.bench.peers import ENVIRONMENTS, install_all  # noqa: PLC0415 - no other command needs these

    wanted = {name.strip() for name in names.split(",") if name.strip()}
    if unknown := wanted - {one.name for one in ENVIRONMENTS}:
        message = f"--peers {', '.join(sorted(unknown))}: choose among {', '.join(one.name for one in ENVIRONMENTS)}"
        raise SetupError(message)
    chosen = [one for one in ENVIRONMENTS if not wanted or one.name in wanted]
    failed = asyncio.run(install_all(_tell, chosen)) if install else []
    for reason in failed:
        _tell(reason)
    if as_json:
        found = [
            {"name": one.name, "is": one.says, "installed": one.is_there, "needs": one.lacks, "folder": str(one.folder)}
            for one in chosen
        ]
        show_json(found)
    else:
        rows = [(one.name, one.says, "yes" if one.is_there else _missing(one.lacks), str(one.folder)) for one in chosen]
        show_table(("peer", "is", "installed", "folder"), rows, empty="there are none")
    if failed:
        raise typer.Exit(FAILED)


def _tell(text: str) -> None:
    typer.echo(text, err=True)


def _missing(lacks: list[str]) -> str:
    return f"no; needs {', '.join(lacks)}" if lacks else "no"


@bench_app.command("gate")
def gate(
    update: Update = False,  # noqa: FBT002 - an option
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Fail when the engine became dearer: its CPU time per record against that of the floor, in one run.

    The ratio, which depends little on the machine, is compared with the committed one of `benchmarks/gate.json`; exit
    code 1 when it is higher by more than that file's margin, also after up to six rounds.
    """
    from infra.bench import gate as bench  # noqa: PLC0415 - no other command needs these

    verdicts = asyncio.run(bench.measure(thorough=update))
    if update:
        bench.write(verdicts)
    if as_json:
        show_json([verdict.as_json() for verdict in verdicts])
    else:
        show_table(bench.COLUMNS, (verdict.as_row() for verdict in verdicts), empty="nothing was measured")
    if not update and not all(verdict.kept for verdict in verdicts):
        raise typer.Exit(FAILED)


for _command in (
    bench_roles.bridge,
    bench_roles.sink,
    bench_roles.scale,
    bench_roles.console,
    bench_worker.kernel,
    bench_worker.switch,
    bench_worker.start,
    bench_worker.restore,
):
    bench_app.command()(_command)


bench_app.command("e2e")(bench_roles.end_to_end)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(bench_app, name="bench")
