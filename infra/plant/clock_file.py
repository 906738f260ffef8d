"""Simulated time from one start of a plant to the next."""

from pathlib import Path

from infra.put_file import put_file


class ClockFile:
    """Where simulated time got to, so that a faster plant does not go back in time when it is started again.

    Args:
        path: The file, or None to begin at the present time.
        ahead_ns: Written ahead of the simulated time, for a plant that is killed.
    """

    def __init__(self, path: Path | None, ahead_ns: int) -> None:
        self._path, self._ahead_ns, self._reserved_ns = path, ahead_ns, 0

    def start_ns(self, now_ns: int) -> int:
        """Simulated time to begin at."""
        reached = self._path.read_text() if self._path and self._path.is_file() else ""
        return max(now_ns, int(reached) if reached.strip().isdigit() else 0)

    def reach(self, time_ns: int, *, last: bool = False) -> None:
        """Note a simulated time."""
        if self._path and (last or time_ns > self._reserved_ns):
            self._reserved_ns = time_ns if last else time_ns + self._ahead_ns
            put_file(self._path, str(self._reserved_ns))
