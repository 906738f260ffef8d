"""The worker of one twin type: its engine, in a process of its own."""

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from infra.metrics import MetricsServer, RoleMetrics, new_registry
from infra.registry import Presence, Registry
from infra.roles.condemned import Condemned
from infra.roles.versions import Versions
from infra.settings import Settings
from infra.supervisor.lifeline import leave
from infra.supervisor.step_mark import StepMark, mark_path
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
    with MetricsServer(metrics, observer.healthy, host=settings.metrics.host, port=settings.metrics.port) as server:
        presence.change(port=server.port, detail="compiling")
        try:
            ground = asyncio.run(_prepare(type_name, settings, kafka))
            condemned = Condemned(settings.data_dir).of(type_name)
            versions = Versions(type_name, settings, kafka, observer.loading, condemned, observer.replaced)
            asyncio.run(versions.preload())
            presence.change(detail="joining")
            return run_worker(_engine(type_name, settings, kafka, ground, versions, observer))
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
    observer: "WorkerObserver",
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
        fetch_bytes=settings.engine.max_block_bytes,
        flush=FlushPolicy(interval_s=settings.engine.flush_interval_s),
    )

    engine = Engine(options, versions, observer)

    async def stop(*_: object, **__: object) -> None:
        await versions.close()

    engine.app.task(versions.start)
    engine.app.on_before_shutdown.connect(stop, weak=False)
    return engine


