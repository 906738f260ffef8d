"""What is measured: the jobs, and who does them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.bench.peers import BENCHMARKS, KAFKA_STREAMS, QUIX, ROOT, Environment
from schemas.errors import SetupError

STATISTICS, INCUBATOR = "statistics", "incubator"

INCUBATOR_FOLDER = ROOT / "examples" / "incubator"
FOLDERS = {STATISTICS: BENCHMARKS / "statistics", INCUBATOR: INCUBATOR_FOLDER}
"""Twin type of each job."""

_CONTESTANTS = "infra.bench.contestants"


@dataclass(frozen=True, slots=True)
class Contestant:
    """A program that does the jobs.

    Attributes:
        name: In tables and JSON.
        label: What it is, with what it promises.
        program: Module of `infra.bench.contestants`, or a file.
        jobs: Those that it does.
        most_records: It gets no more than these; slow ones need not take all.
        warm_up: So many records go before those that count, for one that compiles while it runs.
        state: How it keeps its state, for reports.
        changelog: Topic of its state, with `{group}` and `{topic}` in it; none for one whose state nothing keeps.
        environment: What it runs in, this one when None.
        argument: For the program, after the job's file.
        further: Whether quick runs go without it.
        is_engine: Whether it reads the twin type's own input topic.
    """

    name: str
    label: str
    program: str | Path
    jobs: tuple[str, ...] = (STATISTICS, INCUBATOR)
    most_records: int = sys.maxsize
    warm_up: int = 0
    state: str = ""
    changelog: str = ""
    environment: Environment | None = None
    argument: str = ""
    further: bool = False
    is_engine: bool = False

    @property
    def is_installed(self) -> bool:
        """Whether it can run."""
        return self.environment is None or self.environment.is_there

    def command(self, file: Path) -> list[str]:
        """What does the job that `file` tells of."""
        python = str(QUIX.folder / "venv" / "bin" / "python") if self.environment is QUIX else sys.executable
        program = [str(self.program)] if isinstance(self.program, Path) else ["-m", f"{_CONTESTANTS}.{self.program}"]
        return [python, *program, str(file), *([self.argument] if self.argument else [])]


CONTESTANTS = (
    Contestant(
        "twinstream",
        "type worker, exactly once",
        "engine",
        state="rows in memory, those that changed to the changelog in the transaction of each flush, twice a second",
        is_engine=True,
    ),
    Contestant(
        "faust",
        "stock Faust, agent and Table, at least once",
        "stock_faust",
        most_records=120_000,
        state="a Table in memory, a changelog record for each event",
        changelog="{group}-state-changelog",
    ),
    Contestant(
        "faust-take",
        "stock Faust, take(1000), state kept nowhere",
        "stock_faust_take",
        jobs=(STATISTICS,),
        state="a dictionary that nothing keeps",
        further=True,
        most_records=120_000,
    ),
    Contestant(
        "quix",
        "Quix Streams, RocksDB and changelog, at least once",
        BENCHMARKS / "quix" / "peer.py",
        most_records=500_000,
        state="RocksDB and changelog as by default, one record per twin and commit, every 5 s",
        changelog="changelog__{group}--{topic}--default",
        environment=QUIX,
    ),
    Contestant(
        "kafka-streams",
        "Kafka Streams (Java), store in memory and changelog, at least once",
        "kafka_streams",
        warm_up=1_000_000,
        state="store in memory, 256 MB cache, one changelog record per twin and commit, every second",
        changelog="{group}-state-changelog",
        environment=KAFKA_STREAMS,
        argument="at_least_once",
    ),
    Contestant(
        "kafka-streams-exactly-once",
        "Kafka Streams (Java), store in memory and changelog, exactly once",
        "kafka_streams",
        warm_up=1_000_000,
        state="store in memory, 256 MB cache, one changelog record per twin and commit, every 0.5 s",
        changelog="{group}-state-changelog",
        environment=KAFKA_STREAMS,
        argument="exactly_once_v2",
        further=True,
    ),
    Contestant("floor", "aiokafka getmany + msgspec, reads only", "floor", state="none"),
)
BY_NAME = {contestant.name: contestant for contestant in CONTESTANTS}


def jobs_of(job: str) -> tuple[str, ...]:
    """Jobs by what `--job` says.

    Raises:
        SetupError: it is none of them, or their twin types are not here.
    """
    if job not in {*FOLDERS, "both"}:
        message = f"--job {job}: choose {', '.join(FOLDERS)} or both"
        raise SetupError(message)
    chosen = tuple(FOLDERS) if job == "both" else (job,)
    for kind in chosen:
        if not FOLDERS[kind].is_dir():
            message = f"{FOLDERS[kind]} is not there: run from a clone of the repository"
            raise SetupError(message)
    return chosen


def contestants_of(peers: str) -> list[Contestant]:
    """Contestants by their names, separated by commas; `""` for all that are installed.

    Raises:
        SetupError: a name is unknown, there is none, or one is not installed.
    """
    names = list(dict.fromkeys(name.strip() for name in peers.split(",") if name.strip()))
    if not names:
        return [contestant for contestant in CONTESTANTS if contestant.is_installed]
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        message = f"--peers {peers}: choose among {','.join(BY_NAME)}"
        raise SetupError(message)
    chosen = [BY_NAME[name] for name in names]
    if missing := [contestant.name for contestant in chosen if not contestant.is_installed]:
        message = f"not installed: {', '.join(missing)}; `twinstream bench peers --install` does it"
        raise SetupError(message)
    return chosen


def environments_of(contestants: Sequence[Contestant]) -> list[Environment]:
    """What contestants run in, beside this environment."""
    return list(dict.fromkeys(one.environment for one in contestants if one.environment is not None))
