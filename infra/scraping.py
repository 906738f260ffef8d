"""Asking roles beside us for their metrics."""

import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_TIMEOUT_S = 2.0
_CHILD_TIMEOUT_S = 1.0
"""Less than `_TIMEOUT_S`: a parent answers in time while one of its children does not."""
_OWN = "twinstream_"
RECORD_COUNTERS = frozenset(
    {"twinstream_records", "twinstream_extra_fields", "twinstream_ticks", "twinstream_refused_commands"}
)
"""What workers count of records: accepted, late and duplicate ones, ignored fields, ticks, and refused commands."""


def exposition_at(port: int, timeout_s: float = _TIMEOUT_S) -> str | None:
    """What the `/metrics` on a loopback port says; `""` when nothing listens there, None when it does not answer.

    Somebody else who listens there, or an answer that breaks off, is no answer.
    """
    # A proxy from the environment has no business between two processes of one machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=timeout_s) as answer:
            text = str(answer.read().decode())
        list(text_string_to_metric_families(text))  # raises ValueError where readers would
    except (OSError, HTTPException, ValueError) as error:
        # Roles may listen on another address only: that is no silence.
        return "" if isinstance(getattr(error, "reason", error), ConnectionRefusedError) else None
    return text


def expositions_at(ports: Iterable[int], timeout_s: float = _TIMEOUT_S) -> dict[int, str | None]:
    """The same of several ports, asked at once."""
    wanted = sorted(set(ports))
    if not wanted:
        return {}
    with ThreadPoolExecutor(len(wanted)) as pool:
        return dict(zip(wanted, pool.map(lambda port: exposition_at(port, timeout_s), wanted), strict=True))


class ChildMetrics(Collector):
    """Shows the figures of child processes among those of their parent, whose port alone may be reachable.

    Only our own figures, which carry the type as a label: those of the processes themselves would collide.
    """

    def __init__(self, ports: Callable[[], Iterable[int]]) -> None:
        self._ports = ports

    def describe(self) -> list[Metric]:
        """Nothing is known before children are asked."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Ask every child."""
        for text in expositions_at(self._ports(), _CHILD_TIMEOUT_S).values():
            for family in text_string_to_metric_families(text or ""):
                if family.name.startswith(_OWN):
                    yield family


def record_counters(ports: Iterable[int]) -> bytes:
    """`RECORD_COUNTERS` of several workers, in Prometheus' text format; those of one type are added up."""
    registry = CollectorRegistry()
    registry.register(_Summed(expositions_at(ports, _CHILD_TIMEOUT_S).values()))
    return generate_latest(registry)


class _Summed(Collector):
    def __init__(self, expositions: Iterable[str | None]) -> None:
        families = [family for text in expositions for family in text_string_to_metric_families(text or "")]
        self._families = [family for family in families if family.name in RECORD_COUNTERS]

    def collect(self) -> Iterator[Metric]:
        """One family of each name."""
        shown = {family.name: CounterMetricFamily(family.name, family.documentation) for family in self._families}
        totals: defaultdict[tuple[str, tuple[tuple[str, str], ...]], float] = defaultdict(float)
        for family in self._families:
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    totals[family.name, tuple(sorted(sample.labels.items()))] += sample.value
        for (name, labels), total in sorted(totals.items()):
            shown[name].add_sample(f"{name}_total", dict(labels), total)
        return iter(shown.values())
