"""A twin type's folder as one immutable bundle: bytes, content hash and chunks."""

import hashlib
import io
import lzma
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

from schemas.definition import Definition
from schemas.definition_file import FILE, Reading, examine, read_definition
from schemas.errors import DefinitionError, Problem
from schemas.left_out import definition_of, left_out

CHUNK_BYTES = 512 * 1024
BUNDLE_LIMIT_BYTES = 16 * 1024 * 1024
FILES_LIMIT = 4096
_ARCHIVE_LIMIT_BYTES = 2 * BUNDLE_LIMIT_BYTES
"""Of a bundle's files and what frames them."""

_MEMORY_BYTES = 64 * 1024 * 1024


class Bundle(msgspec.Struct, frozen=True):
    """Files of a twin type by relative POSIX path, and their content hash."""

    files: dict[str, bytes]
    hash: str

    def definition(self) -> Definition:
        """Read the bundle's `twin.yaml`.

        Raises:
            DefinitionError: with every fault.
        """
        return read_definition(_text(self.files))

    def examine(self) -> Reading:
        """Read as much of the bundle's `twin.yaml` as can be read.

        Raises:
            DefinitionError: it is no text.
        """
        return examine(_text(self.files))

    def pack(self) -> bytes:
        """A tar archive that is the same for the same files."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:xz", format=tarfile.USTAR_FORMAT, preset=1) as archive:
            for name in sorted(self.files):
                member = tarfile.TarInfo(name)
                member.size = len(self.files[name])
                archive.addfile(member, io.BytesIO(self.files[name]))
        return buffer.getvalue()

    def write(self, folder: Path) -> None:
        """Lay the files out under `folder`."""
        for name, content in self.files.items():
            target = folder / _safe(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_file() and target.read_bytes() == content:
                continue
            # Other processes may be reading it: they see all of a file or none of it.
            part = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}")
            part.write_bytes(content)
            part.replace(target)


def _inside(folder: Path) -> Iterator[tuple[Path, Path]]:
    """What is deployed of a folder, and its path there; in order."""
    definition = definition_of(folder)
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if not left_out(relative, definition):
            yield path, relative


def _name_fault(name: str) -> str:
    """What keeps a name from being the same on every machine; empty for nothing."""
    try:
        name.encode()
        tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT)
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    except ValueError:
        return "its path is too long"
    return ""


def bundle_of(files: dict[str, bytes]) -> Bundle:
    """A bundle with its content hash: SHA-256 over sorted names, lengths and contents."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return Bundle(files, digest.hexdigest())


def read_folder(folder: Path) -> Bundle:
    """Collect a twin type's folder.

    Raises:
        DefinitionError: there is no `twin.yaml`, a link leads outside, or it is too large.
    """
    if not (folder / FILE).is_file():
        there = "is no file" if (folder / FILE).exists() else f"not found in {folder}"
        raise DefinitionError([Problem(FILE, 1, "", there, "name a folder that holds a twin.yaml")])
    files: dict[str, bytes] = {}
    problems = []
    size = 0
    for path, relative in _inside(folder):
        if path.is_symlink():
            problems.append(Problem(relative.as_posix(), 1, "", "is a link", "put the file itself here"))
        elif path.is_file():
            if fault := _name_fault(relative.as_posix()):
                problems.append(Problem(os.fsencode(relative).decode(errors="replace"), 1, "", fault, "rename it"))
                continue
            if len(files) == FILES_LIMIT:
                limit = f"the folder holds more than {FILES_LIMIT} files"
                problems.append(Problem(relative.as_posix(), 1, "", limit, "keep large data out of it"))
                break
            size += path.stat().st_size
            if size > BUNDLE_LIMIT_BYTES:
                limit = f"the folder holds more than {BUNDLE_LIMIT_BYTES // 2**20} MiB"
                problems.append(Problem(relative.as_posix(), 1, "", limit, "keep large data out of it"))
                break
            try:
                files[relative.as_posix()] = path.read_bytes()
            except OSError as error:
                said = f"can't be read: {error.strerror}"
                problems.append(Problem(relative.as_posix(), 1, "", said, "give it to who runs this"))
    if problems:
        raise DefinitionError(problems)
    return bundle_of(files)


def unpack(data: bytes, expected_hash: str) -> Bundle:
    """Undo `Bundle.pack`, and check the hash.

    Raises:
        ValueError: the archive is damaged, unsafe or not what `expected_hash` names.
    """
    try:
        bundle = bundle_of(_unpacked(data, expected_hash))
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        message = f"bundle {expected_hash} is damaged: {error}"
        raise ValueError(message) from None
    if bundle.hash != expected_hash:
        message = f"bundle {expected_hash} has the hash {bundle.hash}"
        raise ValueError(message)
    return bundle


def _unpacked(data: bytes, name: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    size = 0
    with tarfile.open(fileobj=io.BytesIO(_decompressed(data, name)), mode="r:") as archive:
        for member in archive:
            size += member.size
            content = archive.extractfile(member) if member.isreg() else None
            if content is None or size > BUNDLE_LIMIT_BYTES:
                message = f"bundle {name}: {member.name!r} is no plain file or the bundle is too large"
                raise ValueError(message)
            files[str(_safe(member.name))] = content.read()
    return files


def _decompressed(data: bytes, name: str) -> bytes:
    """The archive, never more of it than one of ours can be, whatever the few bytes that were written swell to."""
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_BYTES)
    archive = decompressor.decompress(data, _ARCHIVE_LIMIT_BYTES)
    if not decompressor.eof:
        short = decompressor.needs_input
        message = f"bundle {name} {'is damaged: its end is missing' if short else 'is too large'}"
        raise ValueError(message)
    return archive


def chunks_of(data: bytes) -> list[bytes]:
    """Cut packed bytes into records of at most `CHUNK_BYTES`."""
    return [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)] or [b""]


def chunk_key(bundle_hash: str, index: int) -> bytes:
    """Key of a chunk in `twinstream.definitions`."""
    return f"bundle/{bundle_hash}/{index}".encode()


def _text(files: dict[str, bytes]) -> str:
    try:
        return files[FILE].decode()
    except UnicodeDecodeError as error:
        line = files[FILE].count(b"\n", 0, error.start) + 1
        said = f"not UTF-8: byte {files[FILE][error.start]:#04x}"
        raise DefinitionError([Problem(FILE, line, "", said, "save it as UTF-8")]) from None


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        message = f"unsafe path {name!r} in a bundle"
        raise ValueError(message)
    return path
