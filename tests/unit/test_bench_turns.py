"""Contestants that take turns, parts of `bench all`, peers that are installed: what fails spoils nothing else."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from connectors.ports import BrokerAwayError
from infra.bench import everything, gate, kept, machine, peers
from infra.bench.document import Section, write
from infra.bench.gate import Committed
from infra.bench.job import Finished
from infra.bench.kept import records_between
from infra.bench.parts import Part, Span
from infra.bench.peers import Environment, install_all
from infra.bench.report import Result, as_json, as_rows
from infra.bench.stages import Stages
from infra.bench.turns import Turn, take_turns
from schemas.errors import SetupError
from streams.log.client import KafkaOptions


class Contestant:
    """Takes as many CPU seconds as it is told, one after another, and fails when none are left."""

    def __init__(self, *cpu_seconds: float) -> None:
        self._left = list(cpu_seconds)
        self.asked = 0

    async def run(self) -> Finished:
        self.asked += 1
        if not self._left:
            raise OSError("fell over\nat line 3")
        return Finished(1_000_000, 2.0, self._left.pop(0))


def turns_of(**contestants: Contestant) -> list[Turn]:
    return [Turn(name, f"the {name}", "statistics", one.run) for name, one in contestants.items()]


async def test_a_contestant_that_fails_says_so_in_its_row_and_the_others_go_on() -> None:
    good, once, never = Contestant(1.0, 2.0, 3.0), Contestant(4.0), Contestant()
    results = await take_turns(turns_of(twinstream=good, faust=once, quix=never), 3, Stages())
    assert [len(result.runs) for result in results] == [3, 1, 0]
    assert (once.asked, never.asked) == (2, 1), "it is not asked again"
    found = as_json(results, {}, {})
    assert [row["name"] for row in found["results"]] == ["twinstream", "faust"]
    assert found["failed"] == [
        {"name": "faust", "job": "statistics", "runs": 1, "reason": "fell over\nat line 3"},
        {"name": "quix", "job": "statistics", "runs": 0, "reason": "fell over\nat line 3"},
    ]
    rows = list(as_rows(results))
    assert rows[1][1] == "faust (the faust), FAILED in run 2: fell over"
    assert rows[2][1:3] == ("quix (the quix), FAILED in run 1: fell over", "-")
    assert {len(row) for row in rows} == {9}


def test_a_report_of_nothing_but_failures_is_written(tmp_path: Path) -> None:
    section = Section(
        "processor", "Stream processors", "", 1.0, [Result("faust", "", "statistics", (), "broken | down")]
    )
    write(tmp_path, [section], {}, {}, seconds=1.0, command="", left_out={})
    assert "FAILED in run 1: broken / down" in (tmp_path / "report.md").read_text()


async def test_turns_end_when_it_is_enough() -> None:
    told: list[int] = []

    def enough(results: Sequence[Result]) -> bool:
        told.append(sum(len(result.runs) for result in results))
        return told[-1] == 3

    contestants = {"a": Contestant(*[1.0] * 9), "b": Contestant(*[1.0] * 9)}
    results = await take_turns(turns_of(**contestants), 9, Stages(), each_turn=enough)
    assert told == [1, 2, 3]
    assert [len(result.runs) for result in results] == [2, 1]


@pytest.mark.parametrize(
    ("ours", "rounds", "kept"),
    [([1.0, 1.0], 2, True), ([9.0, 9.0, 9.0, 1.0], 4, True), ([9.0] * 6, 6, False)],
)
async def test_the_gate_asks_again_while_a_ratio_is_too_high(
    monkeypatch: pytest.MonkeyPatch,
    ours: list[float],
    rounds: int,
    kept: bool,  # noqa: FBT001
) -> None:
    engine, floor = Contestant(*ours), Contestant(*[1.0] * 6)

    async def contest(_chosen: object, jobs: Sequence[str], _workload: object, **options: Any) -> list[Result]:
        repeat, each_turn = options["repeat"], options["each_turn"]
        found = await take_turns(turns_of(twinstream=engine, floor=floor), repeat, Stages(), each_turn=each_turn)
        return [replace(result, job=jobs[0]) for result in found]

    monkeypatch.setattr(gate, "contest", contest)
    monkeypatch.setattr(gate, "read", lambda _: Committed(margin=0.3, cost={"statistics": 1.0}))
    (verdict,) = await gate.measure()
    assert (floor.asked, verdict.kept) == (rounds, kept)
    engine = Contestant()
    with pytest.raises(SetupError, match="twinstream failed: fell over"):
        await gate.measure()


async def test_a_part_that_fails_is_left_out_and_what_it_measured_before_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = Result("faust", "", "statistics", (Finished(10, 1.0, 1.0),))

    async def fine(span: Span) -> Section:
        span.each_turn("fine", "Fine", "As far as it is.")([])
        assert "As far as it is." in (tmp_path / "report.md").read_text(), "nothing is lost when it is killed now"
        return Section("fine", "Fine", "It was.", 0.0, [good])

    async def broken(_span: Span) -> Section:
        raise SetupError("no such server")

    async def surprised(_span: Span) -> Section:
        raise BrokerAwayError("away")

    async def slow(span: Span) -> Section:
        span.each_turn("slow", "Slow", "One row.")([good])
        raise TimeoutError

    monkeypatch.setattr(machine, "versions", lambda: {"kafka": "4"})
    parts = [
        Part("broken", 0.0, broken),
        Part("surprised", 0.0, surprised),
        Part("fine", 0.0, fine),
        Part("slow", 0.0, slow),
        Part("long", 1e6, fine),
    ]
    found = await everything.measure(quick=True, install=False, folder=tmp_path, parts=parts)
    assert [section.name for section in found.sections] == ["fine", "slow"]
    assert found.left_out["broken"] == "failed: no such server"
    assert found.left_out["surprised"] == "failed: away"
    assert (found.broken, found.failed) == (["broken", "surprised"], True)
    assert found.left_out["long"] == "a quick run has no time for it"
    assert "broken off" in found.left_out["slow"]
    text = (tmp_path / "report.md").read_text()
    assert "It was." in text
    assert "- broken: failed: no such server" in text
    report = json.loads((tmp_path / "report.json").read_text())
    assert report == found.as_json()
    assert [row["name"] for row in report["results"]] == ["faust", "faust"]


async def test_a_peer_that_can_not_be_installed_keeps_no_other_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINSTREAM_CACHE", str(tmp_path))
    broken = Environment("broken", "1", "it", (), (), lambda _: (("false",),))
    lacking = replace(broken, name="lacking", needs=("no-such-program",))
    endless = replace(broken, name="endless", steps=lambda _: (("sleep", "60"),))
    good = replace(broken, name="good", steps=lambda _: (("true",),))
    failed = await install_all(lambda _: None, [broken, lacking, good])
    assert [reason.split()[0] for reason in failed] == ["broken", "lacking"]
    assert good.is_there
    assert await install_all(lambda _: None, [endless, good], 0.2) == ["endless could not be installed in time"]
    assert not endless.folder.exists()


def test_maven_writes_below_the_cache_directory_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINSTREAM_CACHE", str(tmp_path))
    (command,) = peers.KAFKA_STREAMS.steps(tmp_path / "peer")
    assert f"-Dmaven.repo.local={tmp_path}/peers/maven-repository" in command


def test_cores_are_those_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 7})
    assert machine.machine()["cores"] == 2


class Silent:
    """A Kafka that has two records and gives none."""

    def __init__(self, *_: object, **__: object) -> None: ...
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...
    async def end_offsets(self, _topics: object) -> dict[tuple[str, int], int]:
        return {("t", 0): 2}

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def position(self, _place: object) -> int:
        return 0

    async def getmany(self, **_: object) -> dict[object, object]:
        return {}

    def assign(self, _places: object) -> None: ...
    def seek(self, _place: object, _offset: int) -> None: ...


async def test_a_changelog_that_can_not_be_read_to_its_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LogAdmin", Silent)
    monkeypatch.setattr(kept, "AIOKafkaConsumer", Silent)
    with pytest.raises(SetupError, match="t can't be read to the end"):
        [_ async for _ in records_between(KafkaOptions("nowhere:1"), {("t", 0): 0})]
