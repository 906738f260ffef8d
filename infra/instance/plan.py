"""What an instance consists of, and on which ports: decided before anything is started."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from connectors.broker_settings import BrokerSettings
from infra.embedded.mqtt_configuration import PAYLOAD_BYTES, kept_messages
from infra.embedded.ports import require_free
from infra.masking import without_credentials
from infra.settings import Settings
from schemas.bundle import Bundle, bundle_of
from schemas.definition_file import FILE
from schemas.errors import SetupError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PLANT_FILE = "plant.py"
"""Script of an example that simulates its devices."""

_MAX_AHEAD = re.compile(r"^max_ahead_s:.*\n?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the embedded servers turned out to listen; `""` where another server is configured.

    Attributes:
        mqtt_protocol: Newest version of MQTT that the embedded broker speaks on this address.
        mqtt_keeps: Messages that it keeps for a bridge that is away.
    """

    kafka: str = ""
    mqtt: str = ""
    mqtt_protocol: Literal["5", "3.1.1"] = "5"
    mqtt_keeps: int = 0
    documents: str = ""


def embedded_servers(settings: Settings) -> list[str]:
    """Servers that are not configured and so come with us."""
    wanted = {
        "kafka": settings.kafka.embedded,
        "mqtt": settings.mqtt.url is None,
        "documents": settings.metadata.embedded,
    }
    return [name for name, embedded in wanted.items() if embedded]


def check_ports(settings: Settings, *, require: Callable[..., None] = require_free) -> None:
    """Refuse a port that is taken or asked for twice, before anything is started.

    Raises:
        SetupError: a port can't be had.
    """
    asked = {
        "kafka": ("Kafka", settings.embedded.kafka_port, "--kafka-port"),
        "mqtt": ("the MQTT broker", settings.embedded.mqtt_port, "--mqtt-port"),
        "documents": ("the document server", settings.embedded.documents_port, "embedded.documents_port"),
    }
    wanted = [("the API", settings.http.port, "--http-port"), *(asked[name] for name in embedded_servers(settings))]
    owners: dict[int, str] = {}
    for owner, port, remedy in wanted:
        if port == 0:
            continue
        if port in owners:
            message = f"port {port} is asked for by {owners[port]} and by {owner}: choose another with {remedy}"
            raise SetupError(message)
        require(port, owner=owner, remedy=remedy)
        owners[port] = owner


def resolve(settings: Settings, servers: Servers, http_port: int) -> Settings:
    """Settings as the roles get them: every address known, nothing left to be chosen."""
    changed: dict[str, object] = {
        "data_dir": settings.data_dir.absolute(),
        "http": settings.http.model_copy(update={"port": http_port}),
        # A fixed port could serve one role only.
        "metrics": settings.metrics.model_copy(update={"port": 0}),
    }
    if servers.kafka:
        changed["kafka"] = settings.kafka.model_copy(update={"bootstrap_servers": servers.kafka})
    if servers.mqtt:
        known = {"url": servers.mqtt, "protocol": servers.mqtt_protocol, "queue_limit": servers.mqtt_keeps}
        changed["mqtt"] = settings.mqtt.model_copy(update=known)
    if servers.documents:
        changed["metadata"] = settings.metadata.model_copy(update={"url": servers.documents})
    return settings.model_copy(update=changed)


def brokers_of(settings: Settings) -> tuple[str, ...]:
    """Brokers that are bridged; without an address MQTT is the embedded broker, and every other one is off."""
    sections = {name: section for name, section in settings if isinstance(section, BrokerSettings)}
    return tuple(name for name, section in sections.items() if name == "mqtt" or section.url is not None)


def roles_of(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Roles to run: name and arguments of `twinstream`."""
    roles: dict[str, tuple[str, ...]] = {f"bridge:{name}": ("bridge", name) for name in brokers_of(settings)}
    roles |= {
        "sink:timeseries": ("sink", "timeseries"),
        "sink:metadata": ("sink", "metadata"),
        "api": ("api",),
        "worker": ("worker",),
    }
    return roles


def mqtt_url(settings: Settings) -> str:
    """Address of the MQTT broker with its credentials, for a child's environment only."""
    endpoint = settings.mqtt.endpoint()
    scheme = "mqtts" if endpoint.tls else "mqtt"
    user = quote(endpoint.username, safe="")
    password = f":{quote(endpoint.password, safe='')}" if endpoint.password else ""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{scheme}://{user}{password}{'@' if user or password else ''}{host}:{endpoint.port}"


def examples() -> list[str]:
    """Names of the examples that come with the repository: folders of a twin type and its simulated devices."""
    return sorted(path.parent.name for path in EXAMPLES.glob(f"*/{PLANT_FILE}") if (path.parent / FILE).is_file())


def example(name: str) -> Path:
    """Folder of an example that comes with the repository.

    Raises:
        SetupError: it is not there.
    """
    folder = EXAMPLES / name
    if not (folder / FILE).is_file():
        message = f"{folder} is not there: run from a clone of the repository"
        raise SetupError(message)
    return folder


def series_file(settings: Settings) -> Path:
    """Where the embedded time-series store keeps its file."""
    return settings.data_dir / "timeseries.duckdb"


def survived(messages: int) -> str:
    """How long an outage of the bridge an embedded broker carries that keeps so many messages."""
    spans = [f"{_span(messages / rate)} at {rate:,} messages/s" for rate in (100, 2000)]
    size = "" if messages == kept_messages("mosquitto") else f" of {PAYLOAD_BYTES} bytes, fewer larger ones,"
    return f"the MQTT broker keeps {messages:,} messages{size} for a bridge that is away: {', '.join(spans)}"


def _span(seconds: float) -> str:
    hours, minutes = seconds / 3600, seconds / 60
    return f"{hours:.1f} h" if hours >= 1 else f"{minutes:.0f} min" if minutes >= 1 else f"{seconds:.0f} s"


def urls_of(resolved: Settings) -> dict[str, str]:
    """What people are told: where each part is reached, without credentials."""
    urls = {"API": resolved.http.url}
    if resolved.http.public_url is not None:
        urls["public"] = resolved.http.public_url
    urls["MQTT"] = without_credentials(resolved.mqtt.url or "")
    if resolved.amqp.url is not None:
        urls["AMQP"] = without_credentials(resolved.amqp.url)
    urls["Kafka"] = resolved.kafka.options().bootstrap_servers
    urls["documents"] = without_credentials(resolved.metadata.url or "")
    series = resolved.timeseries.url
    urls["time series"] = without_credentials(series) if series else str(series_file(resolved))
    return urls


def without_ahead_check(bundle: Bundle) -> Bundle:
    """The same type, for telemetry whose event time runs ahead of its arrival."""
    text = _MAX_AHEAD.sub("", bundle.files[FILE].decode())
    return bundle_of(bundle.files | {FILE: f"{text.rstrip()}\nmax_ahead_s: 0\n".encode()})
