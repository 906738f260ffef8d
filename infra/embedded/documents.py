"""A document server that speaks MongoDB's protocol, embedded: nx-27017 over SQLite, in a child process."""

import asyncio
import os
import sys
from pathlib import Path

from infra.answering import answers
from infra.embedded.ports import LOOPBACK
from infra.embedded.server import EmbeddedServer

_NX27017 = Path(__file__).with_name("documents_nx27017.py")


class EmbeddedDocuments(EmbeddedServer):
    """A document server on the loopback address, with one SQLite file per database.

    Plain queries, upserts and bulk writes behave as in MongoDB; `$lookup`, `arrayFilters`, partial unique indexes,
    `$jsonSchema` and pipeline updates do not.

    Args:
        data_dir: Data directory of the instance; the server's own part is `documents/`, its log file
            `logs/documents.log`.
        port: Where clients connect; 0 = any free one.
    """

    name = "documents"
    label = "the document server"
    port_remedy = "metadata.url of a server of your own"

    def __init__(self, data_dir: Path, port: int = 0) -> None:
        super().__init__(data_dir, port)

    @property
    def url(self) -> str:
        """Where MongoDB clients find it."""
        return f"mongodb://{LOOPBACK}:{self.port}"

    async def _command(self) -> list[str]:
        databases = self._folder / "databases"
        databases.mkdir(exist_ok=True)
        # It refuses to start while the process that an old file names exists, whatever that is by now.
        pid_file = self._folder / "server.pid"
        pid_file.unlink(missing_ok=True)
        return [
            *(sys.executable, "-I", str(_NX27017)),
            *("--host", LOOPBACK, "--port", str(self.port)),
            *("--data-dir", str(databases)),
            *("--log-file", os.devnull),  # all of it comes over standard error too
            *("--pid-file", str(pid_file)),
        ]

    async def _answers(self) -> bool:
        """Whether a ping is answered."""
        return await asyncio.to_thread(answers, EmbeddedDocuments.name, self.port)
