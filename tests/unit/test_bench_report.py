"""What `bench all` writes, its charts, and the gate that keeps the engine from becoming dearer."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from infra.bench import gate
from infra.bench.document import Section, as_json, write
from infra.bench.gate import Committed, judge
from infra.bench.job import Finished
from infra.bench.jobs import FOLDERS
from infra.bench.report import Result
from infra.bench.svg import Bar, bars
from schemas.errors import SetupError


def result(name: str, job: str, *cpu_seconds: float) -> Result:
    return Result(name, f"the {name}", job, tuple(Finished(1_000_000, 2.0, cost) for cost in cpu_seconds))


def test_bars_are_as_long_as_their_values_and_text_is_escaped() -> None:
    root = ET.fromstring(bars("a < b", "per second", [Bar("x & y", 100, 50, 200, ours=True), Bar("z", 50, 40, 60)]))  # noqa: S314
    space = "{http://www.w3.org/2000/svg}"
    _, first, second = root.iter(f"{space}rect")
    assert float(first.attrib["width"]) == pytest.approx(2 * float(second.attrib["width"]))
    assert {"a < b", "x & y", "100", "50"} <= {text.text for text in root.iter(f"{space}text")}


def test_a_report_has_tables_charts_ground_and_times(tmp_path: Path) -> None:
    results = [result("twinstream", "statistics", 1.0, 2.0), result("faust", "statistics", 100.0)]
    section = Section(
        "processor", "Stream processors", "They were run.", 12.0, results, [("Latency", ("what", "ms"), [("p99", "3")])]
    )
    ground: tuple[Any, Any, Any] = ([section], {"cores": 2}, {"kafka": "4"})
    left_out = {"scale": "no\ntime"}
    write(tmp_path / "out", *ground, seconds=90.0, command="twinstream bench all", left_out=left_out)
    text = (tmp_path / "out" / "report.md").read_text()
    for part in (
        "`twinstream bench all` in 1.5 minutes",
        "| cores | 2 |",
        "kafka 4",
        "## Stream processors",
        "12 s",
        "- scale: no time",
    ):
        assert part in text
    assert "| faust (the faust) | 500,000 |" in text
    assert "| p99 | 3 |" in text
    assert "![statistics](processor-statistics-rate.svg)" in text
    assert (tmp_path / "out" / "processor-statistics-cpu.svg").read_text().startswith("<svg")
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert found == as_json(*ground, 90.0, left_out)
    assert [(row["name"], row["job"]) for row in found["results"]] == [
        ("twinstream", "statistics"),
        ("faust", "statistics"),
    ]
    assert found["sections"] == [{"name": "processor", "seconds": 12.0}]


@pytest.mark.parametrize(("cost", "kept"), [(2.6, True), (2.7, False)])
def test_the_gate_fails_beyond_its_margin(cost: float, kept: bool) -> None:  # noqa: FBT001
    results = [result("twinstream", "statistics", 9.0, cost), result("floor", "statistics", 1.0, 3.0)]
    (verdict,) = judge(results, Committed(margin=0.3, cost={"statistics": 2.0}))
    assert verdict.cost == pytest.approx(cost), "the cheapest run of each counts"
    assert verdict.kept is kept
    assert verdict.as_row()[-1] == ("ok" if kept else "TOO DEAR")


def test_the_committed_ratios_are_of_every_job_and_can_be_renewed(tmp_path: Path) -> None:
    asked = gate.read(gate.FILE)
    assert set(asked.cost) == set(FOLDERS)
    assert 0 < asked.margin < 0.5
    file = tmp_path / "gate.json"
    file.write_text('{"margin": 0.2, "cost": {"statistics": 9}}')
    found = judge([result("twinstream", "statistics", 3.0), result("floor", "statistics", 2.0)], gate.read(file))
    gate.write(found, file)
    assert gate.read(file) == Committed(margin=0.2, cost={"statistics": 1.5})
    with pytest.raises(SetupError, match="run from a clone"):
        gate.read(tmp_path / "none.json")
