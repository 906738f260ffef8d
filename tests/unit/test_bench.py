"""The benchmark's workload, what peers do with it, how their states are checked, and its figures."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from reference.incubator_reference import replay

from infra.bench.contestants.steps import ESTIMATE, STATISTICS, WORK, estimate, follow
from infra.bench.expected import expected
from infra.bench.job import Finished, Job, Progress, Stopwatch, read_report
from infra.bench.jobs import CONTESTANTS, FOLDERS, contestants_of, environments_of, jobs_of
from infra.bench.kept import unpack_engine, unpack_peer, wrong_twins
from infra.bench.peers import Environment
from infra.bench.report import Result, as_json, as_rows
from infra.bench.telemetry import Telemetry
from infra.bench.workload import Workload
from schemas.bundle import read_folder
from schemas.errors import SetupError
from schemas.partitioning import partition_of
from twins.layout import RowLayout


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


def test_peers_estimate_what_the_reference_estimates() -> None:
    payloads = [value for cycle in Workload(300, 1, 1).cycles() for _, _, value in cycle]
    records = [msgspec.json.decode(payload, type=Telemetry) for payload in payloads]
    replayed = replay([msgspec.structs.asdict(record) for record in records])
    state = None
    for index, record in enumerate(records):
        state, told = estimate(state, record)
        heater, air, _, _, _, average, error = ESTIMATE.unpack(state)
        assert told is None
        assert average == replayed["average_temperature"][index]
        assert heater == pytest.approx(replayed["T_heater"][index], abs=1e-9)
        assert air == pytest.approx(replayed["T_air"][index], abs=1e-9)
        assert error == pytest.approx(replayed["prediction_error"][index], abs=1e-9)


def test_peers_keep_the_statistics_of_all_values_and_report_one_record_in_a_hundred() -> None:
    payloads = [value for cycle in Workload(600, 2, 1).cycles() for _, key, value in cycle if key == b"box-00001"]
    records = [msgspec.json.decode(payload, type=Telemetry) for payload in payloads]
    state, reports = None, []
    for record in records:
        state, told = follow(state, record)
        reports += [told] if told else []
    n, *found = STATISTICS.unpack(state or b"")
    values = np.array([[record.t1, record.t2, record.t3] for record in records])
    assert n == 300
    assert found[:3] == pytest.approx(values.mean(axis=0))
    assert np.array(found[3:6]) / 299 == pytest.approx(values.var(axis=0, ddof=1))
    average = values[0]
    for value in values[1:]:
        average = 0.9 * average + 0.1 * value
    assert found[6:] == pytest.approx(average)
    assert 2 <= len(reports) <= 3
    assert msgspec.json.decode(reports[0])["time"] // 1000 % 101 == 0


@pytest.mark.parametrize("kind", FOLDERS)
def test_what_is_expected_is_what_peers_work_out_one_by_one(kind: str) -> None:
    load = Workload(records=1234, twins=50, partitions=2)
    values: dict[bytes, bytes] = {}
    for cycle in load.cycles():
        for _, key, payload in cycle:
            values[key], _ = WORK[kind].step(values.get(key), msgspec.json.decode(payload, type=Telemetry))
    wanted = expected(kind, load)
    assert wrong_twins(values, unpack_peer(kind), load.keys, wanted) == 0

    values[b"box-00007"] = values[b"box-00008"]
    del values[b"box-00003"]
    assert wrong_twins(values, unpack_peer(kind), load.keys, wanted) == 2
    assert wrong_twins({}, unpack_peer(kind), load.keys, wanted) == 50


def test_keys_of_a_changelog_may_hold_more_than_the_id() -> None:
    load = Workload(records=2, twins=2, partitions=1)
    wanted = expected("statistics", load)
    packed = [STATISTICS.pack(int(row[0]), *row[1:]) for row in wanted]
    values = {b"box-00000|s": packed[0], b'"box-00001"|s': packed[1]}
    assert wrong_twins(values, unpack_peer("statistics"), load.keys, wanted) == 0


@pytest.mark.parametrize("kind", FOLDERS)
def test_rows_of_our_types_are_read_in_the_same_order(kind: str) -> None:
    bundle = read_folder(FOLDERS[kind])
    layout = RowLayout.of(bundle.definition())
    row = layout.new_row(b"a")
    if kind == "statistics":
        row["records"] = 5
        row["s_statistics"]["mean"], row["s_statistics"]["m2"] = (1, 2, 3), (4, 5, 6)
        row["s_statistics"]["average"] = (7, 8, 9)
        numbers = [5.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    else:
        row["s_estimation"]["x"] = numbers = [40.0, 30.0]
    values = [layout.encode(row.tobytes(), b"{}")] * 2
    assert unpack_engine(bundle)(values).tolist() == [numbers, numbers]


def test_figures_are_spreads_and_ratios_compare_medians_of_the_same_job() -> None:
    ours = Result("twinstream", "", "statistics", tuple(Finished(1000, at, 0.004) for at in (0.1, 0.01, 0.02)))
    faust = Result("faust", "", "statistics", (Finished(100, 0.1, 0.018),))
    other = Result("faust", "", "incubator", (Finished(100, 0.2, 0.018),))
    report = as_json([ours, other, faust], {"cores": 2}, {"python": "3"})
    first = report["results"][0]
    assert (first["name"], first["job"]) == ("twinstream", "statistics")
    assert first["records_per_second"] == {"minimum": 10_000, "median": 50_000, "maximum": 100_000}
    assert first["cpu_seconds_per_million"] == {"minimum": 4.0, "median": 4.0, "maximum": 4.0}
    assert [row["twinstream_is_times_as_fast"] for row in report["results"]] == [1.0, None, 50.0]
    assert [run["records_per_second"] for run in first["repeats"]] == [10_000, 100_000, 50_000]
    rows = list(as_rows([ours, other, faust]))
    assert rows[0][2:7] == ("50,000", "10,000", "100,000", "4.00", "1.00")
    assert rows[2][6] == "50.00"


def test_without_us_there_is_no_ratio() -> None:
    floor = Result("floor", "", "statistics", (Finished(100, 1.0, 1.0),))
    assert as_json([floor], {}, {})["results"][0]["twinstream_is_times_as_fast"] is None
    assert next(iter(as_rows([floor])))[6] == "-"


def test_report_of_a_contestant_can_be_read_while_it_grows(tmp_path: Path) -> None:
    job = Job("statistics", "", "", "topic", "", [0, 0], [3, 4], 0, "", str(tmp_path / "report"))
    assert list(read_report(Path(job.report))) == []
    watch = Stopwatch(job.report)
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
    with pytest.raises(SetupError, match="twinstream,faust,faust-take,quix"):
        contestants_of("flink")


def test_all_that_are_installed_take_part_and_what_is_not_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINSTREAM_CACHE", str(tmp_path))
    assert [one.name for one in contestants_of("")] == ["twinstream", "faust", "faust-take", "floor"]
    with pytest.raises(SetupError, match="not installed: quix; `twinstream bench peers --install`"):
        contestants_of("quix,faust")
    environments = environments_of(CONTESTANTS)
    assert [one.name for one in environments] == ["quix", "kafka-streams"]
    for environment in environments:
        environment.folder.mkdir(parents=True)
        (environment.folder / "complete").touch()
    assert contestants_of("") == list(CONTESTANTS)


async def test_an_installation_that_fails_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINSTREAM_CACHE", str(tmp_path))
    broken = Environment("peer", "", "", (), (), lambda _: (("sh", "-c", "echo no registry >&2; exit 3"),))
    with pytest.raises(SetupError, match=r"(?s)peer could not be installed \(sh ended with 3\).*no registry"):
        await broken.install()
    assert not broken.folder.exists()
    with pytest.raises(SetupError, match="peer needs no-such-program on the path"):
        await Environment("peer", "", "", ("no-such-program",), (), lambda _: ()).install()


def test_jobs_are_chosen_by_name() -> None:
    assert jobs_of("both") == ("statistics", "incubator")
    assert jobs_of("incubator") == ("incubator",)
    with pytest.raises(SetupError, match="statistics, incubator or both"):
        jobs_of("all")
