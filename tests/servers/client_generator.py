"""openapi-python-client, which makes typed clients from OpenAPI documents, in an environment of its own."""

import os
import subprocess
from pathlib import Path

from infra.embedded.cache import cache_dir

VERSION = "0.29.1"


def find_generator() -> Path | None:
    """The program, if `scripts/servers` installed it."""
    program = cache_dir() / f"openapi-python-client-{VERSION}" / "bin" / "openapi-python-client"
    return program if program.is_file() else None


def generate(document: Path, package: Path) -> None:
    """Make the package of a client, as docs/http.md says."""
    program = find_generator()
    assert program is not None
    command: list[str | Path] = [
        program,
        "generate",
        "--path",
        document,
        "--output-path",
        package,
        "--meta",
        "none",
        "--fail-on-warning",
    ]
    # It formats what it makes by the ruff beside it.
    environment = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
