"""How commands of `bench` end that let several contestants run."""

from typing import TYPE_CHECKING, Any

import typer

from infra.cli.output import FAILED, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.bench.report import Result


def show_results(results: "Sequence[Result]", ground: "dict[str, Any]", *, as_json: bool) -> None:
    """Show a report of what ran on the machine `ground`, and fail when any contestant did."""
    from infra.bench import machine, report  # noqa: PLC0415 - no other command needs these

    if as_json:
        show_json(report.as_json(results, ground, machine.versions()))
    else:
        show_table(report.COLUMNS, report.as_rows(results), empty="nothing was measured")
    if any(result.failed for result in results):
        raise typer.Exit(FAILED)
