"""The scrape configuration of a running instance, for Prometheus: `prometheus.yml` in the data directory."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from infra.embedded.ports import LOOPBACK
from infra.put_file import put_file
from infra.registry import RunFile

SCRAPE_FILE = "prometheus.yml"
RULES = Path(__file__).resolve().parent / "deploy" / "prometheus" / "alerts.yml"
"""Alert rules that we ship."""
_INTERVAL = "5s"
_HEAD = """\
# Written at every start of the instance, and when a port changed: edit a copy.
# prometheus --config.file={file} --web.listen-address=127.0.0.1:9090 --storage.tsdb.path={store}
"""


def targets(roles: list[RunFile]) -> dict[str, int]:
    """Port of each role's `/metrics`, by name; children of a worker are told by the worker itself."""
    children = {child.name for entry in roles for child in entry.children if entry.port is not None}
    return {entry.name: entry.port for entry in roles if entry.port is not None and entry.name not in children}


def configuration(ports: Mapping[str, int]) -> dict[str, object]:
    """What Prometheus reads. A figure's own label `role` stands; without one it gets its target's."""
    groups = [{"targets": [f"{LOOPBACK}:{port}"], "labels": {"role": name}} for name, port in sorted(ports.items())]
    return {
        "global": {"scrape_interval": _INTERVAL, "evaluation_interval": _INTERVAL},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "twinstream", "honor_labels": True, "static_configs": groups}],
    }


class ScrapeFile:
    """Keeps `prometheus.yml` of a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / SCRAPE_FILE
        self._written: dict[str, int] | None = None

    def write(self, roles: list[RunFile]) -> None:
        """Write it if ports changed; a role that is away for the moment stays in it."""
        ports = (self._written or {}) | targets(roles)
        if ports == self._written:
            return
        head = _HEAD.format(file=self.path, store=self.path.with_suffix(""))
        put_file(self.path, head + yaml.safe_dump(configuration(ports), sort_keys=False))
        self._written = ports
