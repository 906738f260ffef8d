"""One instance per data directory: a lock that ends with its process."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.errors import SetupError


class InstanceLock:
    """Holds `run/lock` in the data directory; the system lets go of it however the process ends."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._handle: int | None = None

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            SetupError: another instance has it, or the folder can't be written.
        """
        folder = self._data_dir / "run"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            message = f"data directory {self._data_dir} can't be written ({error.strerror}): choose another --data-dir"
            raise SetupError(message) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(handle, 20).decode(errors="replace").strip()
            os.close(handle)
            message = (
                f"data directory {self._data_dir} is used by another instance"
                f"{f' (pid {holder})' if holder else ''}: stop it, or choose another --data-dir"
            )
            raise SetupError(message) from None
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        self._handle = handle
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go."""
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None
