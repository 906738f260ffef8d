"""The command `bench`: runs what is in the folder `benchmarks` of the repository."""

import runpy
import sys
from pathlib import Path

import typer

from infra.cli.output import fail

_FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"

bench_app = typer.Typer(no_args_is_help=True, help="Measure speed on this machine.")


@bench_app.command(
    "processor",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
)
def processor(context: typer.Context) -> None:
    """Compare the engine with stock Faust and with bare consuming; `--help` lists its options."""
    script = _FOLDER / "processor.py"
    if not script.is_file():
        fail(f"{script} is not there: run from a clone of the repository")
    sys.argv = ["twinstream bench processor", *context.args]
    runpy.run_path(str(script), run_name="__main__")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(bench_app, name="bench")
