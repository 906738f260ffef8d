"""How to reach Kafka."""

import ssl
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """Addresses and credentials of a Kafka cluster.

    Attributes:
        bootstrap_servers: `host:port[,host:port…]`.
        tls: Whether to encrypt.
        username: SASL/PLAIN user name, `""` for none.
        password: Its password; never shown.
        ca_file: PEM file of the authority to trust, `""` for the system's.
    """

    bootstrap_servers: str
    tls: bool = False
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""

    def client_kwargs(self) -> dict[str, Any]:
        """Keyword arguments that every aiokafka client takes."""
        kwargs: dict[str, Any] = {"bootstrap_servers": self.bootstrap_servers.split(",")}
        protocol = "SSL" if self.tls else "PLAINTEXT"
        if self.username:
            protocol = "SASL_SSL" if self.tls else "SASL_PLAINTEXT"
            kwargs |= {
                "sasl_mechanism": "PLAIN",
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        if self.tls:
            kwargs["ssl_context"] = self.ssl_context()
        return kwargs | {"security_protocol": protocol}

    def ssl_context(self) -> ssl.SSLContext:
        """TLS settings that verify the broker."""
        return ssl.create_default_context(cafile=self.ca_file or None)
