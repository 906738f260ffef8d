"""Options that several commands of `bench` share."""

from typing import Annotated

import typer

Records = Annotated[int, typer.Option("--records", min=1, help="Telemetry records; slow contestants get fewer.")]
Twins = Annotated[int, typer.Option("--twins", min=1, max=1_000_000, help="Number of twins.")]
Partitions = Annotated[int, typer.Option("--partitions", min=1, max=1000, help="Partitions of every topic.")]
Repeat = Annotated[int, typer.Option("--repeat", min=1, help="Runs of each contestant; medians are shown.")]
