"""Metrics of the API."""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.http.services import Services
from schemas.account import Figures
from schemas.reasons import Reason

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


_FIGURES = {
    "expected": "that devices sent, by their counters",
    "received": "that came, duplicates and refused messages included",
    "duplicate": "that had come before",
    "late": "older than the twin's last",
    "deadlettered": "that could not be used",
    "missing": "that was expected and has not come",
}
"""Figures of the loss account."""


class _Observed(Collector):
    """Figures that are kept elsewhere and read when somebody asks, from any thread."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> list[Metric]:
        """Nothing to collect at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the figures."""
        services = self._services
        types = sorted(services.catalogue.types())
        if not services.loading():
            # While the topic is still being read the counter would seem to jump.
            yield self._letters(types)
            yield from self._account(types)
        twins = GaugeMetricFamily("twinstream_twins", "Twins of a deployed type.", labels=["type", "status"])
        for type_name in types:
            for status, number in services.states.statuses(type_name).items():
                twins.add_metric([type_name, status], number)
        yield twins
        yield GaugeMetricFamily(
            "twinstream_api_stream_clients", "Open event streams.", value=float(services.feed.clients)
        )

    def _letters(self, types: list[str]) -> Metric:
        """Dead letters; of deployed types also those of which there are none, so that a rise from nothing is one."""
        family = CounterMetricFamily("twinstream_deadletters", "Dead letters in the log.", labels=["type", "reason"])
        none = dict.fromkeys(((type_name, reason.value) for type_name in types for reason in Reason), 0)
        for (type_name, reason), count in sorted((none | self._services.dead_letters.counts).items()):
            family.add_metric([type_name, reason], count)
        return family

    def _account(self, types: list[str]) -> Iterator[Metric]:
        """The loss account; of every source, never of a twin."""
        none = {(type_name, source): Figures() for type_name in types for source in self._services.sources}
        sums = sorted((none | self._services.accounts.sums()).items())
        for name, what in _FIGURES.items():
            family = GaugeMetricFamily(f"twinstream_{name}_records", f"Telemetry {what}.", labels=["type", "source"])
            for (type_name, source), figures in sums:
                family.add_metric([type_name, source], getattr(figures, name))
            yield family


class Metrics:
    """What the application counts, in the registry of its process."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, services: Services, registry: CollectorRegistry) -> None:
        self._registry = registry
        registry.register(_Observed(services))
        labels = ("method", "route", "status")
        self.responses = Counter("twinstream_api_responses", "Responses by route.", labels, registry=registry)
        self.seconds = Histogram(
            "twinstream_api_response_seconds",
            "Time to the start of a response, by route.",
            ("method", "route"),
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
            registry=registry,
        )

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)


class Measured:
    """ASGI middleware that counts and times responses by route."""

    def __init__(self, app: ASGIApp, *, services: Services, metrics: Metrics) -> None:
        self._app = app
        self._clock = services.clock
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, looking at the start of the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = self._clock.monotonic_s()

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in _METHODS else "other"
                route: Any = scope.get("route")
                path = getattr(route, "path", "none")
                self._metrics.responses.labels(method, path, str(message["status"])).inc()
                self._metrics.seconds.labels(method, path).observe(self._clock.monotonic_s() - started_s)
            await send(message)

        await self._app(scope, receive, observed)
