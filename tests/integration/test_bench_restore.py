"""`twinstream bench restore`, small: what it prints, and that all rows are there again."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(180)]


def test_every_row_is_read_back_and_the_report_has_its_figures() -> None:
    command = [sys.executable, "-m", "infra", "bench", "restore", "--json"]
    options = ["--rows", "3000", "--partitions", "3", "--repeat", "1"]
    ran = subprocess.run([*command, *options], capture_output=True, text=True, timeout=160, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = json.loads(ran.stdout)
    assert (report["rows"], report["partitions"], report["to_reach"]) == (3000, 3, 200_000)
    assert report["changelog_mb"] > 1
    assert report["rows_per_cpu_second"] > 0
    (run,) = report["runs"]
    assert run["rows"] == 3000
    assert all(run[name] > 0 for name in ("seconds", "cpu_seconds", "peak_bytes", "rows_bytes"))
    assert "stepping 3,000 twins" in ran.stderr, "progress goes to standard error"
