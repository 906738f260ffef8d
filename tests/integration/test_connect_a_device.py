"""`docs/connect-a-device.md`: its programs, as they stand there, are devices of twins that live."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from servers.availability import unavailable
from support.guide import blocks
from support.instance import ROOT, Instance, eventually

from infra.embedded.cache import cache_dir

pytestmark = [pytest.mark.kafka, pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(240)]

PROGRAMS = {block.file: block.text for block in blocks(ROOT / "docs" / "connect-a-device.md") if block.file}


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with Instance(tmp_path_factory.mktemp("devices") / "data", "demo", "--no-plant") as running:
        yield running


def _assert_lives(instance: Instance, twin: str, folder: Path, argv: Sequence[str]) -> None:
    """It shows up with what it measured, and acknowledges what its twin commands."""
    with (
        (folder / "device.log").open("wb") as log,
        subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log) as device,
    ):
        try:

            def acknowledged() -> list[dict[str, Any]]:
                assert device.poll() is None, (folder / "device.log").read_text()
                known = instance.get("/api/twins", type="incubator")["items"]
                if twin not in [one["id"] for one in known]:
                    return []
                commands = instance.get(f"/api/twins/incubator/{twin}/commands")["items"]
                return [one for one in commands if one["status"] == "acked"]

            found = eventually(acknowledged, f"{twin} acknowledges a command", 60)
            assert {one["name"] for one in found} <= {"heater", "fan"}
            shown = instance.get(f"/api/twins/incubator/{twin}")
            assert shown["inputs"]["t2"] - shown["inputs"]["t1"] == pytest.approx(0.4, abs=1e-3)
            assert shown["outputs"]["T_heater"] is not None
        finally:
            device.terminate()
            try:
                device.wait(10)
            except subprocess.TimeoutExpired:
                device.kill()
    account = {row["source"]: row for row in instance.get("/api/account", type="incubator")["items"]}
    assert account["mqtt"]["missing"] == account["mqtt"]["deadlettered"] == 0


def _port(instance: Instance) -> str:
    return str(urlsplit(instance.urls["MQTT"]).port)


def test_in_python(instance: Instance, tmp_path: Path) -> None:
    (tmp_path / "device.py").write_text(PROGRAMS["device.py"])
    _assert_lives(
        instance, "python-1", tmp_path, [sys.executable, "device.py", "127.0.0.1", _port(instance), "python-1"]
    )


def test_in_c(instance: Instance, tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not Path("/usr/include/mosquitto.h").exists():
        unavailable("libmosquitto", "no compiler or no headers: run scripts/servers")
    (tmp_path / "device.c").write_text(PROGRAMS["device.c"])
    warnings = ("-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror")
    subprocess.run([compiler, *warnings, "-o", "device", "device.c", "-lmosquitto"], cwd=tmp_path, check=True)
    _assert_lives(instance, "c-1", tmp_path, ["./device", "127.0.0.1", _port(instance), "c-1"])


def test_in_node_red(instance: Instance, tmp_path: Path) -> None:
    program = cache_dir() / "node-red-4.1.15" / "node_modules" / ".bin" / "node-red"
    if not program.exists():
        unavailable("Node-RED", "not installed: run scripts/servers")
    flow = json.loads(PROGRAMS["flow.json"])
    for node in flow:
        if node["type"] == "mqtt-broker":
            node["port"] = _port(instance)
    (tmp_path / "flow.json").write_text(json.dumps(flow))
    settings = {"uiHost": "127.0.0.1", "uiPort": 0, "flowFile": "flow.json", "httpAdminRoot": False}
    (tmp_path / "settings.js").write_text(f"module.exports = {json.dumps(settings)};")
    _assert_lives(instance, "node-red-1", tmp_path, [str(program), "--userDir", str(tmp_path), "flow.json"])
