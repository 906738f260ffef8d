"""A newcomer's path from an empty directory: new, its test, try, check, deploy, and an improved version."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from paho.mqtt import publish
from support.instance import CLI, Instance, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]


def _run(folder: Path, *argv: str) -> str:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_from_an_empty_directory_to_an_improved_twin(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    (home := tmp_path / "home").mkdir()
    _run(home, *CLI, "new", "pump")
    assert "2 passed" in _run(home, sys.executable, "-m", "pytest", "-q", "pump")
    (home / "values.csv").write_text("time,temperature\n2026-01-01T12:00:00Z,40\n2026-01-01T12:00:10Z,hot\n")
    tried = json.loads(_run(home, *CLI, "try", "pump", "values.csv", "--data-dir", str(data_dir), "--json"))
    assert (tried["accepted"], [refusal["line"] for refusal in tried["refusals"]]) == (1, [3])
    assert Path(tried["svg"]) == home / "pump-values.svg"
    assert _run(home, *CLI, "check", "pump").startswith("no problems")
    with Instance(data_dir) as instance:
        _run(home, *CLI, "deploy", "pump", "--data-dir", str(data_dir))
        _send(instance, 40.0)
        twin = eventually(lambda: _twin(instance), "a record that holds all inputs at mid-range makes a twin")
        assert (twin["version"], twin["outputs"]["smoothed"], twin["outputs"]["too_hot"]) == ("1.0.0", 40.0, False)
        definition = home / "pump" / "twin.yaml"
        definition.write_text(definition.read_text().replace("1.0.0", "1.1.0").replace("default: 80", "default: 30"))
        _run(home, *CLI, "deploy", "pump", "--data-dir", str(data_dir))
        _send(instance, 40.5)
        twin = eventually(lambda: (found := _twin(instance)) and found["outputs"]["too_hot"] and found, "1.1.0 steps")
        assert (twin["version"], twin["parameters"]["limit"], twin["state"]["smoothing"]["average"]) == (
            "1.1.0",
            30.0,
            twin["outputs"]["smoothed"],
        )
        workers = _workers(instance)
        assert "pump is back at 1.0.0" in _run(home, *CLI, "rollback", "pump", "--data-dir", str(data_dir))
        _send(instance, 41.0)
        twin = eventually(
            lambda: (found := _twin(instance)) and found["inputs"]["temperature"] == 41.0 and found, "1.0.0"
        )
        assert (twin["version"], twin["parameters"]["limit"], twin["outputs"]["too_hot"]) == ("1.0.0", 80.0, False)
        assert _workers(instance) == workers, "no process was started anew"
        answer = json.loads(_run(home, *CLI, "types", "--history", "--json", "--data-dir", str(data_dir)))
        history = [(item["type"], item["version"], len(item["from"]), bool(item["who"])) for item in answer["items"]]
        assert history == [("pump", version, 8, True) for version in ("1.0.0", "1.1.0", "1.0.0")]
        definition.write_text(definition.read_text().replace("default: 30", "default: hot").replace("degC", "degZ"))
        done = subprocess.run(
            [*CLI, "deploy", "pump", "--data-dir", str(data_dir)], cwd=home, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        said = done.stdout + done.stderr
        assert all(f"pump/twin.yaml:{line}: " in said for line in _lines(definition, "degZ", "default: hot"))
        assert (_twin(instance) or {})["version"] == "1.0.0"


def _send(instance: Instance, temperature: float) -> None:
    broker = urlsplit(instance.urls["MQTT"])
    payload = json.dumps({"temperature": temperature})
    publish.single("twins/pump/a/telemetry", payload, qos=1, hostname=broker.hostname or "", port=broker.port or 0)


def _twin(instance: Instance) -> Any:
    answer = httpx.get(f"{instance.api}/api/twins/pump/a", timeout=10)
    return answer.json() if answer.is_success else None


def _workers(instance: Instance) -> dict[str, int]:
    """Process of each worker."""
    answer = httpx.get(f"{instance.api}/api/status", timeout=10).json()
    return {item["name"]: item["pid"] for item in answer["items"] if item["name"].startswith("worker")}


def _lines(file: Path, *texts: str) -> list[int]:
    """Numbers of the lines that hold one of the texts."""
    lines = enumerate(file.read_text().splitlines(), 1)
    return [number for number, line in lines if any(text in line for text in texts)]
