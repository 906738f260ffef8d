"""The benchmark's workload, the estimation that Faust does in it, and its figures."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from reference.incubator_reference import replay

from infra.bench.contestants.stock_faust import FIRST, STATE, estimate
from infra.bench.job import Finished, Job, Progress, Stopwatch, read_report
from infra.bench.processor import contestants_of
from infra.bench.report import Result, as_json, as_rows
from infra.bench.workload import Telemetry, Workload
from schemas.errors import SetupError
from schemas.partitioning import partition_of


def test_workload_is_the_same_for_the_same_seed_and_has_the_asked_size() -> None:
    load = Workload(records=2500, twins=1000, partitions=4)
    records = [record for cycle in load.cycles() for record in cycle]
    assert len(records) == 2500
    assert records == [record for cycle in load.cycles() for record in cycle]
    assert records != [record for cycle in Workload(2500, 1000, 4, seed=1).cycles() for record in cycle]
    assert len({key for _, key, _ in records}) == 1000
    assert all(place == partition_of(key, 4) for place, key, _ in records)


def test_a_longer_workload_begins_as_a_shorter_one() -> None:
    short, long = (next(iter(Workload(records, 100, 8).cycles())) for records in (60, 400))
    assert long[:60] == short


def test_boxes_of_the_workload_stay_within_what_sensors_can_read_and_switch_their_heaters() -> None:
    payloads = [value for cycle in Workload(30_000, 100, 1).cycles() for _, _, value in cycle]
    records = [msgspec.json.decode(payload, type=Telemetry) for payload in payloads]
    assert all(15 < value < 60 for record in records for value in (record.t1, record.t2, record.t3))
    assert 0.1 < np.mean([record.heater_on for record in records]) < 0.9


def test_faust_estimates_what_the_reference_estimates() -> None:
    payloads = [value for cycle in Workload(300, 1, 1).cycles() for _, _, value in cycle]
    records = [msgspec.json.decode(payload, type=Telemetry) for payload in payloads]
    expected = replay([msgspec.structs.asdict(record) for record in records])
    state = FIRST
    for index, record in enumerate(records):
        state = estimate(state, record)
        heater, air, _, _, _, average, error = STATE.unpack(state)
        assert average == expected["average_temperature"][index]
        assert heater == pytest.approx(expected["T_heater"][index], abs=1e-9)
        assert air == pytest.approx(expected["T_air"][index], abs=1e-9)
        assert error == pytest.approx(expected["prediction_error"][index], abs=1e-9)


def test_figures_are_medians_and_ratios_compare_rates() -> None:
    ours = Result("twinstream", "", tuple(Finished(1000, seconds, 0.004) for seconds in (0.1, 0.01, 0.02)))
    faust = Result("faust", "", (Finished(100, 0.1, 0.018),))
    report = as_json([ours, faust], {"cores": 2}, {"python": "3"})
    first = report["results"][0]
    assert first["records_per_second"] == 50_000
    assert first["cpu_seconds_per_million"] == 4.0
    assert first["ratio_to_faust"] == 50.0
    assert [run["records_per_second"] for run in first["repeats"]] == [10_000, 100_000, 50_000]
    assert next(iter(as_rows([ours, faust])))[1:4] == ("50,000", "4.00", "50.0")


def test_without_faust_there_is_no_ratio() -> None:
    floor = Result("floor", "", (Finished(100, 1.0, 1.0),))
    assert as_json([floor], {}, {})["results"][0]["ratio_to_faust"] is None
    assert next(iter(as_rows([floor])))[3] == "-"


def test_report_of_a_contestant_can_be_read_while_it_grows(tmp_path: Path) -> None:
    job = Job("", "topic", [0, 0], [3, 4], "", str(tmp_path / "report"))
    assert list(read_report(Path(job.report))) == []
    watch = Stopwatch(job)
    watch.start()
    watch.progress(3)
    watch.finish(job.records, rows=2)
    watch.finish(99)
    with Path(job.report).open("ab") as file:
        file.write(b'{"type":"prog')
    progress, finished = read_report(Path(job.report))
    assert progress == Progress(3)
    assert isinstance(finished, Finished)
    assert finished.records == 7
    assert finished.detail == {"rows": 2}


def test_contestants_are_chosen_by_name() -> None:
    assert [contestant.name for contestant in contestants_of("floor, twinstream,floor")] == ["floor", "twinstream"]
    with pytest.raises(SetupError, match="twinstream,faust,floor"):
        contestants_of("")
