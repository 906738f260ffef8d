"""`twinstream bench processor`, small: what it prints, and that every contestant does the whole job."""

import json
import subprocess
import sys
from typing import Any

import pytest
from servers.availability import unavailable

RECORDS, TWINS = 4000, 100
BENCH = [sys.executable, "-m", "infra", "bench"]

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(400)]


def measured(*options: str) -> tuple[dict[str, Any], str]:
    sizes = ["--records", str(RECORDS), "--twins", str(TWINS), "--partitions", "3", "--repeat", "1"]
    command = [*BENCH, "processor", "--json", *sizes, *options]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout), ran.stderr


def test_every_contestant_works_on_every_record_and_the_report_has_its_shape() -> None:
    report, progress = measured("--job", "both", "--headers", "--peers", "twinstream,faust,faust-take,floor")
    assert set(report) == {"results", "failed", "machine", "versions"}
    assert report["failed"] == []
    assert report["machine"]["cores"] > 0
    assert {"python", "kafka", "twinstream", "faust-streaming", "aiokafka"} <= set(report["versions"])

    rows = {(result["job"], result["name"]): result for result in report["results"]}
    first, second = ("twinstream", "faust", "faust-take", "floor"), ("twinstream", "faust", "floor")
    assert list(rows) == [*(("statistics", name) for name in first), *(("incubator", name) for name in second)]
    for result in rows.values():
        assert result["records"] == RECORDS
        assert len(result["repeats"]) == 1
        for figure in ("records_per_second", "cpu_seconds_per_million"):
            assert set(result[figure]) == {"minimum", "median", "maximum"}
            assert 0 < result[figure]["minimum"] <= result[figure]["median"] <= result[figure]["maximum"]
    for job in ("statistics", "incubator"):
        assert rows[job, "twinstream"]["twinstream_is_times_as_fast"] == 1.0
        detail = rows[job, "twinstream"]["repeats"][0]["detail"]
        assert detail["accepted"] == RECORDS
        assert "deadletter" not in detail
        assert detail["transactions"] >= 3
        assert detail["rows"] >= TWINS
    assert "statistics: twinstream" in progress, "it goes to standard error"


@pytest.mark.system
def test_peers_are_installed_on_request_and_end_with_the_right_states() -> None:
    command = [*BENCH, "peers", "--install", "--peers", "quix,kafka-streams", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    there = {row["name"]: row["installed"] for row in json.loads(ran.stdout)}
    if not all(there.values()):
        unavailable("peers", ran.stderr)
    report, _ = measured("--job", "both", "--peers", "quix,kafka-streams,kafka-streams-exactly-once")
    # A run with wrong states in its changelog would have failed.
    assert len(report["results"]) == 6
    assert all(result["records"] == RECORDS for result in report["results"])


def test_unknown_contestant_is_refused() -> None:
    ran = subprocess.run(
        [*BENCH, "processor", "--peers", "twinstream,flink"], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 1
    assert "twinstream,faust,faust-take,quix" in ran.stderr
    assert not ran.stdout
