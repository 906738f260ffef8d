"""What benchmarks of sinks, of whole instances and of several workers are made of."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.lines import parse_line
from infra.bench.draining import Drain
from infra.bench.e2e import _last
from infra.bench.instance import part_of
from infra.bench.job import Finished
from infra.bench.latency import percentiles_ms
from infra.bench.level import Level, cpu_rows, summary, sustained_rate
from infra.bench.report import Result
from infra.bench.scale import BROKER_CPU, fit
from infra.bench.sink_load import FIELDS, blocks_of, documents_of, values_of
from infra.bench.workload import Workload
from infra.embedded.process import ChildProcess
from schemas.errors import SetupError

LEVEL = Level(
    rate=1000.0,
    messages=10_000,
    seconds=10.0,
    lag_half=100,
    lag_end=120,
    drained_s=0.5,
    shown_s=0.6,
    stored_ms=(90.0, 300.0, 400.0),
    command_ms=(20.0, 200.0, 240.0),
    commands=12,
    generator_cpu_s=1.0,
    cpu_s={"Kafka": 5.0, "worker": 10.0},
)


def test_blocks_of_line_protocol_say_what_the_points_say() -> None:
    blocks = list(blocks_of(250, 20, 100))
    assert [block.count(b"\n") for block in blocks] == [100, 100, 50]
    lines = [parse_line(line.decode()) for block in blocks for line in block.splitlines()]
    for line, (twin, values, time_ns) in zip(lines, values_of(250, 20), strict=True):
        assert (line.measurement, line.tags, line.time_ns) == ("incubator", {"twin": twin}, time_ns)
        assert line.fields == dict(zip(FIELDS, values, strict=True))
    assert len({(twin, time_ns) for twin, _, time_ns in values_of(250, 20)}) == 250, "no point overwrites another"


def test_documents_of_a_twin_follow_each_other() -> None:
    documents = [(twin, json.loads(text)) for twin, text in documents_of(7, 3)]
    assert [twin for twin, _ in documents][:4] == ["box-00000", "box-00001", "box-00002", "box-00000"]
    assert [document["revision"] for twin, document in documents if twin == "box-00000"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "sustained"),
    [
        ({}, True),
        ({"seconds": 11.0}, False),
        ({"lag_end": 400}, False),
        ({"drained_s": 10.5}, False),
        ({"drained_s": math.nan}, False),
    ],
)
def test_a_rate_is_sustained_when_it_was_sent_and_the_lag_did_not_grow(
    change: dict[str, float],
    sustained: bool,  # noqa: FBT001
) -> None:
    assert replace(LEVEL, **change).sustained is sustained  # type: ignore[arg-type]


def test_a_level_tells_its_latencies_and_where_cpu_time_goes() -> None:
    assert LEVEL.in_time
    assert not replace(LEVEL, command_ms=(1.0, 251.0, 300.0)).in_time
    told = summary([LEVEL, replace(LEVEL, rate=2000.0, drained_s=math.nan)])
    assert told["sustained_per_second"] == 1000.0
    assert told["levels"][0]["cores"] == {"Kafka": 0.5, "worker": 1.0}
    assert told["levels"][1]["drained_seconds"] is None
    json.dumps(told, allow_nan=False)
    assert list(cpu_rows(LEVEL)) == [("worker", "1.00", "1000"), ("Kafka", "0.50", "500")]


def test_a_rate_counts_only_when_it_was_sustained_each_time_it_was_held() -> None:
    lower, missed = replace(LEVEL, rate=500.0), replace(LEVEL, lag_end=400)
    assert sustained_rate([lower, LEVEL]) == 1000.0
    assert sustained_rate([lower, LEVEL, missed]) == 500.0
    assert sustained_rate([missed]) == 0.0


def test_the_last_message_of_a_load_is_known_without_sending_it() -> None:
    workload = Workload(2345, 100, 1)
    sent = [key for _, key, _ in workload.by_type(["a"])]
    assert _last(workload) == (sent[-1].decode(), sent.count(sent[-1]))


def test_percentiles_of_nothing_are_no_numbers() -> None:
    assert all(map(math.isnan, percentiles_ms([])))
    assert percentiles_ms([float(value) for value in range(1, 101)]) == pytest.approx((50.5, 99.01, 100.0))


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (["/x/python", "-P", "-m", "infra", "up", "--data-dir", "d"], "supervisor"),
        (["/x/python", "-P", "-m", "infra", "bridge", "mqtt"], "bridge mqtt"),
        (["/x/python", "-P", "-m", "infra", "type-worker", "--type", "incubator"], "type-worker"),
        (["/usr/sbin/mosquitto", "-c", "f"], "MQTT broker"),
        (["/x/java", "-Xmx1g", "kafka.Kafka", "server.properties"], "Kafka"),
        (["/x/python", "-I", "/y/documents_nx27017.py"], "document server"),
        (["sleep", "1"], "others"),
    ],
)
def test_processes_of_an_instance_are_known_by_their_command_lines(command: list[str], part: str) -> None:
    assert part_of(command) == part


def test_costs_of_a_record_are_fitted_and_compared_with_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5})
    results = [
        Result("twinstream", "", f"scale-{count}", (Finished(1_000_000, seconds, 3.0, {BROKER_CPU: 1000}),))
        for count, seconds in ((1, 2.5), (2, 2.0))
    ]
    model = fit(results)
    assert (model.worker_s, model.broker_s) == pytest.approx((3e-6, 1e-6))
    assert model.errors == pytest.approx({1: 0.25, 2: 0.0})
    assert next(iter(model.rows()))[:5] == ("10", "10", "20", "6,666,667", "7")


def test_several_workers_of_which_none_came_to_its_end_make_no_model() -> None:
    with pytest.raises(SetupError, match="no number of workers"):
        fit([Result("twinstream", "", "scale-1", (), "broken")])


def idle(tmp_path: Path) -> ChildProcess:
    return ChildProcess("idle", [sys.executable, "-c", "import time; time.sleep(60)"], log_path=tmp_path / "log")


@pytest.mark.parametrize("amounts", [[0, 0, 10, 40, 100], [0, 0, 0, 100]])
async def test_what_is_drained_is_timed_from_the_last_look_that_saw_nothing(tmp_path: Path, amounts: list[int]) -> None:
    told: list[int] = []
    looks = iter(amounts)

    async def done() -> int:
        return next(looks)

    async with idle(tmp_path) as child:
        run = await Drain("title", [child], 100, done, told.append).from_the_first()
    assert run.records == 100, "also when all came between two looks"
    assert told[-1] == 100
    assert run.seconds > 0.01


async def test_a_process_that_ends_before_it_has_drained_everything_is_told(tmp_path: Path) -> None:
    async def never() -> int:
        return 3

    async with ChildProcess("broken", [sys.executable, "-c", "print('no money')"], log_path=tmp_path / "b") as child:
        await child.wait()
        with pytest.raises(SetupError, match=r"(?s)title got no further than 3 of 100.*no money"):
            await Drain("title", [child], 100, never, lambda _: None)._until(100, never)  # noqa: SLF001
