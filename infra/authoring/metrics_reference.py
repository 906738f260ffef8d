"""The catalogue of all metrics, as Markdown made from what the roles register."""

from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from infra.http.metrics import Metrics
from infra.metrics import RoleMetrics
from infra.roles.bridge import PrometheusBridgeObserver
from infra.roles.sink import PrometheusSinkObserver
from infra.roles.sink_watch import SinkWatch
from infra.roles.worker import stuck_restarts
from infra.roles.worker_observer import WorkerObserver

_HEAD = """# Metrics

Each role has its `/metrics` on a port of its own; `up` and `demo` write `prometheus.yml` into the data directory with
all of them:

```sh
prometheus --config.file=.twinstream/prometheus.yml --web.listen-address=127.0.0.1:9090 \\
  --storage.tsdb.path=.twinstream/prometheus
```

By itself it would listen on every address and store into the current directory. A role keeps its port over restarts, as
long as it is free. The `worker` role also shows the figures of the processes that step its types. `GET /metrics` of the
[API](http.md) has those of the API and what became of the workers' records, without a scrape configuration.

No metric carries a twin's id as a label: of ten thousand twins there would be ten thousand series. Every counter is
there from the start with 0, but for those marked *open*, whose labels are not known before.

"""
_TAIL = """
## Alerts

`infra/deploy/prometheus/alerts.yml` holds rules for a role that is away or not ready, commits that stand still while
records wait, a lag that grows, twins that are stale, drifting or quarantined, dead letters, records that are missing,
and brokers or stores that are away; `alerts_test.yml` beside it shows when each fires (`promtool test rules`). The
written `prometheus.yml` names them.
"""


def metrics_page() -> str:
    """All metrics by role, with type, labels and meaning."""
    rows: defaultdict[str, list[str]] = defaultdict(list)
    for role, family, labels in families():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        told = ", ".join(f"`{label}`" for label in labels) or "none"
        open_ = " *(open)*" if not family.samples else ""
        rows[role].append(f"| `{name}` | {family.type} | {told}{open_} | {family.documentation} |")
    parts = [
        f"## {role}\n\n| name | type | labels | tells |\n|---|---|---|---|\n" + "\n".join(sorted(found)) + "\n"
        for role, found in rows.items()
    ]
    return _HEAD + "\n".join(parts) + _TAIL


def families() -> Iterator[tuple[str, Metric, tuple[str, ...]]]:
    """Every family with the role that has it, and its labels."""
    for role, registry in registries().items():
        labels = _declared_labels(registry)
        for family in registry.collect():
            seen = {name for sample in family.samples for name in sample.labels} - {"le", "quantile"}
            yield role, family, labels.get(family.name) or tuple(sorted(seen))


def _declared_labels(registry: CollectorRegistry) -> dict[str, tuple[str, ...]]:
    collectors = set(registry._collector_to_names)  # noqa: SLF001 - a family without samples tells its labels nowhere else
    found = {getattr(one, "_name", ""): tuple(getattr(one, "_labelnames", ())) for one in collectors}
    return {name: labels for name, labels in found.items() if name}


def registries() -> dict[str, CollectorRegistry]:
    """What each role registers at its start, by role, as if a type `pump` was deployed and nothing had come."""
    nothing = cast("Any", SimpleNamespace(change=lambda **_: None))
    found = {name: CollectorRegistry() for name in ("Every role", "Workers", "Bridges", "Sinks", "API")}
    every = RoleMetrics(found["Every role"], "api", lambda: 0)
    WorkerObserver(found["Workers"], "pump", nothing, RoleMetrics(CollectorRegistry(), "worker:pump"), nothing)
    stuck_restarts(found["Workers"])
    budget = cast("Any", SimpleNamespace(survived_s=lambda: 1.0))
    PrometheusBridgeObserver(found["Bridges"], "mqtt", lambda: None, budget)
    PrometheusSinkObserver(found["Sinks"], "influxdb", lambda _: None)
    SinkWatch(
        found["Sinks"],
        "influxdb",
        bounds=nothing,
        pass_over=nothing,
        oldest_ms=lambda: None,
        retention_ms=-1,
        clock=nothing,
    )
    every.set_ready(ready=True)
    Metrics(cast("Any", _Services()), found["API"])
    return found


class _Services:
    """What the API's figures are read from: one type, of which nothing came yet."""

    def __init__(self) -> None:
        self.catalogue = SimpleNamespace(types=lambda: {"pump": None})
        self.states = SimpleNamespace(statuses=lambda _: {"ok": 0})
        self.feed = SimpleNamespace(clients=0)
        self.dead_letters = SimpleNamespace(counts={})
        self.accounts = SimpleNamespace(sums=dict)
        self.sources = ("mqtt",)

    @staticmethod
    def loading() -> str:
        return ""
