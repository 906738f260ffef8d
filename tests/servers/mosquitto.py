"""Mosquitto with a password and a TLS listener, and as we ship it, beside the anonymous embedded one."""

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

from servers.certificates import make_certificates

from infra.embedded.mqtt import EmbeddedMqtt, account
from infra.embedded.ports import LOOPBACK, free_port

_DEPLOY = Path(__file__).parents[2] / "infra" / "deploy"


class SecuredMosquitto(EmbeddedMqtt):
    """Mosquitto that takes nobody without the password, in the clear on `url` and with TLS on `tls_url`.

    Attributes:
        username: Who may do everything.
        password: Their password, with characters that a URL must encode.
        ca_file: What TLS clients trust.
    """

    username: ClassVar[str] = "plant operator"
    password: ClassVar[str] = "p@ss/word:1"  # noqa: S105 - of a test server

    def __init__(self, data_dir: Path, port: int = 0) -> None:
        super().__init__(data_dir, port, prefer="mosquitto")
        self._tls_port = 0
        self.ca_file = self._folder / "certificates" / "ca.crt"

    @property
    def tls_url(self) -> str:
        """Where TLS clients find it."""
        return f"mqtts://{LOOPBACK}:{self._tls_port}"

    async def _command(self) -> list[str]:
        command = await super()._command()
        certificates = make_certificates(self.ca_file.parent)
        passwords = self._folder / "passwords"
        passwords.unlink(missing_ok=True)
        tool = shutil.which("mosquitto_passwd") or "/usr/bin/mosquitto_passwd"
        make = [tool, "-b", "-c", str(passwords), self.username, self.password]
        await asyncio.to_thread(subprocess.run, make, check=True)
        self._tls_port = free_port()
        configuration = self._folder / "mosquitto.conf"
        plain = configuration.read_text("utf-8").replace("allow_anonymous true", "allow_anonymous false")
        secured = (
            f"password_file {passwords}",
            f"listener {self._tls_port} {LOOPBACK}",
            f"cafile {certificates.ca_file}",
            f"certfile {certificates.certificate}",
            f"keyfile {certificates.key}",
        )
        configuration.write_text(plain + "\n".join(secured) + "\n", "utf-8")
        return command


class ShippedMosquitto(EmbeddedMqtt):
    """Mosquitto with the configuration and the rules that we ship.

    Attributes:
        passwords: The password file; `reload` makes the broker read it again.
        acl: Text of the rules; change it before the server is entered.
    """

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir, 0, prefer="mosquitto")
        self.passwords = data_dir / "passwords"
        self.acl = (_DEPLOY / "mosquitto.acl").read_text("utf-8")
        self._configuration = (_DEPLOY / "mosquitto.conf").read_text("utf-8")
        self._inside_port = 0

    @property
    def inside_port(self) -> int:
        """Where bridges connect."""
        return self._inside_port

    def admit(self, username: str, password: str) -> None:
        """Give an account its password, as the command in `docker-compose.yml` does."""
        self.passwords.touch()
        tool = shutil.which("mosquitto_passwd") or "/usr/bin/mosquitto_passwd"
        twice = f"{password}\n{password}\n".encode()
        subprocess.run([tool, str(self.passwords), username], input=twice, check=True, stdout=subprocess.DEVNULL)

    async def _command(self) -> list[str]:
        command = await super()._command()
        self._inside_port = free_port()
        (self._folder / "acl").write_text(self.acl, "utf-8")
        text = self._configuration
        for shipped, here in (
            ("listener 1883", f"listener {self.port} {LOOPBACK}"),
            ("listener 1884", f"listener {self._inside_port} {LOOPBACK}"),
            ("/mosquitto/data/passwords", str(self.passwords)),
            ("/mosquitto/data/", f"{self._folder}/"),
            ("/mosquitto/config/acl", str(self._folder / "acl")),
        ):
            assert shipped in text
            text = text.replace(shipped, here)
        configuration = self._folder / "shipped.conf"
        configuration.write_text(f"{text}user {account()}\n", "utf-8")
        return [*command[:-1], str(configuration)]
