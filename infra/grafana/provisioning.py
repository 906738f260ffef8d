"""What Grafana is provisioned with, as files: data sources, where boards are, and the boards."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import structlog
import yaml

from connectors.settings import TimeseriesSettings
from infra.grafana.system_board import system_board
from infra.grafana.type_boards import fleet_board, twin_board
from infra.masking import without_credentials
from infra.put_file import put_file
from schemas.definition import Definition

log = structlog.get_logger(__name__)

FOLDER = "grafana"
_BOARDS = "boards"
_PROMETHEUS_URL = "http://127.0.0.1:9090"
_NOTE = "# Written by the api role. GF_PATHS_PROVISIONING names the folder of this file's folder.\n"


def boards(definitions: Iterable[Definition]) -> dict[str, dict[str, Any]]:
    """Boards by file name."""
    found = {"system.json": system_board()}
    for definition in definitions:
        name = str(definition.type_name)
        found[f"twin-{name}.json"] = twin_board(definition)
        found[f"fleet-{name}.json"] = fleet_board(definition)
    return found


class Provisioning:
    """Keeps `grafana/` of a data directory: `provisioning/` for Grafana's own settings, `boards/` with a file each.

    Grafana looks into `boards/` every ten seconds, so that the boards of a type are there when it is deployed.
    """

    def __init__(self, data_dir: Path, timeseries: TimeseriesSettings) -> None:
        self._folder = data_dir.absolute() / FOLDER
        self._timeseries = timeseries
        self._written: dict[str, str] = {}

    def write(self, definitions: Iterable[Definition]) -> None:
        """Write what changed, and remove boards of types that are gone."""
        texts = {f"{_BOARDS}/{name}": json.dumps(model, indent=1) for name, model in boards(definitions).items()}
        texts["provisioning/datasources/twinstream.yml"] = _NOTE + _yaml(self._sources())
        texts["provisioning/dashboards/twinstream.yml"] = _NOTE + _yaml(self._provider())
        for name, text in texts.items():
            if self._written.get(name) != text:
                self._put(self._folder / name, text)
        for file in (self._folder / _BOARDS).glob("*.json"):
            if f"{_BOARDS}/{file.name}" not in texts:
                file.unlink(missing_ok=True)
        if texts != self._written:
            log.info("boards written", folder=str(self._folder), number=len(texts) - 2)
        self._written = texts

    @staticmethod
    def _put(file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        put_file(file, text)

    def _sources(self) -> dict[str, Any]:
        metrics = {"name": "Metrics", "uid": "metrics", "type": "prometheus", "url": _PROMETHEUS_URL}
        found: list[dict[str, Any]] = [metrics | {"jsonData": {"timeInterval": "5s"}}]
        if not self._timeseries.embedded:
            # The token stays out of the file: Grafana takes it from its environment.
            options = {
                "version": "Flux",
                "organization": self._timeseries.org,
                "defaultBucket": self._timeseries.bucket,
            }
            url = without_credentials(self._timeseries.url or "")
            series = {"name": "Time series", "uid": "timeseries", "type": "influxdb", "url": url}
            token = {"token": "$INFLUXDB_TOKEN"}
            found.append(series | {"isDefault": True, "jsonData": options, "secureJsonData": token})
        return {"apiVersion": 1, "datasources": found}

    def _provider(self) -> dict[str, Any]:
        provider = {
            "name": "twinstream",
            "folder": "twinstream",
            "type": "file",
            "updateIntervalSeconds": 10,
            "allowUiUpdates": True,
            "options": {"path": str(self._folder / _BOARDS)},
        }
        return {"apiVersion": 1, "providers": [provider]}


def _yaml(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False)
