"""Options that several commands share, and how they become settings."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.registry import SUPERVISOR, Registry
from infra.settings import Settings
from infra.settings_file import CONFIG_VARIABLE, load

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Configuration file (YAML).", envvar=CONFIG_VARIABLE),
]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="Data directory [default: .twinstream].")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Url = Annotated[str | None, typer.Option("--url", metavar="URL", help="API of the instance; else by --data-dir.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Most items.")]
HttpPort = Annotated[
    int | None, typer.Option("--http-port", min=0, max=65535, help="Port of the API [default: 8080]; 0 = any free one.")
]
MqttPort = Annotated[
    int | None,
    typer.Option("--mqtt-port", min=0, max=65535, help="Port of the embedded MQTT [default: 1883]; 0 = any free one."),
]
KafkaPort = Annotated[
    int | None,
    typer.Option(
        "--kafka-port", min=0, max=65535, help="Port of the embedded Kafka [default: 9092]; 0 = any free one."
    ),
]


def finite(value: float | None) -> float | None:
    """Refuse infinity and what is no number; a lower bound alone lets both through.

    Raises:
        typer.BadParameter: `value` is such.
    """
    if value is not None and not math.isfinite(value):
        message = f"{value} is no finite number"
        raise typer.BadParameter(message)
    return value


def read_settings(
    config: Path | None,
    data_dir: Path | None,
    *,
    http_port: int | None = None,
    mqtt_port: int | None = None,
    kafka_port: int | None = None,
) -> Settings:
    """Settings from the file, the environment and these options.

    Raises:
        ConfigurationError: with every fault.
    """
    given: dict[str, Any] = {
        "data_dir": data_dir,
        "http": {"port": http_port},
        "embedded": {"mqtt_port": mqtt_port, "kafka_port": kafka_port},
    }
    return load(config, _without_none(given))


def read_settings_near(config: Path | None, data_dir: Path | None) -> Settings:
    """Settings to work beside an instance: without a file, those of the one that runs in the data directory.

    Raises:
        ConfigurationError: with every fault.
    """
    settings = read_settings(config, data_dir)
    registry = Registry(settings.data_dir)
    if config is None and registry.config.is_file() and registry.find(SUPERVISOR):
        return read_settings(registry.config, settings.data_dir.absolute())
    return settings


def is_near(url: str | None, data_dir: Path | None) -> bool:
    """Whether a command works beside the instance of a data directory, not only with the API at `url`."""
    return url is None or data_dir is not None


def _without_none(tree: dict[str, Any]) -> dict[str, Any]:
    found = {key: _without_none(value) if isinstance(value, dict) else value for key, value in tree.items()}
    return {key: value for key, value in found.items() if value not in (None, {})}
