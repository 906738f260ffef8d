"""`twinstream bench processor`, small: what it prints, and that every contestant does the whole job."""

import json
import subprocess
import sys

import pytest

RECORDS, TWINS = 4000, 100

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]


def test_every_contestant_works_on_every_record_and_the_report_has_its_shape() -> None:
    command = [sys.executable, "-m", "infra", "bench", "processor", "--json", "--headers", "--repeat", "1"]
    options = ["--records", str(RECORDS), "--twins", str(TWINS), "--partitions", "3"]
    ran = subprocess.run([*command, *options], capture_output=True, text=True, timeout=280, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = json.loads(ran.stdout)
    assert set(report) == {"results", "machine", "versions"}
    assert report["machine"]["cores"] > 0
    assert {"python", "kafka", "twinstream", "faust-streaming", "aiokafka"} <= set(report["versions"])

    assert [result["name"] for result in report["results"]] == ["twinstream", "faust", "floor"]
    for result in report["results"]:
        assert result["records"] == RECORDS
        assert len(result["repeats"]) == 1
        for figures in (result, *result["repeats"]):
            assert figures["records_per_second"] > 0
            assert figures["cpu_seconds_per_million"] > 0
            assert figures["seconds"] > 0
    twinstream, faust, _ = report["results"]
    assert faust["ratio_to_faust"] == 1.0
    detail = twinstream["repeats"][0]["detail"]
    assert detail["accepted"] == RECORDS
    assert "deadletter" not in detail
    assert detail["transactions"] >= 3
    assert detail["rows"] >= TWINS
    assert "twinstream" in ran.stderr, "progress goes to standard error"


def test_unknown_contestant_is_refused() -> None:
    command = [sys.executable, "-m", "infra", "bench", "processor", "--peers", "twinstream,flink"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert "twinstream,faust,floor" in ran.stderr
    assert not ran.stdout
