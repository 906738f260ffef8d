"""Names of members of consumer groups: the same after a restart, and no two alike at the same time."""

import fcntl
import os
import socket
import uuid
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.messages import stable_id

_IDENTITY = "instance-id"
_DIGITS = 16


class Membership:
    """Holds a name for a role of this data directory on this machine; the system lets go of it however we end.

    A second process of the same role, here or on another machine, gets another name.
    """

    def __init__(self, data_dir: Path, role: str) -> None:
        self._data_dir = data_dir
        self._role = role.replace(":", "-")
        self._handle: int | None = None
        self.name = ""

    def __enter__(self) -> Self:
        """Take the first name that is free."""
        folder = self._data_dir / "run"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in count():
            handle = os.open(folder / f"{self._role}.{number}.member", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(handle)
                continue
            self._handle = handle
            # A copy of the data directory on another machine is somebody else.
            owner = stable_id(socket.gethostname(), _identity(self._data_dir / _IDENTITY))[:_DIGITS]
            self.name = f"{self._role}-{owner}-{number}"
            break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _identity(path: Path) -> str:
    """What tells this data directory from every other; made once."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(uuid.uuid4().hex, "ascii")
    try:
        os.link(fresh, path)  # only the first one stays
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return path.read_text("ascii")
