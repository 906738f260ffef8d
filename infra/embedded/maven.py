"""Fetch the jars of a lock file into a folder; run as a child process, so that a stalled registry can be given up.

Usage: `python -m infra.embedded.maven LOCK_FILE FOLDER`. A line of the lock file is the SHA-256 of a jar and its Maven
coordinates, `group:artifact:version`. `TWINSTREAM_MAVEN_URL` names a mirror, `REQUESTS_CA_BUNDLE` or `SSL_CERT_FILE`
the authorities to trust. Exit code 1 with one line on standard error when a jar can't be had or is not the one that was
locked, `UNTRUSTED` when the registry's certificate is not trusted.
"""

import hashlib
import os
import shutil
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
from jgo.maven import MavenContext

from infra.embedded.jars import UNTRUSTED

_DOWNLOADS = 4
_READ_TIMEOUT_S = 10


class LockedJar(NamedTuple):
    """One jar of a lock file.

    Attributes:
        sha256: Hexadecimal digest of the file.
        group: Maven group id.
        artifact: Maven artifact id.
        version: Exact version.
    """

    sha256: str
    group: str
    artifact: str
    version: str


def read_lock(path: Path) -> tuple[LockedJar, ...]:
    """The jars that a lock file names, in its order, which is the order on the class path."""
    lines = (line.split() for line in path.read_text("utf-8").splitlines() if line)
    return tuple(LockedJar(sha256, *coordinates.split(":")) for sha256, coordinates in lines)


def fetch(jars: tuple[LockedJar, ...], folder: Path) -> None:
    """Put every jar into `folder`, checked.

    Raises:
        ValueError: A jar has another digest than the locked one.
        requests.RequestException: The registry can't be reached.
        RuntimeError: The registry does not have the jar.
    """
    mirror = os.environ.get("TWINSTREAM_MAVEN_URL")
    context = MavenContext(
        repo_cache=folder / "download",
        remote_repos={"mirror": mirror} if mirror else None,
        timeout=_READ_TIMEOUT_S,
    )

    def fetch_one(jar: LockedJar) -> None:
        source = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        if hashlib.sha256(source.read_bytes()).hexdigest() != jar.sha256:
            message = f"{source.name} is not the file that was locked"
            raise ValueError(message)
        source.replace(folder / source.name)

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        pending = [pool.submit(fetch_one, jar) for jar in jars]
        try:
            for download in pending:
                download.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    shutil.rmtree(folder / "download")


def _cause(error: BaseException) -> BaseException:
    """The innermost of the errors that an HTTP client wraps into each other."""
    while inner := next(
        (
            one
            for one in (getattr(error, "reason", None), *error.args, error.__cause__)
            if isinstance(one, BaseException)
        ),
        None,
    ):
        error = inner
    return error


def _told(error: Exception) -> str:
    """Why a download failed, without the many words of the client about itself."""
    cause = _cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        text = f"the certificate can't be verified: {cause.verify_message}"
    else:
        text = f"{type(cause).__name__}: {cause}"
    url = getattr(error.request, "url", None) if isinstance(error, requests.RequestException) else None
    host = urlsplit(url).hostname if isinstance(url, str) else None
    return f"{host}: {text}" if host else text


def main() -> int:
    """Run from the command line."""
    lock_file, folder = map(Path, sys.argv[1:])
    # The HTTP client heeds only its own variable; that of OpenSSL is as well known.
    if os.environ.get("SSL_CERT_FILE"):
        os.environ.setdefault("REQUESTS_CA_BUNDLE", os.environ["SSL_CERT_FILE"])
    try:
        fetch(read_lock(lock_file), folder)
    except (requests.RequestException, RuntimeError, ValueError, OSError) as error:
        sys.stderr.write(f"{_told(error)}\n")
        # Not sys.exit(): a download that is stuck in its thread must not hold the answer back.
        sys.stderr.flush()
        os._exit(UNTRUSTED if isinstance(_cause(error), ssl.SSLCertVerificationError) else 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
