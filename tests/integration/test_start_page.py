"""`docs/index.md`: what its start page tells a reader to type works, in its order."""

import os
import subprocess
from pathlib import Path

import pytest
from support.guide import blocks
from support.instance import ROOT, Instance, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_commands_of_the_start_page(tmp_path: Path) -> None:
    first, *others = [block for block in blocks(ROOT / "docs" / "index.md") if block.language == "sh"]
    assert first.text == "scripts/demo\n", "test_demo.py starts it"
    said = ""
    with Instance(tmp_path / "data", "demo") as running:
        eventually(lambda: len(running.get("/api/twins")["items"]) == 3, "three twins")
        environment = {**os.environ, "TWINSTREAM_DATA_DIR": str(running.data_dir)}
        activate = "PATH={}:$PATH\n".format(ROOT / ".venv" / "bin")
        for block in others:
            commands = block.text.replace(". .venv/bin/activate\n", activate)
            done = subprocess.run(
                ["/bin/bash", "-euc", activate + commands],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=90,
                check=False,
            )
            assert done.returncode == 0, f"line {block.line}: {done.stdout}{done.stderr}"
            said += done.stdout
        for expected in ("incubator-1", "T_heater", "heater", "mqtt"):
            assert expected in said
        twin = eventually(
            lambda: (
                (found := running.get("/api/twins/incubator/incubator-1"))["parameters"]["temperature_desired"] == 30.0
                and found
            ),
            "the set-point is in force",
        )
        assert twin["outputs"]["setpoint"] == 30.0
