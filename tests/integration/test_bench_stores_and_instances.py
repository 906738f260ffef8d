"""`bench sink`, `e2e`, `console`, `scale` and `all`, small: what they print, on real servers."""

import json
import subprocess
import sys
from typing import Any

import pytest
from servers.availability import unavailable

from infra.bench.servers.influxdb import find_influxd
from infra.bench.servers.secantus import find_secantus

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(400)]


def measured(*arguments: str, codes: tuple[int, ...] = (0,)) -> Any:
    command = [sys.executable, "-m", "infra", "bench", *arguments, "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=380, check=False)
    assert ran.returncode in codes, ran.stdout + ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.system
@pytest.mark.parametrize(("store", "peer"), [("timeseries", "influxdb-client"), ("metadata", "update-one")])
def test_sinks_and_peers_store_everything(store: str, peer: str) -> None:
    there = {"timeseries": find_influxd, "metadata": find_secantus}[store]()
    if there is None:
        unavailable(store, "its server is not there: run scripts/servers")
    report = measured("sink", "--store", store, "--points", "5000", "--documents", "2000", "--repeat", "1")
    assert [(row["job"], row["name"]) for row in report["results"]] == [(store, "twinstream"), (store, peer)]
    for row in report["results"]:
        assert row["records"] == {"timeseries": 5000, "metadata": 2000}[store]
        assert row["cpu_seconds_per_million"]["median"] > 0


def test_an_instance_under_load_tells_rates_latencies_and_where_cpu_time_goes() -> None:
    report = measured("e2e", "--rates", "200", "--seconds", "5", "--twins", "20")
    first, *at_share = report["levels"]
    assert (first["messages"], first["messages_per_second"]) == (1000, 200)
    # A busy machine may not even sustain this.
    assert [level["messages_per_second"] for level in at_share] == ([140] if first["sustained"] else [])
    assert first["stored_ms"]["median"] > 0
    if first["sustained"]:
        assert 0 <= first["drained_seconds"] <= first["in_the_api_seconds"]
    assert {"Kafka", "MQTT broker", "type-worker", "bridge mqtt", "sink timeseries"} <= set(first["cores"])
    assert first["generator_cores"] < 0.5


def test_pages_and_requests_are_served_while_messages_flow_and_what_that_costs_is_told() -> None:
    # A busy machine may miss the limit, which is exit code 1 as well; not to be served is an error without JSON.
    sizes = ("--repeat", "1", "--seconds", "4", "--rate", "200", "--twins", "100")
    report = measured("console", *sizes, "--consoles", "8", "--requests", "20", "--no-browser", codes=(0, 1))
    (pair,) = report["runs"]
    assert pair["without"]["messages"] == pair["with"]["messages"] == 800
    assert 0 < pair["without"]["processed_ms"]["median"] <= pair["without"]["processed_ms"]["p99"]
    audience = pair["with"]["audience"]
    assert audience["pages"] == 8
    assert audience["pushes_per_second"] > 4
    assert audience["requests_per_second"] > 10
    assert report["api_cores_with"]["median"] > report["api_cores_without"]["median"] > 0
    assert report["kept"] is (report["times_as_long"]["median"] <= report["limit"])


def test_two_workers_share_the_input() -> None:
    report = measured("scale", "--workers", "1,2", "--records", "40000", "--partitions", "4", "--repeat", "1")
    assert [(row["job"], row["records"]) for row in report["results"]] == [("scale-1", 40_000), ("scale-2", 40_000)]
    assert report["model"]["broker_us_per_record"] > 0
    assert set(report["model"]["errors"]) == {"1", "2"}


def test_a_worker_that_is_started_tells_how_soon_it_works() -> None:
    found = measured("start", "--repeat", "2")
    assert 0.05 < found["first_commit_s"]["minimum"] <= found["first_commit_s"]["maximum"] < 60
