"""Accounts of devices at a broker: what Mosquitto and RabbitMQ have to be told so that a device reaches its twin alone.

The user name is `{type}/{id}` at both. Mosquitto's rules for all devices are patterns in `infra/deploy/mosquitto.acl`;
RabbitMQ gets rules for each device.
"""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Any, Self

from connectors.patterns import DEVICES_EXCHANGE, EXCHANGE, ROOT
from schemas.names import FIELD_PATTERN, check_twin_id, parse_type

_PASSWORD_BYTES = 24
_PBKDF2_ITERATIONS = 1000
"""The broker computes them in its only thread at every connection; a generated password needs no more."""
_MOSQUITTO_SALT_BYTES = 12
_RABBITMQ_SALT_BYTES = 4
_WAITING_COMMANDS = 1000
"""Most messages that wait in a device's queue; then the oldest go."""

_NAME = FIELD_PATTERN.strip("^$")

Definitions = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Device:
    """A device and the twin that it speaks for.

    Attributes:
        type: Qualified type name.
        twin: Twin id.
    """

    type: str
    twin: str

    @classmethod
    def of(cls, type_name: str, twin: str) -> Self:
        """A device with names inside the grammar: none of them holds what separates words or stands for others.

        Raises:
            InvalidNameError: a name is outside it.
        """
        return cls(str(parse_type(type_name)), check_twin_id(twin))

    @property
    def username(self) -> str:
        """Its name at a broker."""
        return f"{self.type}/{self.twin}"

    @property
    def queue(self) -> str:
        """Its queue at RabbitMQ."""
        return f"{ROOT}.{self.type}.{self.twin}"


def new_password() -> str:
    """A password that nobody guesses."""
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def mosquitto_line(device: Device, password: str) -> str:
    """The device's line of a password file, without line break: PBKDF2 with SHA-512, as of `mosquitto_passwd`."""
    salt = secrets.token_bytes(_MOSQUITTO_SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _PBKDF2_ITERATIONS)
    parts = ("7", str(_PBKDF2_ITERATIONS), _base64(salt), _base64(digest))
    return f"{device.username}:${'$'.join(parts)}"


def with_mosquitto_line(text: str, line: str) -> str:
    """A password file's text with this line in the place of its user's former one."""
    user = line.partition(":")[0]
    others = [other for other in text.splitlines() if other.partition(":")[0] != user]
    return "\n".join([*others, line]) + "\n"


def rabbitmq_definitions(device: Device, password: str, vhost: str = "/") -> Definitions:
    """Definitions that RabbitMQ imports beside what it has: the account, what it may, and its queue of commands.

    A device may declare and bind nothing: else it could bind an exchange of its own to ours, which passes on what was
    published there under whatever routing key. And it publishes to an exchange that no other device reads: RabbitMQ
    before 4 takes further routing keys from the headers CC and BCC without a look at anybody's rights.
    """
    salt = secrets.token_bytes(_RABBITMQ_SALT_BYTES)
    digest = hashlib.sha512(salt + password.encode()).digest()
    own, into = re.escape(device.queue), re.escape(DEVICES_EXCHANGE)
    user = {"user": device.username, "vhost": vhost}
    return {
        "users": [
            {
                "name": device.username,
                "password_hash": _base64(salt + digest),
                "hashing_algorithm": "rabbit_password_hashing_sha512",
                "tags": [],
            }
        ],
        "permissions": [{**user, "configure": "^$", "write": rf"^{into}\z", "read": rf"^{own}\z"}],
        "topic_permissions": [
            {**user, "exchange": DEVICES_EXCHANGE, "write": rf"^{own}\.(telemetry|acks\.{_NAME})\z", "read": "^$"}
        ],
        "exchanges": [
            {
                "name": name,
                "vhost": vhost,
                "type": "topic",
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
            for name in (EXCHANGE, DEVICES_EXCHANGE)
        ],
        "queues": [
            {
                "name": device.queue,
                "vhost": vhost,
                "durable": True,
                "auto_delete": False,
                "arguments": {"x-max-length": _WAITING_COMMANDS},
            }
        ],
        "bindings": [
            {
                "source": EXCHANGE,
                "vhost": vhost,
                "destination": device.queue,
                "destination_type": "queue",
                "routing_key": f"{device.queue}.commands.*",
                "arguments": {},
            }
        ],
    }


def with_definitions(known: Definitions, new: Definitions) -> Definitions:
    """Definitions with the new ones in the place of those that say the same of the same thing."""
    merged: Definitions = {section: list(items) for section, items in known.items()}
    for section, items in new.items():
        others = [item for item in merged.get(section, []) if not any(_same(item, one) for one in items)]
        merged[section] = others + items
    return merged


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    keys = ("name", "user", "vhost", "exchange", "source", "destination")
    return all(one.get(key) == other.get(key) for key in keys)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
