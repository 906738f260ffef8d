"""The worker of one twin type: its engine, in a process of its own."""

import asyncio
import signal
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from infra.metrics import MetricsServer, RoleMetrics, new_registry
from infra.registry import Presence, Registry
from infra.roles.condemned import Condemned
from infra.roles.stuck import StuckWatchdog
from infra.roles.versions import Versions
from infra.roles.worker_observer import WorkerObserver
from infra.settings import Settings
from infra.supervisor.lifeline import leave
from infra.supervisor.step_mark import StepMark, mark_path
from infra.tracing import opened_tracer
from schemas.topics import TypeTopics
from streams.engine import Engine, EngineOptions
from streams.log.admin import SHARED_TOPICS, LogAdmin
from streams.log.client import KafkaOptions
from streams.partition import FlushPolicy
from streams.worker import run_worker

log = structlog.get_logger(__name__)


def role_name(type_name: str) -> str:
    """Name of the role, as `status` shows it."""
    return f"worker:{type_name}"


def consumer_group(type_name: str) -> str:
    """The consumer group of all workers of a type."""
    return f"twinstream-{type_name}"


def run(type_name: str, settings: Settings) -> int:
    """Step one type until told to stop; return the exit code. Arguments as for `type_process.run_type`.

    Raises:
        SetupError: the topics do not fit the configuration.
    """
    kafka = settings.kafka.options()
    role = role_name(type_name)
    run_files = Registry(settings.data_dir)
    presence = Presence(run_files, role)
    _end_when_told(presence)
    metrics = new_registry()
    observer = WorkerObserver(
        metrics, type_name, presence, RoleMetrics(metrics, role), StepMark(mark_path(run_files.folder, role))
    )
    with (
        opened_tracer(role) as tracer,
        MetricsServer(metrics, observer.healthy, host=settings.metrics.host, port=settings.metrics.port) as server,
    ):
        presence.change(port=server.port, detail="compiling")
        try:
            ground = asyncio.run(_prepare(type_name, settings, kafka))
            condemned = Condemned(settings.data_dir).of(type_name)
            versions = Versions(type_name, settings, kafka, observer.loading, condemned, observer.replaced, tracer)
            asyncio.run(versions.preload())
            presence.change(detail="joining")
            engine = _engine(type_name, settings, kafka, ground, versions, observer)
            topic, limit_s = TypeTopics(type_name).telemetry, settings.engine.stall_timeout_s
            with ExitStack() as ending:
                ending.callback(versions.end_processes)
                ending.enter_context(StuckWatchdog(kafka, topic, engine.seen, limit_s))
                return run_worker(engine)
        finally:
            presence.withdraw()


def _end_when_told(presence: Presence) -> None:
    """Until Faust's worker takes the signals over, being told to stop ends the process, whatever it compiles."""

    def stop(*_: object) -> None:
        presence.withdraw()
        leave(0)

    signal.signal(signal.SIGTERM, stop)


@dataclass(frozen=True, slots=True)
class _Ground:
    """What the engine stands on."""

    cluster: str
    partitions: int


async def _prepare(type_name: str, settings: Settings, kafka: KafkaOptions) -> _Ground:
    topics = TypeTopics(type_name)
    shape = (settings.kafka.partitions, settings.kafka.replication, settings.kafka.retention_ms)
    async with LogAdmin(kafka) as admin:
        await admin.ensure_topics(SHARED_TOPICS, *shape)
        await admin.ensure_topics(topics.all(), *shape)
        cluster = await admin.cluster_id()
    return _Ground(cluster, settings.kafka.partitions)


def _engine(
    type_name: str,
    settings: Settings,
    kafka: KafkaOptions,
    ground: _Ground,
    versions: Versions,
    observer: WorkerObserver,
) -> Engine:
    topics = TypeTopics(type_name)
    options = EngineOptions(
        kafka=kafka,
        group=consumer_group(type_name),
        source=topics.telemetry,
        changelog=topics.state,
        cluster=ground.cluster,
        data_dir=Path(settings.data_dir) / "faust",
        partitions=ground.partitions,
        replication=settings.kafka.replication,
        retention_ms=settings.kafka.retention_ms,
        session_timeout_s=settings.engine.session_timeout_s,
        standby_replicas=settings.engine.standby_replicas,
        fetch_bytes=settings.engine.max_block_bytes,
        flush=FlushPolicy(
            interval_s=settings.engine.flush_interval_s, group_interval_s=settings.engine.group_interval_s
        ),
    )

    engine = Engine(options, versions, observer)

    async def stop(*_: object, **__: object) -> None:
        await versions.close()

    engine.app.task(versions.start)
    engine.app.on_before_shutdown.connect(stop, weak=False)
    return engine
