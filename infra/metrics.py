"""`/metrics` and `/healthz` of a role, on a port of its own."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import TYPE_CHECKING, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from schemas.errors import SetupError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

LAG = "twinstream_lag_records"
READY = "twinstream_ready"


class MergingRegistry(CollectorRegistry):
    """Puts samples of one name together, wherever they come from: the text format permits each name once."""

    def collect(self) -> Iterator[Metric]:
        """Families by name."""
        families: dict[str, Metric] = {}
        for family in super().collect():
            known = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            known.samples += family.samples
        yield from families.values()


def new_registry() -> CollectorRegistry:
    """A registry with the process's own figures: memory, CPU, open files."""
    registry = MergingRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class RoleMetrics:
    """What every role tells: whether it works, and how many records it has yet to read.

    Args:
        registry: Where the figures go.
        role: Their label `role`.
        lag: Asked whenever somebody looks; None when there is nothing to lag behind.
    """

    def __init__(self, registry: CollectorRegistry, role: str, lag: Callable[[], int] | None = None) -> None:
        ready = Gauge(READY, "Whether the role does its work: 1 or 0.", ["role"], registry=registry)
        self._ready = ready.labels(role)
        self._lag_gauge = Gauge(LAG, "Records that the role has yet to read.", ["role"], registry=registry)
        self._role = role
        if lag is not None:
            self.watch_lag(lag)

    def watch_lag(self, lag: Callable[[], int]) -> None:
        """Ask `lag` from now on."""
        self._lag_gauge.labels(self._role).set_function(lag)

    def set_ready(self, *, ready: bool) -> None:
        """Say whether the role works."""
        self._ready.set(int(ready))


def lag_in(exposition: str, role: str) -> int | None:
    """The lag of a role in what a `/metrics` answered, None when it tells none."""
    for family in text_string_to_metric_families(exposition):
        if family.name == LAG:
            for sample in family.samples:
                if sample.labels.get("role") == role:
                    return int(sample.value)
    return None


class MetricsServer:
    """Serves from a thread of its own, so that a busy event loop still answers.

    Args:
        registry: What `/metrics` shows.
        healthy: What `/healthz` says.
        host: Address to listen on.
        port: 0 takes any free one.
        port_file: Holds the port that was taken; without a `port` that one is taken again where it is still free, so
            that whoever scrapes a role finds it after a restart.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        healthy: Callable[[], bool],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        port_file: Path | None = None,
    ) -> None:
        self._registry = registry
        self._healthy = healthy
        self._host = host
        self._port = port
        self._port_file = port_file
        self._server: _Server | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_port if self._server else self._port

    def __enter__(self) -> Self:
        """Listen.

        Raises:
            SetupError: the port is taken.
        """
        try:
            self._server = self._listen()
        except OSError as error:
            message = (
                f"port {self._port} on {self._host} for metrics can't be had ({error.strerror}):"
                " choose another metrics.port (0 = any free one)"
            )
            raise SetupError(message) from None
        self._server.set_app(self._answer)
        threading.Thread(target=self._server.serve_forever, args=(0.2,), name="metrics", daemon=True).start()
        return self

    def _listen(self) -> "_Server":
        file = self._port_file
        if self._port or file is None:
            return _Server((self._host, self._port), _Handler)
        with contextlib.suppress(OSError, ValueError):
            return _Server((self._host, int(file.read_text("ascii"))), _Handler)
        server = _Server((self._host, 0), _Handler)
        file.touch(0o600)
        file.write_text(str(server.server_port), "ascii")
        return server

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if environ.get("REQUEST_METHOD") not in {"GET", "HEAD"}:
            status, kind, body = "405 Method Not Allowed", "text/plain", b"GET only\n"
        elif path == "/metrics":
            encode, kind = choose_encoder(environ.get("HTTP_ACCEPT", ""))
            status, body = "200 OK", encode(self._registry)
        elif path == "/healthz":
            healthy = self._healthy()
            status = "200 OK" if healthy else "503 Service Unavailable"
            kind, body = "application/json", b'{"ready": true}\n' if healthy else b'{"ready": false}\n'
        else:
            status, kind, body = "404 Not Found", "text/plain", b"/metrics or /healthz\n"
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""

    def server_bind(self) -> None:
        """Bind without asking the resolver for this host's name, which may take seconds."""
        super(WSGIServer, self).server_bind()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    timeout = 5

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the interface's name
        """Say nothing about each request."""
