"""The commands of `twinstream`, and how their errors end."""

from dataclasses import asdict
from typing import Any

import typer
from typer.core import TyperGroup

from infra.cli import bench, definitions, looking, records, running, twins
from infra.cli.output import fail
from infra.supervisor.lifeline import follow_parent
from schemas.errors import TwinstreamError


class Commands(TyperGroup):
    """Ends expected failures with a clear line and exit code 1."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer keeps its own copy of the type
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except TwinstreamError as error:
            problems = getattr(error, "problems", ())
            fail(str(error), [asdict(problem) for problem in problems])


app = typer.Typer(
    cls=Commands,
    name="twinstream",
    help="Event-driven streaming backbone for digital twins.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (running, definitions, twins, records, looking, bench):
    module.register(app)


def main() -> None:
    """Entry point of `twinstream` and of `python -m infra`."""
    follow_parent()
    app()
