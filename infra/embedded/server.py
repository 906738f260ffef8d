"""What every embedded server offers to whoever runs it."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType


class EmbeddedServer(Protocol):
    """A server in a child process, on the loopback address, with its data below a data directory.

    Entering returns when a client can use it and raises `schemas.errors.SetupError` with one line that says what to do
    when that can't be; leaving stops it cleanly and returns within 15 s. A second start with the same data directory
    finds what the first one kept.
    """

    @property
    def name(self) -> str:
        """What it is, for people and status."""

    @property
    def url(self) -> str:
        """Where clients find it."""

    @property
    def port(self) -> int:
        """The port it listens on; never 0 once it was entered."""

    @property
    def pid(self) -> int:
        """Process id of the server itself."""

    @property
    def alive(self) -> bool:
        """Whether the process runs."""

    @property
    def log_path(self) -> Path:
        """Where it writes what it has to say."""

    async def ended(self) -> int:
        """Wait until the process has ended and return its exit code; the owner decides what follows."""

    async def __aenter__(self) -> Self:
        """Start it and wait until a client can use it."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        """Stop it."""
