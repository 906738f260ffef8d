"""RabbitMQ with a TLS listener beside the plain one."""

from collections.abc import Sequence
from pathlib import Path

from servers.certificates import make_certificates

from infra.bench.servers import rabbitmq
from infra.embedded.ports import LOOPBACK, free_port


class RabbitMq(rabbitmq.RabbitMq):
    """One RabbitMQ node that can be reached in the clear and with TLS.

    Attributes:
        ca_file: What TLS clients trust.
    """

    def __init__(self, data_dir: Path, port: int = 0, further: Sequence[str] = ()) -> None:
        super().__init__(data_dir, port, further)
        self._tls_port = 0
        self.ca_file = self._folder / "certificates" / "ca.crt"

    @property
    def tls_url(self) -> str:
        """Where TLS clients find it."""
        return f"amqps://guest:guest@{LOOPBACK}:{self._tls_port}/"

    async def _prepare(self) -> None:
        make_certificates(self.ca_file.parent)
        await super()._prepare()

    def _lines(self) -> Sequence[str]:
        self._tls_port = free_port()
        certificates = self.ca_file.parent
        return (
            f"listeners.ssl.1 = {LOOPBACK}:{self._tls_port}",
            f"ssl_options.cacertfile = {self.ca_file}",
            f"ssl_options.certfile = {certificates / 'server.crt'}",
            f"ssl_options.keyfile = {certificates / 'server.key'}",
            "ssl_options.verify = verify_none",
            *super()._lines(),
        )
