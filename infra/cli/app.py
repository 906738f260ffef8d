"""The commands of `twinstream`, and how their errors end."""

import sys
from dataclasses import asdict
from typing import Annotated, Any

import structlog
import typer
from typer._click.exceptions import ClickException
from typer.core import TyperGroup

from infra import VERSION
from infra.cli import (
    account,
    authoring,
    bench,
    checking,
    definitions,
    describing,
    devices,
    letters,
    looking,
    recordings,
    records,
    running,
    tokens,
    twins,
)
from infra.cli.output import JSON_OPTION, fail, show_json_line
from infra.supervisor.lifeline import follow_parent
from schemas.errors import Problem, TwinstreamError


class Commands(TyperGroup):
    """Ends expected failures with a clear line and exit code 1, wrong use with exit code 2."""

    def main(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as typer's
        """Run; with `--json` wrong use is told as an object, like every other failure."""
        if JSON_OPTION not in sys.argv:
            return super().main(*args, **options)
        try:
            code = super().main(*args, **options | {"standalone_mode": False})
        except ClickException as error:
            show_json_line({"error": error.format_message()})
            code = error.exit_code
        sys.exit(code)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer keeps its own copy of the type
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except TwinstreamError as error:
            problems = getattr(error, "problems", ())
            fail(str(error), [asdict(one) if isinstance(one, Problem) else one for one in problems])


app = typer.Typer(
    cls=Commands,
    name="twinstream",
    help="Event-driven streaming backbone for digital twins.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Markup would take what stands in brackets, such as a default, for a style and drop it.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    if wanted:
        typer.echo(f"twinstream {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options before any command."""
    # What a command prints is its result, perhaps read by a machine; roles configure logs of their own. Standard error
    # is looked up at each line: whoever runs commands inside a program may replace and close it.
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


for module in (
    running,
    authoring,
    definitions,
    checking,
    twins,
    records,
    recordings,
    letters,
    account,
    devices,
    tokens,
    looking,
    describing,
    bench,
):
    module.register(app)


def main() -> None:
    """Entry point of `twinstream` and of `python -m infra`."""
    follow_parent()
    app()
