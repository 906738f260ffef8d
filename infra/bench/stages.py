"""What a measurement tells while it lasts."""

from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn


class Stages:
    """Progress on standard error: a bar at a terminal, a line per stage elsewhere.

    Attributes:
        round: Stands before the title of every stage.
    """

    def __init__(self) -> None:
        self.round = ""
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Self:
        """Begin to show."""
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Clear the bar."""
        self._progress.stop()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, markup=False, highlight=False)

    def begin(self, title: str, size: int) -> Callable[[int], None]:
        """Show a new stage in place of the one before; call what it returns with how far it is."""
        title = f"{self.round} {title}".strip()
        if not self._console.is_terminal:
            self._console.print(title)
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        task = self._progress.add_task(title, total=size)
        return lambda done: self._progress.update(task, completed=done)
