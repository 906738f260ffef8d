"""Kafka with a listener that wants TLS and a password, beside the plain one."""

from pathlib import Path
from typing import ClassVar

from servers.certificates import make_certificates

from infra.embedded import EmbeddedKafka
from infra.embedded.ports import LOOPBACK, free_port

_MECHANISM = "org.apache.kafka.common.security.plain.PlainLoginModule"


class SecuredKafka(EmbeddedKafka):
    """An embedded Kafka whose second listener takes nobody without TLS and the password.

    Attributes:
        username: Who may do everything.
        password: Their password.
        ca_file: What clients trust.
    """

    username: ClassVar[str] = "twinstream"
    password: ClassVar[str] = "p@ss word"  # noqa: S105 - of a test server

    def __init__(self, data_dir: Path, port: int = 0) -> None:
        super().__init__(data_dir, port)
        self._secured_port = 0
        self.ca_file = self._folder / "certificates" / "ca.crt"

    @property
    def secured_servers(self) -> str:
        """`HOST:PORT` of the listener for clients with TLS and the password."""
        return f"{LOOPBACK}:{self._secured_port}"

    async def _prepare(self) -> None:
        await super()._prepare()
        certificates = make_certificates(self.ca_file.parent)
        parts = (certificates.key, certificates.certificate)
        self._key_and_certificate.write_text("".join(part.read_text("utf-8") for part in parts), "utf-8")

    @property
    def _key_and_certificate(self) -> Path:
        return self.ca_file.with_name("server.pem")

    def _settings(self) -> dict[str, str]:
        self._secured_port = free_port()
        settings = super()._settings()
        for key, secured in (
            ("listeners", f"SECURED://{self.secured_servers}"),
            ("advertised.listeners", f"SECURED://{self.secured_servers}"),
            ("listener.security.protocol.map", "SECURED:SASL_SSL"),
        ):
            settings[key] += f",{secured}"
        account = f'username="{self.username}" password="{self.password}" user_{self.username}="{self.password}"'
        return settings | {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._key_and_certificate),
            "listener.name.secured.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.secured.plain.sasl.jaas.config": f"{_MECHANISM} required {account};",
        }
