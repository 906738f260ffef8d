"""Every panel of every board is asked of the real stores while the demo runs, and so are the alert rules."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from influxdb_client import InfluxDBClient
from servers.availability import unavailable
from servers.background import BackgroundLoop
from servers.prometheus import Prometheus
from support.instance import Instance, eventually

from infra.bench.servers.influxdb import InfluxDb
from schemas.errors import SetupError

pytestmark = [pytest.mark.kafka, pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

BUCKET = "boards"
# The simulated devices are faster than life, so that their time runs ahead of ours.
PRELUDE = f"""option v = {{
  timeRangeStart: -10m,
  timeRangeStop: 2h,
  windowPeriod: 1s,
  defaultBucket: "{BUCKET}",
}}
"""


@pytest.fixture(scope="module")
def demo(influxdb: InfluxDb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """The demo, with its time series in InfluxDB."""
    folder = tmp_path_factory.mktemp("boards")
    site = {"timeseries": {"url": influxdb.url, "token": influxdb.token, "org": influxdb.org, "bucket": BUCKET}}
    (folder / "site.yaml").write_text(yaml.safe_dump(site), "utf-8")
    with Instance(folder / "data", "demo", "-c", str(folder / "site.yaml"), "--speed", "20") as running:
        yield running


@pytest.fixture(scope="module")
def scraping(
    demo: Instance, servers_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """A Prometheus that reads what the instance wrote, and nothing else."""
    server = Prometheus(tmp_path_factory.mktemp("prometheus"), 0)
    server.configuration = demo.data_dir / "prometheus.yml"
    try:
        servers_loop.enter(server)
    except SetupError as error:
        unavailable(server.label, str(error))
    yield server
    servers_loop.leave(server)


@pytest.fixture(scope="module")
def boards(demo: Instance) -> dict[str, dict[str, Any]]:
    folder = demo.data_dir / "grafana" / "boards"
    wanted = {"system.json", "fleet-incubator.json", "twin-incubator.json"}
    eventually(lambda: wanted <= {file.name for file in folder.glob("*.json")}, "boards of the deployed type")
    return {file.stem: json.loads(file.read_text("utf-8")) for file in sorted(folder.glob("*.json"))}


def _flux(influxdb: InfluxDb, query: str) -> list[dict[str, Any]]:
    with InfluxDBClient(influxdb.url, influxdb.token, org=influxdb.org) as client:
        imports = [line for line in query.splitlines() if line.startswith("import ")]
        body = "\n".join(line for line in query.splitlines() if not line.startswith("import "))
        tables = client.query_api().query("\n".join([*imports, PRELUDE, body]).replace("${twin}", "incubator-1"))
    return [record.values for found in tables for record in found.records]


def _promql(scraping: Prometheus, expression: str) -> list[dict[str, Any]]:
    answer = httpx.get(
        f"{scraping.url}/api/v1/query", params={"query": expression.replace("$type", ".*")}, timeout=10
    ).json()
    assert answer["status"] == "success", (expression, answer)
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def _answered(target: dict[str, Any], influxdb: InfluxDb, scraping: Prometheus) -> list[dict[str, Any]]:
    if target["datasource"]["type"] == "influxdb":
        return _flux(influxdb, target["query"])
    return _promql(scraping, target["expr"])


def test_every_panel_shows_something(
    boards: dict[str, dict[str, Any]], influxdb: InfluxDb, scraping: Prometheus
) -> None:
    asked = 0
    for name, board in boards.items():
        for panel in board["panels"]:
            for target in panel["targets"]:
                eventually(lambda target=target: _answered(target, influxdb, scraping), f"{name}: {panel['title']}", 40)
                asked += 1
    assert asked > 40


def test_twins_are_found_for_the_choice_and_events_are_marked(
    boards: dict[str, dict[str, Any]], influxdb: InfluxDb
) -> None:
    twin = boards["twin-incubator"]
    [choice] = twin["templating"]["list"]
    found = eventually(lambda: _flux(influxdb, choice["query"]["query"]), "twins", 20)
    assert {row["_value"] for row in found} == {"incubator-1", "incubator-2", "incubator-3"}
    marks = {mark["name"]: mark["target"]["query"] for mark in twin["annotations"]["list"]}
    assert {"lid_opened", "lid_closed"} <= marks.keys()
    opened = eventually(lambda: _flux(influxdb, marks["lid_opened"]), "the lid of the first incubator was opened", 60)
    assert {row["text"] for row in opened} == {"lid_opened"}


def test_the_choice_of_a_type_is_a_label_that_there_is(boards: dict[str, dict[str, Any]], scraping: Prometheus) -> None:
    [choice] = boards["system"]["templating"]["list"]
    assert choice["query"] == "label_values(twinstream_twins, type)"
    found = eventually(lambda: _promql(scraping, "twinstream_twins"), "twins by type", 20)
    assert {row["metric"]["type"] for row in found} == {"incubator"}


def test_alert_rules_are_taken_and_none_fires_while_all_is_well(scraping: Prometheus) -> None:
    def evaluated() -> list[dict[str, Any]]:
        groups = httpx.get(f"{scraping.url}/api/v1/rules", timeout=10).json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if rules and all(rule["health"] == "ok" for rule in rules) else []

    rules = eventually(evaluated, "rules evaluated", 30)
    assert len(rules) == 12
    assert {rule["name"] for rule in rules if rule["state"] == "firing"} <= {"DeadLetters"}


def test_provisioning_names_no_secret(demo: Instance, influxdb: InfluxDb) -> None:
    files = list((demo.data_dir / "grafana").rglob("*.*"))
    assert files
    for file in files:
        assert influxdb.token not in file.read_text("utf-8"), file
    sources = yaml.safe_load((demo.data_dir / "grafana/provisioning/datasources/twinstream.yml").read_text("utf-8"))
    assert {source["uid"] for source in sources["datasources"]} == {"metrics", "timeseries"}
    provider = yaml.safe_load((demo.data_dir / "grafana/provisioning/dashboards/twinstream.yml").read_text("utf-8"))
    assert Path(provider["providers"][0]["options"]["path"]) == demo.data_dir / "grafana" / "boards"


def test_a_board_goes_with_its_type(demo: Instance, boards: dict[str, dict[str, Any]]) -> None:
    assert "fleet-incubator" in boards
    file = demo.data_dir / "grafana" / "boards" / "fleet-incubator.json"
    demo.run("undeploy", "incubator")
    eventually(lambda: not file.exists(), "the boards of a type that is gone are removed", 20)
    assert (file.parent / "system.json").exists()
