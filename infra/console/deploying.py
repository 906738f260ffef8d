"""Deploying what was dropped on a page: check it apart, then put it into force, saying what happens."""

import asyncio
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError

from infra.authoring.checking import examine_apart
from infra.deployment.asking import NoAnswerError
from infra.deployment.deployer import deploy
from infra.deployment.telling import Telling
from infra.settings import Settings
from schemas.bundle import BUNDLE_LIMIT_BYTES, FILES_LIMIT, read_folder
from schemas.definition_file import FILE
from schemas.deployment import Deployment
from schemas.errors import DefinitionError, SetupError

WHO = "console"
_TIMEOUT_S = 180.0

Say = Callable[[str], None]
"""Shows how it goes on."""


class RefusedError(Exception):
    """It was not deployed; nothing has changed.

    Attributes:
        problems: Every fault: `file`, `line`, `path`, `message`, `remedy`.
    """

    def __init__(self, words: str, problems: list[dict[str, Any]] | None = None) -> None:
        super().__init__(words)
        self.problems = problems or []


class _Saying(Telling):
    def __init__(self, say: Say) -> None:
        super().__init__()
        self._say = say

    def stage(self, text: str) -> None:
        """Show it."""
        self._say(text)


async def deploy_files(
    settings: Settings, folder: Path, files: list[Path], say: Say, who: str = WHO
) -> tuple[Deployment, list[str]]:
    """Deploy a folder, or a zip of one.

    Args:
        settings: Where Kafka is.
        folder: Where the files are.
        files: They.
        say: Hears how it goes on.
        who: Who deploys, for the history.

    Returns:
        What is in force, and notes.

    Raises:
        RefusedError: it has faults, or could not be put into force.
    """
    found = await asyncio.to_thread(_type_folder, folder, files)
    say("checking and compiling it")
    checked = await asyncio.to_thread(examine_apart, found)
    if checked.problems:
        problems = [
            {"file": one.file, "line": one.line, "path": one.path, "message": one.message, "remedy": one.remedy}
            for one in checked.problems
        ]
        raise RefusedError(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}: nothing was deployed", problems)
    telling = _Saying(say)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            deployment = await deploy(settings, read_folder(found), who=who, telling=telling)
    except DefinitionError as error:
        problems = [
            {"file": one.file, "line": one.line, "path": one.path, "message": one.message, "remedy": one.remedy}
            for one in error.problems
        ]
        raise RefusedError("it does not fit what is in force: nothing was deployed", problems) from None
    except TimeoutError:
        raise RefusedError(
            f"it was not in force within {_TIMEOUT_S:.0f} s; the log of the api role says more"
        ) from None
    except (NoAnswerError, SetupError, KafkaError) as error:
        raise RefusedError(str(error) or type(error).__name__) from None
    return deployment, [*checked.notes, *telling.notes]


def _type_folder(folder: Path, files: list[Path]) -> Path:
    """The folder that holds the definition, unpacked where a zip was given."""
    if len(files) == 1 and files[0].suffix.lower() == ".zip":
        _unzip(files[0], folder / "unzipped")
    places = sorted((found.parent for found in folder.rglob(FILE)), key=lambda place: len(place.parts))
    if not places:
        raise RefusedError(f"there is no {FILE} in it: drop a twin type's folder, or a zip of one")
    if len(places) > 1 and len(places[0].parts) == len(places[1].parts):
        raise RefusedError(f"there are {len(places)} folders with a {FILE} in it: drop one at a time")
    return places[0]


def _unzip(file: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            size_bytes = sum(member.file_size for member in members)
            if len(members) > FILES_LIMIT or size_bytes > BUNDLE_LIMIT_BYTES:
                limit = f"{FILES_LIMIT} files and {BUNDLE_LIMIT_BYTES // 2**20} MiB"
                raise RefusedError(f"the zip holds {len(members)} files, {size_bytes / 2**20:.1f} MiB; at most {limit}")
            for member in members:
                place = (target / member.filename).resolve()
                if not place.is_relative_to(target.resolve()):
                    raise RefusedError(f"the zip names a file outside of its folder: {member.filename[:80]}")
                place.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed:
                    place.write_bytes(packed.read(BUNDLE_LIMIT_BYTES))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise RefusedError(f"the zip can't be read: {error}") from None
