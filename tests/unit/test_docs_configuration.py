"""`docs/configuration.md` names every key, its variable and its default, and nothing else."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from infra.settings import Settings
from infra.settings_file import load, variable_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
ROW = re.compile(r"^\| `([a-z_.]+)` \| `(TWINSTREAM_[A-Z_]+)` \| (.*?) \| .+ \|$", re.MULTILINE)


def _keys() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in Settings():
        if isinstance(value, BaseModel):
            found |= {f"{name}.{key}": default for key, default in value}
        else:
            found[name] = value
    return found


def _shown(default: Any) -> str:
    if default is None:
        return "absent"
    if isinstance(default, SecretStr) or default == "":
        return "empty"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple):
        return "`[]`"
    return f"`{default}`"


def test_every_key_is_documented_with_its_variable_and_default() -> None:
    documented = {key: (variable, default) for key, variable, default in ROW.findall(DOCUMENT.read_text())}
    expected = {key: (variable_of(key.split(".")), _shown(default)) for key, default in _keys().items()}
    assert documented == expected


def test_the_documented_example_is_sound(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert example is not None
    path = tmp_path / "site.yaml"
    path.write_text(example[1])
    settings = load(path)
    assert settings.kafka.options().bootstrap_servers == "kafka-1:9092,kafka-2:9092"
    assert settings.amqp.endpoint().path == "plant"


def test_routes_may_be_given_as_json_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINSTREAM_MQTT__INBOUND", '[{"topic": "site/{id}/temperature", "type": "tank"}]')
    monkeypatch.setenv("TWINSTREAM_KAFKA__RETENTION_MS", "604800000")
    settings = load()
    assert settings.mqtt.inbound[0].type == "tank"
    assert settings.kafka.retention_ms == 604_800_000
