"""A small disk that can be filled, and a server on it."""

import asyncio
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.bench.servers.influxdb import InfluxDb
from schemas.errors import SetupError

_BLOCK_BYTES = 64 * 1024
_HOLD = 'mount -t tmpfs -o size="$1"m tmpfs "$0" && echo held && exec sleep infinity'


class SmallDisk:
    """A tmpfs in a mount namespace of its own while entered, so that nobody needs to be root.

    Args:
        folder: Where it is mounted, for those inside.
        size_mb: Its size.
    """

    def __init__(self, folder: Path, size_mb: int) -> None:
        self.folder, self._size_mb = folder, size_mb
        self._holder: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        """Mount it.

        Raises:
            SetupError: the system permits no user namespaces.
        """
        if shutil.which("unshare") is None or shutil.which("nsenter") is None:
            raise SetupError("a small disk needs unshare and nsenter of util-linux")
        self.folder.mkdir(parents=True)
        inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _HOLD]
        self._holder = subprocess.Popen(  # noqa: ASYNC220 - it outlives this loop
            [*inside, str(self.folder), str(self._size_mb)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._holder.stdout is not None
        if await asyncio.to_thread(self._holder.stdout.readline) != b"held\n":
            raise SetupError("a small disk needs user namespaces, which this system does not permit")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it go with all that it holds."""
        holder = self._held()
        holder.kill()
        holder.wait(10)
        if holder.stdout is not None:
            holder.stdout.close()

    def inside(self, command: list[str]) -> list[str]:
        """What runs a command where the disk is mounted."""
        return ["nsenter", f"--target={self._held().pid}", "--user", "--mount", "--preserve-credentials", *command]

    def fill(self) -> None:
        """Leave no byte free."""
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(_BLOCK_BYTES)) == _BLOCK_BYTES:
                    pass
            except OSError:
                return

    def free(self) -> None:
        """Give the space back."""
        self._ballast.unlink()

    @property
    def _ballast(self) -> Path:
        return Path(f"/proc/{self._held().pid}/root{self.folder}/ballast")

    def _held(self) -> subprocess.Popen[bytes]:
        assert self._holder is not None
        return self._holder


class SmallInfluxDb(InfluxDb):
    """An InfluxDB whose folder is on a small disk."""

    def __init__(self, disk: SmallDisk, port: int) -> None:
        super().__init__(disk.folder, port)
        self._disk = disk

    async def _command(self) -> list[str]:
        make_folder = ["sh", "-c", 'mkdir -p "$0" && exec "$@"', str(self._folder)]
        return self._disk.inside([*make_folder, *await super()._command()])
