"""What is shown while something takes its time: at a terminal, on standard error, gone when it is done."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def waiting(title: str, console: "Console | None" = None) -> Iterator[None]:
    """Show a title and the time since then while entered; nothing where nobody watches."""
    from rich.console import Console  # noqa: PLC0415 - only for people at a terminal
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = console or Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task(title, total=None)
        yield
