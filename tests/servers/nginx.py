"""nginx as an HTTPS proxy before the API, configured as docs/security.md says."""

import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from servers.certificates import make_certificates

from infra.embedded.ports import LOOPBACK, free_port

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
HOST = "twins.example.org"
"""As the documented configuration names it."""


def find_nginx() -> str | None:
    """The program of the system package `nginx`."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def documented() -> str:
    """The configuration that the documentation shows."""
    found = re.search(r"```nginx\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


class Nginx:
    """Runs while entered, and passes on to `api`.

    Args:
        folder: For its files.
        api: Base of the API, without TLS.
        port: Where it listens, on loopback.

    Attributes:
        url: Where it is reached.
        ca_file: Authority to trust.
    """

    def __init__(self, folder: Path, api: str, port: int = 0) -> None:
        self._folder = folder
        self._api = api
        self._port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"https://{LOOPBACK}:{self._port}"
        self.ca_file = folder / "ca.crt"

    def __enter__(self) -> Self:
        """Start, and wait until it listens."""
        configuration = self._folder / "nginx.conf"
        certificates = make_certificates(self._folder, HOST)
        site = documented()
        for documented_text, ours in (
            ("listen 443 ssl;", f"listen {LOOPBACK}:{self._port} ssl;"),
            (f"/etc/ssl/{HOST}.crt", str(certificates.certificate)),
            (f"/etc/ssl/{HOST}.key", str(certificates.key)),
            ("http://127.0.0.1:8080", self._api),
        ):
            assert documented_text in site, documented_text
            site = site.replace(documented_text, ours)
        # As root its workers would have no access to the folder; otherwise the line means nothing.
        scratch = [f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
        http = "\n".join(["access_log off;", *scratch, site])
        main = ["user root;", "daemon off;", "worker_processes 1;", "pid nginx.pid;", "error_log stderr;", "events {}"]
        configuration.write_text("\n".join([*main, "http {", http, "}", ""]), "utf-8")
        program = find_nginx()
        assert program is not None
        command = [program, "-p", str(self._folder), "-c", str(configuration), "-e", "stderr"]
        with (self._folder / "nginx.err").open("wb") as said:
            self._process = subprocess.Popen(command, stderr=said)
        deadline_s = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((LOOPBACK, self._port), 1).close()
            except OSError:
                running = self._process.poll() is None and time.monotonic() < deadline_s
                assert running, (self._folder / "nginx.err").read_text("utf-8")
                time.sleep(0.05)
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)
