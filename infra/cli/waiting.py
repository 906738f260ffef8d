"""What is shown while something takes its time: at a terminal, on standard error, gone when it is done."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def waiting(title: str, console: "Console | None" = None) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Show a title and the time since then while entered; nothing where nobody watches.

    Yields:
        What hides it for as long as it is entered, so that lines can be written.
    """
    from rich.console import Console  # noqa: PLC0415 - only for people at a terminal
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield nullcontext
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(title, total=None)

        @contextmanager
        def hidden() -> Iterator[None]:
            progress.stop()
            yield
            progress.start()

        yield hidden
