"""What every role shares: run file, logs, metrics, and an end that is clean."""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import structlog
from prometheus_client import CollectorRegistry

from infra.log_shipping import LogShipper
from infra.log_topics import make_shared_topics
from infra.logs import Backlog, configure
from infra.masking import secrets_of
from infra.metrics import MetricsServer, RoleMetrics, new_registry
from infra.registry import LOG_FOLDER, Presence, Registry
from infra.roles.heap import settle_heap
from infra.settings import Settings
from infra.supervisor.lifeline import supervised
from infra.tracing import opened_tracer
from schemas.errors import SetupError
from schemas.trace import NO_TRACER

log = structlog.get_logger(__name__)

FAILED = 1
BROKEN = 70
"""Exit code after an error that nobody expected; its trace is in the role's log file."""


class RoleLogs:
    """Logging of a role while entered: file, console and log topic."""

    def __init__(self, name: str, settings: Settings, *, as_json: bool = False) -> None:
        self._name = name
        self._settings = settings
        self._as_json = as_json
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Begin to log."""
        backlog = Backlog() if self._settings.logs.to_kafka else None
        configure(
            self._name,
            log_dir=self._settings.data_dir / LOG_FOLDER,
            level=self._settings.logs.level,
            secrets=secrets_of(self._settings),
            console=sys.stdout,
            # Under a supervisor the console is everybody's.
            console_level=logging.WARNING if supervised() else logging.INFO,
            console_json=self._as_json,
            backlog=backlog,
            kafka=self._settings.kafka.options().bootstrap_servers,
        )
        if backlog is not None:
            self._stack.enter_context(LogShipper(backlog, self._settings.kafka.options(), self._name))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ship the last lines."""
        self._stack.__exit__(kind, error, trace)


class Role:
    """A running role, handed to its body.

    Attributes:
        name: As `status` shows it.
        kafka: How to reach the log.
        presence: Its run file.
        metrics: Where figures of its parts go.
        tracer: Is told of what belongs to traces.
    """

    def __init__(self, name: str, settings: Settings, presence: Presence, metrics: CollectorRegistry) -> None:
        self.name = name
        self.settings = settings
        self.kafka = settings.kafka.options()
        self.presence = presence
        self.metrics = metrics
        self.tracer = NO_TRACER
        self._figures = RoleMetrics(metrics, name)

    def healthy(self) -> bool:
        """What `/healthz` says."""
        return self.presence.entry.ready

    def ready(self, detail: str = "", url: str | None = None) -> None:
        """The role does its work from now on."""
        if not self.healthy():
            settle_heap()
            log.info("ready")
        self._figures.set_ready(ready=True)
        self.presence.change(ready=True, detail=detail, url=url)

    def presence_detail(self, text: str) -> None:
        """What `status` shows: what the role waits for, `""` for nothing."""
        self.presence.change(detail=text)

    def watch_lag(self, lag: Callable[[], int]) -> None:
        """What `status` shows as lag."""
        self._figures.watch_lag(lag)

    async def shared_topics(self) -> None:
        """Make the topics that all types share; waits for a broker that is away.

        Raises:
            SetupError: they are there with another number of partitions, or the broker refuses us.
        """
        await make_shared_topics(self.settings)

    @property
    def registry(self) -> Registry:
        """Run files of the instance."""
        return Registry(self.settings.data_dir)


Body = Callable[[Role], Awaitable[None]]
"""Does the role's work until it is cancelled."""


def run_role(name: str, settings: Settings, body: Body, *, as_json: bool = False) -> int:
    """Run a role in this process until it is told to stop.

    Returns:
        Exit code: 0 after SIGTERM or SIGINT, 1 when it can't work as things are, 70 after an unexpected error.
    """
    presence = Presence(Registry(settings.data_dir), name)
    metrics = new_registry()
    role = Role(name, settings, presence, metrics)
    try:
        with (
            RoleLogs(name, settings, as_json=as_json),
            MetricsServer(
                metrics,
                role.healthy,
                host=settings.metrics.host,
                port=settings.metrics.port,
                port_file=role.registry.folder / f"{name.replace(':', '-')}.port",
            ) as server,
        ):
            presence.change(port=server.port)
            return _run(role, body)
    except SetupError as error:  # of the surroundings themselves, before there was a log
        print(f"{name}: {error}", flush=True)  # noqa: T201
        return FAILED
    finally:
        presence.withdraw()


def _run(role: Role, body: Body) -> int:
    try:
        with opened_tracer(role.name) as role.tracer:
            asyncio.run(_until_stopped(role, body))
    except SetupError as error:
        log.error("can't work", error=str(error))  # noqa: TRY400 - the message says it all
        return FAILED
    except Exception:
        log.exception("ended by an unexpected error")
        return BROKEN
    log.info("stopped")
    return 0


async def _until_stopped(role: Role, body: Body) -> None:
    task = asyncio.ensure_future(body(role))
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def stop() -> None:
        if not stopping.is_set():
            stopping.set()
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopping.is_set():
            raise
    if not stopping.is_set():
        message = f"{role.name} ended by itself"
        raise RuntimeError(message)
