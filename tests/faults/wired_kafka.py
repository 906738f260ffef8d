"""Kafka with a listener that clients reach over a wire of its own."""

from pathlib import Path

from infra.embedded.kafka import EmbeddedKafka
from infra.embedded.ports import LOOPBACK, free_port


class WiredKafka(EmbeddedKafka):
    """An embedded Kafka whose second listener tells its clients to come by another port, that of a proxy.

    The broker itself and whoever uses `bootstrap_servers` go past the wire.

    Args:
        wire_port: What clients of the second listener are told.

    Attributes:
        wired_port: Where the second listener is.
    """

    def __init__(self, data_dir: Path, port: int, wire_port: int) -> None:
        super().__init__(data_dir, port)
        self._wire_port = wire_port
        self.wired_port = 0

    def _settings(self) -> dict[str, str]:
        self.wired_port = free_port()
        settings = super()._settings()
        for key, wired in (
            ("listeners", f"WIRED://{LOOPBACK}:{self.wired_port}"),
            ("advertised.listeners", f"WIRED://{LOOPBACK}:{self._wire_port}"),
            ("listener.security.protocol.map", "WIRED:PLAINTEXT"),
        ):
            settings[key] += f",{wired}"
        return settings
