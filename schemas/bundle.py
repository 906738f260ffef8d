"""A twin type's folder as one immutable bundle: bytes, content hash and chunks."""

import hashlib
import io
import lzma
import tarfile
from pathlib import Path, PurePosixPath

import msgspec

from schemas.definition import Definition
from schemas.definition_file import FILE, Reading, examine, read_definition
from schemas.errors import DefinitionError, Problem

CHUNK_BYTES = 512 * 1024
BUNDLE_LIMIT_BYTES = 16 * 1024 * 1024
_LEFT_OUT = ("__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache")


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
            target.write_bytes(content)


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
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if any(part in _LEFT_OUT or part.startswith(".") for part in relative.parts):
            continue
        if path.is_symlink():
            problems.append(Problem(relative.as_posix(), 1, "", "is a link", "put the file itself here"))
        elif path.is_file():
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
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:xz") as archive:
        for member in archive:
            size += member.size
            content = archive.extractfile(member) if member.isreg() else None
            if content is None or size > BUNDLE_LIMIT_BYTES:
                message = f"bundle {name}: {member.name!r} is no plain file or the bundle is too large"
                raise ValueError(message)
            files[str(_safe(member.name))] = content.read()
    return files


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
