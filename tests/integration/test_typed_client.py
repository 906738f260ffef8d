"""Programs use the API by a client with types that is generated from its OpenAPI document, as docs/http.md says."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers.availability import unavailable
from servers.client_generator import VERSION, find_generator, generate
from support.instance import ROOT, Instance, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(240)]

HTTP_DOC = (ROOT / "docs" / "http.md").read_text("utf-8")


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A running demo whose twins have some history."""
    with Instance(tmp_path_factory.mktemp("typed"), "demo", "--speed", "10") as running:

        def has_history() -> Any:
            answer = httpx.get(f"{running.api}/api/twins/incubator/incubator-1/series?field=T_heater", timeout=10)
            return answer.status_code == 200 and len(answer.json()["value"]) >= 3

        eventually(has_history, "history of a twin", 60)
        yield running


@pytest.fixture(scope="module")
def folder(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documented program beside a client that is made of the document of the running API."""
    if find_generator() is None:
        unavailable("openapi-python-client", "scripts/servers installs it")
    found = tmp_path_factory.mktemp("client")
    document = found / "openapi.json"
    document.write_bytes(httpx.get(f"{instance.api}/openapi.json", timeout=10).content)
    generate(document, found / "twinstream_client")
    (program,) = re.findall(r"```python\n(.*?twinstream_client.*?)```", HTTP_DOC, re.DOTALL)
    (found / "program.py").write_text(program, "utf-8")
    return found


def _checked(folder: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--config-file=",
        "--cache-dir=.mypy",
    ]
    return subprocess.run([*command, *more], cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_prints_the_document_that_the_api_answers(folder: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "infra", "openapi"], cwd=ROOT, capture_output=True, timeout=60, check=True
    )
    assert json.loads(printed.stdout) == json.loads((folder / "openapi.json").read_bytes())
    assert f"openapi-python-client=={VERSION}" in HTTP_DOC


def test_a_program_with_the_generated_client_is_checked_by_its_types(folder: Path) -> None:
    checked = _checked(folder, "program.py")
    assert checked.returncode == 0, checked.stdout
    program = (folder / "program.py").read_text("utf-8")
    for right, wrong in (
        ("series.unit", "series.units"),
        ("limit=3", 'limit="3"'),
        ("refused.detail", "refused.details"),
    ):
        assert right in program
        (folder / "wrong.py").write_text(program.replace(right, wrong), "utf-8")
        assert _checked(folder, "wrong.py").returncode == 1, wrong


def test_the_program_reads_asks_and_is_refused(instance: Instance, folder: Path) -> None:
    token = instance.run("token", "create", "program", "--scope", "read", "--scope", "request").strip()
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "program.py", instance.api, token],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert told["fleet"].split() == ["incubator-1", "incubator-2", "incubator-3"]
    assert re.fullmatch(r"ok \d+ \d+\.\d+", told["twin"])
    assert told["series"].count("(") == 3
    assert told["refused"].startswith("404 urn:twinstream:problem:unknown-request ")

    def set_point() -> Any:
        return instance.get("/api/twins/incubator/incubator-1")["parameters"]["temperature_desired"] == 41

    assert eventually(set_point, "the set point is applied")
