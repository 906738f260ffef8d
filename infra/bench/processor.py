"""`twinstream bench processor`: this engine, stock Faust and bare consuming, side by side."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from infra.bench.contest import BY_NAME, Contest, Contestant
from infra.bench.report import Result
from infra.bench.workload import Workload
from infra.embedded.kafka import EmbeddedKafka
from schemas.bundle import read_folder
from schemas.errors import SetupError
from streams.log.client import KafkaOptions

if TYPE_CHECKING:
    from infra.bench.job import Finished

INCUBATOR = Path(__file__).resolve().parents[2] / "examples" / "incubator"


def contestants_of(peers: str) -> list[Contestant]:
    """Contestants by their names, separated by commas.

    Raises:
        SetupError: a name is unknown or there is none.
    """
    names = list(dict.fromkeys(name.strip() for name in peers.split(",") if name.strip()))
    unknown = [name for name in names if name not in BY_NAME]
    if unknown or not names:
        message = f"--peers {peers}: choose among {','.join(BY_NAME)}"
        raise SetupError(message)
    return [BY_NAME[name] for name in names]


async def measure(
    contestants: Sequence[Contestant], workload: Workload, *, repeat: int, headers: bool, folder: Path | None = None
) -> list[Result]:
    """Run the contest.

    Args:
        contestants: Who takes part; they take turns, so that a busy spell of the machine hits all.
        workload: What everybody reads.
        repeat: Runs of each.
        headers: Whether records carry the two headers that a bridge adds.
        folder: For everything that is written; a temporary one when None.

    Raises:
        SetupError: Kafka can't be had, or a contestant failed.
    """
    if not INCUBATOR.is_dir():
        message = f"{INCUBATOR} is not there: run from a clone of the repository"
        raise SetupError(message)
    runs: dict[str, list[Finished]] = {contestant.name: [] for contestant in contestants}
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twinstream-bench-")))
        shown = stack.enter_context(Stages())
        shown.begin("embedded Kafka", 1)
        async with EmbeddedKafka(folder, port=0) as kafka:
            options = KafkaOptions(kafka.bootstrap_servers)
            contest = Contest(options, read_folder(INCUBATOR), workload, headers, folder / "runs", shown.begin)
            for number in range(repeat):
                shown.round = f"{number + 1}/{repeat}"
                for contestant in contestants:
                    runs[contestant.name].append(await contest.run(contestant))
    return [Result(contestant.name, contestant.label, tuple(runs[contestant.name])) for contestant in contestants]


class Stages:
    """Progress on standard error: a bar at a terminal, a line per stage elsewhere."""

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

    def begin(self, title: str, size: int) -> Callable[[int], None]:
        """Show a new stage in place of the one before; call what it returns with how far it is."""
        title = f"{self.round} {title}".strip()
        if not self._console.is_terminal:
            self._console.print(title)
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        task = self._progress.add_task(title, total=size)
        return lambda done: self._progress.update(task, completed=done)
