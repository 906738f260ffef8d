"""SecantusDB, which stands in for MongoDB: it speaks its protocol over the same storage engine.

It is installed into an environment of its own in the cache (`scripts/servers`) and talked to over its port only.
"""

from pathlib import Path

from infra.embedded.cache import cache_dir
from infra.embedded.documents import EmbeddedDocuments
from infra.embedded.ports import LOOPBACK
from schemas.errors import SetupError

SECANTUS_VERSION = "0.7.0b3"


def find_secantus() -> Path | None:
    """The server's program, if it is installed."""
    program = cache_dir() / f"secantus-{SECANTUS_VERSION}" / "bin" / "secantusd-py"
    return program if program.is_file() else None


class Secantus(EmbeddedDocuments):
    """One SecantusDB server."""

    name = "secantus"
    label = "SecantusDB"
    port_remedy = "another port"

    async def _command(self) -> list[str]:
        program = find_secantus()
        if program is None:
            message = "SecantusDB is not installed: run scripts/servers"
            raise SetupError(message)
        configuration = self._folder / "secantusd.toml"
        configuration.touch()  # keeps it from looking for one elsewhere
        return [
            *(str(program), "--config", str(configuration)),
            *("--host", LOOPBACK, "--port", str(self.port)),
            *("--storage-path", str(self._folder / "storage")),
            *("--cache-size", "128M", "--log-level", "WARNING", "--standalone"),
        ]
