"""Asking roles beside us for their metrics."""

import urllib.request
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_TIMEOUT_S = 2.0
_CHILD_TIMEOUT_S = 1.0
"""Less than `_TIMEOUT_S`: a parent answers in time while one of its children does not."""
_OWN = "twinstream_"


def exposition_at(port: int, timeout_s: float = _TIMEOUT_S) -> str | None:
    """What the `/metrics` on a loopback port says; `""` when nothing listens there, None when it does not answer."""
    # A proxy from the environment has no business between two processes of one machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=timeout_s) as answer:
            return str(answer.read().decode())
    except (OSError, ValueError) as error:
        # Roles may listen on another address only: that is no silence.
        return "" if isinstance(getattr(error, "reason", error), ConnectionRefusedError) else None


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
