"""`twinstream bench kernel`, small: every figure is there, and what is measured steps what it should."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import stepping

from infra.bench import ten_functions
from infra.bench.kernel import Figure
from infra.bench.loading import load
from infra.bench.workload import Workload
from twins.check import check_folder
from twins.functions.registry import BUILT_INS

pytestmark = pytest.mark.timeout(300)


@pytest.mark.slow
def test_the_report_has_every_figure_with_what_is_to_be_reached() -> None:
    command = [sys.executable, "-m", "infra", "bench", "kernel", "--json", "--twins", "50", "--repeat", "1"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = json.loads(ran.stdout)
    assert set(report) == {"results", "machine", "versions"}
    figures = {figure["name"]: figure for figure in report["results"]}
    limits = {"incubator_us": 0.5, "ten_functions_us": 1.0, "compile_s": 10.0, "load_s": 0.5}
    assert {name: figure["to_reach"] for name, figure in figures.items()} == limits
    assert all(0 < figure["lowest"] == figure["median"] == figure["highest"] for figure in figures.values())
    assert figures["load_s"]["median"] < figures["compile_s"]["median"] / 3
    assert "compiling the incubator" in ran.stderr


def test_a_figure_is_reached_by_its_median() -> None:
    figure = Figure("load_s", (0.4, 0.9, 0.5), 0.5)
    assert (figure.as_json()["median"], figure.as_json()["reached"]) == (0.5, True)
    assert figure.as_row()[1:] == ("0.400", "0.500", "0.900", "0.5")
    assert not Figure("load_s", (0.6,), 0.5).as_json()["reached"]


def test_ten_functions_are_ten_different_built_ins_that_take_the_telemetry(tmp_path: Path) -> None:
    folder = ten_functions.write(tmp_path / "type")
    assert check_folder(folder, tmp_path / "cache") == []
    twin_type = load(folder, tmp_path / "cache")
    steps = {step.step for step in twin_type.definition.pipeline}
    assert len(steps) == 10
    assert steps <= BUILT_INS.keys()
    records = [
        stepping.record(key, value, received_ns=2**62)._replace(offset=offset)
        for offset, (_, key, value) in enumerate(record for cycle in Workload(40, 4, 1).cycles() for record in cycle)
    ]
    run = stepping.stepped(twin_type, records)
    assert run.counts["accepted", ""] == 40
