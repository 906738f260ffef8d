"""The scrape configuration that an instance writes, and ports that stay."""

from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry

from infra.metrics import MetricsServer
from infra.registry import ChildView, RunFile
from infra.scrape_file import RULES, ScrapeFile


def _role(name: str, port: int | None, *children: str) -> RunFile:
    views = tuple(ChildView(name=child, pid=1, phase="running", restarts=0) for child in children)
    return RunFile(name=name, pid=1, process_started_s=0.0, started_ns=0, port=port, children=views)


def _found(path: Path) -> dict[str, str]:
    [job] = yaml.safe_load(path.read_text("utf-8"))["scrape_configs"]
    return {group["labels"]["role"]: group["targets"][0] for group in job["static_configs"]}


def test_every_role_is_scraped_at_its_port_and_the_processes_of_a_worker_through_it(tmp_path: Path) -> None:
    file = ScrapeFile(tmp_path)
    roles = [
        _role("supervisor", None, "worker", "api"),
        _role("worker", 4001, "worker:pump"),
        _role("worker:pump", 4002),
        _role("api", 4003),
    ]
    file.write(roles)
    assert _found(tmp_path / "prometheus.yml") == {"worker": "127.0.0.1:4001", "api": "127.0.0.1:4003"}
    content = yaml.safe_load(file.path.read_text("utf-8"))
    assert content["rule_files"] == [str(RULES)]
    assert RULES.is_file()


def test_a_new_port_is_written_and_a_role_that_is_away_stays(tmp_path: Path) -> None:
    file = ScrapeFile(tmp_path)
    file.write([_role("worker", 4001), _role("api", 4003)])
    before = file.path.stat().st_ino
    file.write([_role("worker", 4001), _role("api", 4003)])
    assert file.path.stat().st_ino == before
    file.write([_role("api", 4004)])
    assert _found(file.path) == {"worker": "127.0.0.1:4001", "api": "127.0.0.1:4004"}


def test_a_role_takes_the_port_of_its_last_life_where_it_is_free(tmp_path: Path) -> None:
    file = tmp_path / "api.port"
    with MetricsServer(CollectorRegistry(), lambda: True, port_file=file) as first:
        port = first.port
        with MetricsServer(CollectorRegistry(), lambda: True, port_file=file) as beside:
            assert beside.port != port
            other = beside.port
    with MetricsServer(CollectorRegistry(), lambda: True, port_file=file) as again:
        assert again.port == other
    file.write_text("nonsense", "ascii")
    with MetricsServer(CollectorRegistry(), lambda: True, port_file=file) as last:
        assert int(file.read_text("ascii")) == last.port
