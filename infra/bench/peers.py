"""Peers that are no part of the product: each in an environment of its own below the cache directory."""

import asyncio
import hashlib
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.cache import cache_dir
from schemas.clock import SystemClock
from schemas.errors import SetupError

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"

_TIMEOUT_S = 600.0
_KAFKA_STREAMS = BENCHMARKS / "kafka-streams"
_QUIX = BENCHMARKS / "quix" / "requirements.txt"
_TELEGRAF_VERSION = "1.37.2"
_TELEGRAF_PLUGINS = ("inputs.mqtt_consumer", "outputs.kafka", "parsers.value", "serializers.template")


@dataclass(frozen=True)
class Environment:
    """What a peer runs in.

    Attributes:
        name: Of its folder, without the hash of what is installed.
        version: Of the peer itself.
        says: What is installed, for people.
        needs: Programs that have to be on the path.
        sources: Files that the installation is made from; others make another one. Without any, the version does.
        steps: Commands that fill a folder, one after another.
    """

    name: str
    version: str
    says: str
    needs: tuple[str, ...]
    sources: tuple[Path, ...]
    steps: Callable[[Path], tuple[tuple[str, ...], ...]]

    @property
    def folder(self) -> Path:
        """Where it is, or will be."""
        digest = hashlib.blake2b(digest_size=6)
        for source in self.sources:
            digest.update(source.read_bytes())
        if not self.sources:
            digest.update(self.version.encode())
        return cache_dir() / "peers" / f"{self.name}-{digest.hexdigest()}"

    @property
    def is_there(self) -> bool:
        """Whether it was installed."""
        return (self.folder / "complete").exists()

    @property
    def lacks(self) -> list[str]:
        """Programs that it needs and this machine does not have."""
        return [program for program in self.needs if shutil.which(program) is None]

    async def install(self) -> None:
        """Install it, unless it is there.

        Raises:
            SetupError: a program that it needs is missing, or a registry can't be reached; nothing is left behind.
        """
        if self.is_there:
            return
        if self.lacks:
            message = f"{self.name} needs {' and '.join(self.lacks)} on the path"
            raise SetupError(message)
        folder = self.folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            for command in self.steps(folder):
                await _run(self.name, command)
            (folder / "complete").touch()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


async def install_all(
    told: Callable[[str], None], environments: Sequence[Environment], budget_s: float = math.inf
) -> list[str]:
    """Install what is not there; what can't be had keeps nothing else back. Returns what went wrong.

    Args:
        told: Called with what is being done.
        environments: To install, in order.
        budget_s: No longer than this in all.
    """
    clock = SystemClock()
    end_s = clock.monotonic_s() + budget_s
    failed = []
    for environment in environments:
        if environment.is_there:
            continue
        told(f"installing {environment.says} into {environment.folder}")
        try:
            async with asyncio.timeout(max(0.0, min(_TIMEOUT_S, end_s - clock.monotonic_s()))):
                await environment.install()
        except TimeoutError:
            failed.append(f"{environment.name} could not be installed in time")
        except SetupError as error:
            failed.append(str(error))
    return failed


async def _run(name: str, command: tuple[str, ...]) -> None:
    with tempfile.TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=said, stderr=said, env=os.environ | {"PYTHONPATH": ""}
        )
        try:
            code = await asyncio.wait_for(process.wait(), _TIMEOUT_S)
        except BaseException as error:
            process.kill()
            await process.wait()
            if not isinstance(error, TimeoutError):
                raise
            code = -1
        if code:
            said.seek(0)
            tail = said.read().decode(errors="replace").strip()[-1500:]
            message = f"{name} could not be installed ({command[0]} ended with {code}):\n{tail}"
            raise SetupError(message)


def _venv(folder: Path) -> tuple[tuple[str, ...], ...]:
    python = str(folder / "venv" / "bin" / "python")
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet", "install")
    return (
        (sys.executable, "-m", "venv", str(folder / "venv")),
        (*pip, "--require-hashes", "--only-binary", ":all:", "--requirement", str(_QUIX)),
    )


def _maven(folder: Path) -> tuple[tuple[str, ...], ...]:
    # The repository is ours, so that nothing of the user's is written to; it goes on to serve the next version's build.
    repository = f"-Dmaven.repo.local={cache_dir() / 'peers' / 'maven-repository'}"
    # In a copy: two builds in one folder would disturb each other, and sources may lie where nobody may write.
    work = folder / "source"
    shutil.copytree(_KAFKA_STREAMS, work)
    build = ("mvn", "--quiet", "--batch-mode", repository, "--file", str(work / "pom.xml"))
    return ((*build, f"-Dpeer.target={folder / 'jars'}", "package"),)


def _go(folder: Path) -> tuple[tuple[str, ...], ...]:
    # The plug-ins that take part and no others; sources and what was compiled go when it is there.
    made = folder / "made"
    variables = (f"GOBIN={folder / 'bin'}", f"GOMODCACHE={made / 'modules'}", f"GOCACHE={made / 'cache'}")
    tags = f"-tags=custom,{','.join(_TELEGRAF_PLUGINS)}"
    program = f"github.com/influxdata/telegraf/cmd/telegraf@v{_TELEGRAF_VERSION}"
    return (
        ("env", *variables, "go", "install", "-modcacherw", "-trimpath", "-ldflags=-s -w", tags, program),
        ("rm", "-r", str(made)),
    )


QUIX = Environment(
    "quix",
    "3.28.1",
    "quixstreams 3.28.1 from PyPI, in a virtual environment (benchmarks/quix/requirements.txt)",
    (),
    (_QUIX,),
    _venv,
)
KAFKA_STREAMS = Environment(
    "kafka-streams",
    "4.3.1",
    "Kafka Streams 4.3.1 from Maven Central, with benchmarks/kafka-streams compiled against it",
    ("java", "javac", "mvn"),
    (_KAFKA_STREAMS / "pom.xml", *sorted(_KAFKA_STREAMS.glob("src/main/java/bench/*.java"))),
    _maven,
)
TELEGRAF = Environment(
    "telegraf",
    _TELEGRAF_VERSION,
    f"Telegraf {_TELEGRAF_VERSION} from Go's module proxy, compiled with its plug-ins for MQTT and Kafka",
    ("go",),
    (),
    _go,
)
ENVIRONMENTS = (QUIX, KAFKA_STREAMS, TELEGRAF)
