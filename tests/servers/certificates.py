"""A certificate authority of its own for TLS listeners of test servers."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """Files of one server.

    Attributes:
        ca_file: What clients trust.
        certificate: The server's, for `localhost`, 127.0.0.1 and what else was named.
        key: Its private key.
    """

    ca_file: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path, *hosts: str) -> Certificates:
    """Make an authority and one server certificate that holds for a day."""
    folder.mkdir(parents=True, exist_ok=True)
    names = folder / "names"
    further = "".join(f",DNS:{host}" for host in hosts)
    names.write_text(f"subjectAltName=DNS:localhost,IP:127.0.0.1{further}\n", "utf-8")
    day = ("-days", "1")
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for arguments in (
        ("req", "-x509", *new_key, *day, "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.crt"),
        ("req", *new_key, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"),
        (
            *("x509", "-req", *day, "-in", "server.csr", "-out", "server.crt", "-extfile", "names"),
            *("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"),
        ),
    ):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S607
    return Certificates(folder / "ca.crt", folder / "server.crt", folder / "server.key")
