"""Files that a viewer drops on a page, in a folder of their own while they are looked at."""

import base64
import binascii
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path, PurePosixPath
from typing import Any

from nicegui.element import Element

from infra.console.shell import tell

FILES_LIMIT = 4096

Received = Callable[[Path, list[Path]], Awaitable[None]]
"""Called with the folder and the files in it; both are gone afterwards."""


class DropZone(Element, component="static/drop_zone.js"):
    """Takes files, or a folder.

    Args:
        words: What to drop here.
        choose: What the button says.
        received: Called when all have arrived.
        accept: Kinds of files, as in HTML.
        folders: Whether a folder can be chosen.
        limit_bytes: Of all files together.
        refused: Why this viewer may drop nothing, `""` for one who may.
    """

    def __init__(
        self,
        words: str,
        choose: str,
        received: Received,
        *,
        accept: str = "",
        folders: bool = False,
        limit_bytes: int = 16 * 1024 * 1024,
        refused: str = "",
    ) -> None:
        super().__init__()
        self._props.update(text=words, choose=choose, accept=accept, folders=folders, limit=limit_bytes)
        self._props["refused"] = refused
        self._limit_bytes = limit_bytes
        self._received = received
        self._folder: Path | None = None
        self._files: list[Path] = []
        self._bytes = 0
        self.on("begin", self._begin)
        self.on("piece", self._piece)
        self.on("end", self._end)
        self.on("toolarge", lambda event: self._refuse(int(event.args)))
        self.client.on_delete(self._drop)

    def _begin(self, event: Any) -> None:  # noqa: ANN401 - of NiceGUI
        self._drop()
        try:
            names = [_safe(str(item["path"])) for item in event.args]
        except (ValueError, TypeError, KeyError):
            self._refuse(-1)
            return
        if not 0 < len(names) <= FILES_LIMIT:
            self._refuse(-1)
            return
        self._folder = Path(tempfile.mkdtemp(prefix="twinstream-console-"))
        self._files = [self._folder / name for name in names]
        for file in self._files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        self.run_method("next")

    def _piece(self, event: Any) -> None:  # noqa: ANN401 - of NiceGUI
        if self._folder is None:
            return
        try:
            file = self._files[int(event.args["at"])]
            data = base64.b64decode(event.args["data"], validate=True)
        except (ValueError, IndexError, KeyError, TypeError, binascii.Error):
            self._refuse(-1)
            return
        self._bytes += len(data)
        if self._bytes > self._limit_bytes:
            self._refuse(self._bytes)
            return
        with file.open("ab") as open_file:
            open_file.write(data)
        self.run_method("next")

    async def _end(self, _: object) -> None:
        folder, files, self._folder = self._folder, self._files, None
        self._bytes = 0
        if folder is not None:
            try:
                await self._received(folder, files)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _refuse(self, size_bytes: int) -> None:
        self._drop()
        limit = f"{self._limit_bytes / 2**20:.0f} MiB"
        if size_bytes > 0:
            tell(f"That is {size_bytes / 2**20:.1f} MiB; at most {limit} are taken here.", bad=True)
        else:
            tell("The files could not be taken. Try again.", bad=True)

    def _drop(self) -> None:
        folder, self._folder, self._bytes = self._folder, None, 0
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or len(name) > 500 or "\0" in name:  # noqa: PLR2004
        message = f"{name!r} is no name of a file in a folder"
        raise ValueError(message)
    return path