class WorkerObserver:
    """The engine's observer: metrics, the run file and the mark of the record in work."""

    def __init__(
        self, registry: CollectorRegistry, type_name: str, presence: Presence, role: RoleMetrics, mark: StepMark
    ) -> None:
        self._presence = presence
        self._role = role
        self._mark = mark
        self._ready = False
        self._detail = "joining"
        self._lags: dict[int, int] = {}
        self._standing: dict[int, str] = {}
        role.watch_lag(lambda: sum(self._lags.values()))

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"twinstream_{name}", text, ["type", *labels], registry=registry)

        self._type = type_name
        self._records = counter("records", "Telemetry records by what became of them.", "outcome")
        for outcome in ("accepted", "duplicate", "late"):
            self._records.labels(type_name, outcome)
        self._ticks = counter("ticks", "Ticks by what became of them.", "outcome")
        self._extra = counter("extra_fields", "Undeclared fields that were ignored.").labels(type_name)
        self._routed = counter("routed_records", "Telemetry for other twins; unrouted: it named none.", "outcome")
        self._refused = counter(
            "refused_commands", "Commands against their limits; suppressed: for a reason told before.", "outcome"
        )
        self._deadletters = counter("worker_deadletters", "Dead letters written by this worker.", "reason")
        self._failures = counter("partition_failures", "Partitions that were rebuilt.", "kind")
        self._replaced = counter("step_processes_replaced", "Processes of steps in plain Python ended, by why.", "why")
        for why in ("time", "memory", "ended", "grown", "start"):
            self._replaced.labels(type_name, why)
        self._lost = counter("lost_records", "Records that retention deleted unread.").labels(type_name)
        self._flushes = counter("flushes", "Committed transactions.").labels(type_name)
        self._rows = counter("changelog_rows", "Rows written to the changelog.").labels(type_name)
        self._outputs = counter("output_records", "Records written to output topics.").labels(type_name)
        self._restored = counter("restored_rows", "Rows read back from the changelog.").labels(type_name)
        self._partitions = Gauge(
            "twinstream_partitions", "Partitions that this worker steps.", ["type"], registry=registry
        ).labels(type_name)
        self._partitions_standing = Gauge(
            "twinstream_partitions_standing",
            "Partitions that can't go on and try again; the role's detail tells why.",
            ["type"],
            registry=registry,
        ).labels(type_name)
        self._step_seconds = Histogram(
            "twinstream_block_seconds", "Time to step a block.", ["type"], registry=registry
        ).labels(type_name)
        self._flush_seconds = Histogram(
            "twinstream_flush_seconds", "Time of a transaction.", ["type"], registry=registry
        ).labels(type_name)

    def healthy(self) -> bool:
        """Whether the worker has its partitions, or stands by."""
        return self._ready

    def owned(self, partitions: frozenset[int]) -> None:
        """Note the assignment; a worker without partitions stands by, which is ready, too."""
        self._partitions.set(len(partitions))
        self._lags = {partition: self._lags.get(partition, 0) for partition in partitions}
        if not self._ready:
            self._ready = True
            self._role.set_ready(ready=True)
        standby = "stand-by: the other workers have all partitions"
        self._detail = f"partitions {_shown(partitions)}" if partitions else standby
        self._presence.change(ready=True, detail=self._shown_detail())

    def given_up(self) -> None:
        """Note that nothing is stepped for the moment."""
        self._partitions.set(0)
        self._lags = {}
        self._standing = {}
        self._partitions_standing.set(0)

    def restored(self, partition: int, rows: int, seconds: float) -> None:
        """Count restored rows."""
        self._restored.inc(rows)
        log.info("partition restored", partition=partition, rows=rows, seconds=round(seconds, 3))

    def stepping(self, partition: int, offset: int, end: int) -> None:
        """Mark the block in work."""
        self._mark.at(partition, offset, end)

    def stepped(self, partition: int) -> None:  # noqa: ARG002 - one thread steps all of them
        """Clear the mark."""
        self._mark.clear()

    def processed(self, partition: int, records: int, seconds: float) -> None:  # noqa: ARG002 - bounded labels
        """Time a block."""
        self._step_seconds.observe(seconds)

    def flushed(self, partition: int, rows: int, outputs: int, seconds: float) -> None:  # noqa: ARG002 - bounded labels
        """Time a transaction."""
        self._flushes.inc()
        self._rows.inc(rows)
        self._outputs.inc(outputs)
        self._flush_seconds.observe(seconds)

    def counted(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Count records of the twins."""
        for (what, reason), times in counts.items():
            if what == "deadletter":
                self._deadletters.labels(self._type, reason).inc(times)
            elif what == "refused":
                self._refused.labels(self._type, reason).inc(times)
            elif what in {"routed", "unrouted"}:
                self._routed.labels(self._type, what).inc(times)
            elif what in {"tick", "tick_ignored"}:
                self._ticks.labels(self._type, "stepped" if what == "tick" else "ignored").inc(times)
            elif what == "extra":
                self._extra.inc(times)
            else:
                self._records.labels(self._type, what).inc(times)

    def position(self, partition: int, next_offset: int, lag: int) -> None:  # noqa: ARG002 - bounded labels
        """Note the lag."""
        self._lags[partition] = lag

    def waiting(self, partition: int, wanted: str) -> None:
        """Say what a partition waits for."""
        if wanted:
            log.info("partition waits for a version", partition=partition, hash=wanted)

    def standing(self, partition: int, why: str) -> None:
        """Say why a partition can't go on."""
        if self._standing.get(partition, "") == why:
            return
        self._standing[partition] = why
        self._partitions_standing.set(sum(map(bool, self._standing.values())))
        self._presence.change(detail=self._shown_detail())

    def loading(self, text: str) -> None:
        """Say what is being loaded, `""` for nothing."""
        self._presence.change(detail=text or self._shown_detail())

    def replaced(self, why: str) -> None:
        """Count a process for steps in plain Python that was ended, or did not start; from any thread."""
        self._replaced.labels(self._type, why).inc()

    def failed(self, partition: int, kind: str) -> None:  # noqa: ARG002 - bounded labels
        """Count a rebuilt partition."""
        self._failures.labels(self._type, kind).inc()

    def lost(self, partition: int, records: int) -> None:  # noqa: ARG002 - bounded labels
        """Count records that are gone."""
        self._lost.inc(records)

    def _shown_detail(self) -> str:
        standing = [(number, why) for number, why in sorted(self._standing.items()) if why]
        if not standing:
            return self._detail
        number, why = standing[0]
        others = f" (and {len(standing) - 1} more)" if len(standing) > 1 else ""
        return f"partition {number} stands still and tries again: {why}{others}; {self._detail}"


def _shown(partitions: frozenset[int]) -> str:
    return ",".join(map(str, sorted(partitions)))
