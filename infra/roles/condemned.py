"""Versions that a type's process died of: kept in the data directory, so that no start of the worker forgets them."""

import contextlib
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec
import structlog

from infra.put_file import put_file

log = structlog.get_logger(__name__)

_FILE = "condemned.json"


class Condemned:
    """Content hashes by type, each of a version that a partition may be under and that is stepped no more."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / _FILE

    def of(self, type_name: str) -> frozenset[str]:
        """Those of a type."""
        return frozenset(self._read().get(type_name, ()))

    def types(self) -> list[str]:
        """Types that have any."""
        return sorted(self._read())

    def absolve(self, type_name: str, in_force: str) -> None:
        """Keep none of a type but the version in force: no partition is under another any more.

        Whoever replays from the beginning has every stretch stepped by the version of its time again.
        """
        found = self._read()
        kept = {in_force}.intersection(found.get(type_name, ()))
        self._write(found, {name: set(hashes) for name, hashes in found.items()} | {type_name: kept})

    def note(
        self,
        given_up: Collection[str],
        running: Mapping[str, str],
        wanted: Mapping[str, str],
        deployed: Collection[str],
    ) -> None:
        """Take in what was seen at a look.

        Args:
            given_up: Types whose process died too often.
            running: Version of each type at the look before.
            wanted: Version of each type now. One that is wanted anew gets another chance.
            deployed: All types in force, also those of other workers; nothing is kept of others.
        """
        before = self._read()
        found = {name: set(hashes) for name, hashes in before.items() if name in deployed}
        for name in given_up:
            if name in running and name in deployed:
                found.setdefault(name, set()).add(running[name])
        for name, content in wanted.items():
            if running.get(name) != content:
                found.get(name, set()).discard(content)
        self._write(before, found)

    def _write(self, before: Mapping[str, list[str]], found: Mapping[str, set[str]]) -> None:
        after = {name: sorted(hashes) for name, hashes in sorted(found.items()) if hashes}
        if after != before:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            put_file(self._path, msgspec.json.encode(after))

    def _read(self) -> dict[str, list[str]]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, list[str]])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            # What somebody may still make sense of is not written over.
            aside = self._path.with_suffix(".unreadable")
            with contextlib.suppress(OSError):
                self._path.replace(aside)
            log.warning("versions that are not to be stepped can't be read", error=str(error), kept_as=str(aside))
            return {}
