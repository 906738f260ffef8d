"""The secret by which the owner of the data directory is let in: a file that only the owner may read."""

import secrets
from pathlib import Path

from infra.put_file import PRIVATE, put_file
from infra.registry import RUN_FOLDER

FILE = "api-token"
_BYTES = 32


def publish(data_dir: Path) -> str:
    """Write a fresh secret for this run of the API; return it."""
    path = data_dir / RUN_FOLDER / FILE
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret = secrets.token_urlsafe(_BYTES)
    put_file(path, secret, mode=PRIVATE)
    return secret


def withdraw(data_dir: Path, secret: str) -> None:
    """Remove the file, unless another API put its own in place meanwhile."""
    if local_secret(data_dir) == secret:
        (data_dir / RUN_FOLDER / FILE).unlink(missing_ok=True)


def local_secret(data_dir: Path) -> str:
    """What lets the owner of the data directory in; `""` when there is none, or it may not be read."""
    try:
        return (data_dir / RUN_FOLDER / FILE).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
