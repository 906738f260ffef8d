"""`docs/write-a-twin.md` carried out block by block, in an empty directory with an instance running in it."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.guide import Block, blocks, said
from support.instance import ROOT, Instance

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

PATIENCE_S = 20.0
"""How long a line may fail: a reader types more slowly than a record travels."""

PUBLISH = """\
#!{python}
# What the system's mosquitto_pub does, at the port of this test.
import argparse
from paho.mqtt import publish
parser = argparse.ArgumentParser()
parser.add_argument("-q", type=int)
parser.add_argument("-t")
parser.add_argument("-m")
asked = parser.parse_args()
publish.single(asked.t, asked.m, qos=asked.q, hostname="127.0.0.1", port={port})
"""


def _environment(folder: Path, mqtt_port: int) -> dict[str, str]:
    (tools := folder / "tools").mkdir()
    (tools / "twinstream").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m infra "$@"\n')
    (tools / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (tools / "mosquitto_pub").write_text(PUBLISH.format(python=sys.executable, port=mqtt_port))
    for tool in tools.iterdir():
        tool.chmod(0o755)
    return {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "100"}


def _lines(text: str) -> list[str]:
    """Commands of a block: a line that ends in a backslash goes on."""
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def _run(line: str, home: Path, environment: dict[str, str]) -> str:
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        done = subprocess.run(
            ["/bin/bash", "-c", line],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if done.returncode == 0:
            return done.stdout
        assert time.monotonic() < deadline_s, f"{line}\n{done.stdout}\n{done.stderr}"
        time.sleep(0.5)


def _carry_out(block: Block, home: Path, environment: dict[str, str]) -> str:
    """What a block prints."""
    if block.file:
        (home / block.file).write_text(block.text)
        return ""
    if block.language == "python":
        done = subprocess.run(
            [sys.executable, "-c", block.text], cwd=home, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"line {block.line}: {done.stderr}"
        assert done.stdout.splitlines() == said(block), f"line {block.line}"
        return done.stdout
    if block.language == "sh":
        return "".join(_run(line, home, environment) for line in _lines(block.text))
    return ""


def test_the_guide_leads_from_an_empty_directory_to_an_improved_twin_in_a_running_system(tmp_path: Path) -> None:
    (home := tmp_path / "home").mkdir()
    with Instance(home / ".twinstream") as instance:
        environment = _environment(tmp_path, urlsplit(instance.urls["MQTT"]).port or 0)
        printed = {block.line: _carry_out(block, home, environment) for block in blocks()}
        everything = "".join(printed.values())
        for expected in ("line 5: out_of_range", "1 of 5 records refused", "no problems", "freezer 1.0.0 is deployed"):
            assert expected in everything
        twin = instance.get("/api/twins/freezer/cellar-1")
        (shown,) = [item for item in instance.get("/api/types")["items"] if item["type"] == "freezer"]
        assert shown["version"] == "1.0.0", "the last thing that the page does is to go back"
        switches = [item for item in instance.get("/api/deployments")["items"] if item["type"] == "freezer"]
    assert [switch["version"] for switch in switches] == ["1.0.0", "1.1.0", "1.0.0"]
    assert (twin["parameters"]["limit"], twin["parameters"]["setpoint"]) == (-15, -24)
    assert shown["twins"] == 1
