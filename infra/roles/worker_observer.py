"""What a type's worker tells of its engine: metrics, its run file, its log."""

from collections.abc import Collection, Iterable, Mapping

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from infra.metrics import RoleMetrics
from infra.registry import Presence
from infra.roles.heap import settle_heap
from infra.supervisor.step_mark import StepMark
from schemas.clock import SystemClock
from schemas.reasons import Reason

log = structlog.get_logger(__name__)

_RESTORE_TOLD_EVERY_S = 2.0
_FAILURES = (
    *("open", "catch-up", "provide", "block", "outside", "flush", "fenced"),
    *("input_replaced", "input_truncated", "standby"),
)
"""Kinds that the engine tells."""


class WorkerObserver:
    """The engine's observer: metrics, the run file and the mark of the record in work."""

    def __init__(
        self, registry: CollectorRegistry, type_name: str, presence: Presence, role: RoleMetrics, mark: StepMark
    ) -> None:
        self._presence = presence
        self._role = role
        self._mark = mark
        self._clock = SystemClock()
        self._ready = False
        self._detail = "joining"
        self._lags: dict[int, int] = {}
        self._standing: dict[int, str] = {}
        role.watch_lag(lambda: sum(self._lags.values()))

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"twinstream_{name}", text, ["type", *labels], registry=registry)

        self._type = type_name

        def known(family: Counter, values: Iterable[str]) -> Counter:
            """Those are there from the start, so that a rise from nothing is a rise."""
            for value in values:
                family.labels(type_name, value)
            return family

        self._records = known(
            counter("records", "Telemetry records by what became of them.", "outcome"),
            ("accepted", "duplicate", "late"),
        )
        self._ticks = known(counter("ticks", "Ticks by what became of them.", "outcome"), ("stepped", "ignored"))
        self._extra = counter("extra_fields", "Undeclared fields that were ignored.").labels(type_name)
        self._routed = known(
            counter("routed_records", "Telemetry for other twins; unrouted: it named none.", "outcome"),
            ("routed", "unrouted"),
        )
        self._refused = known(
            counter(
                "refused_commands", "Commands against their limits; suppressed: for a reason told before.", "outcome"
            ),
            ("told", "suppressed"),
        )
        self._deadletters = known(
            counter("worker_deadletters", "Dead letters written by this worker.", "reason"), Reason
        )
        self._failures = known(counter("partition_failures", "Partitions that were rebuilt.", "kind"), _FAILURES)
        self._replaced = known(
            counter("step_processes_replaced", "Processes of steps in plain Python ended, by why.", "why"),
            ("time", "memory", "ended", "grown", "start"),
        )
        self._lost = counter("lost_records", "Records that retention deleted unread.").labels(type_name)
        self._flushes = counter("flushes", "Committed transactions.").labels(type_name)
        self._rows = counter("changelog_rows", "Rows written to the changelog.").labels(type_name)
        self._outputs = counter("output_records", "Records written to output topics.").labels(type_name)
        self._restores = known(
            counter("restores", "Partitions taken over; warm: their rows were here already.", "rows"), ("warm", "cold")
        )
        self._restored = counter("restored_rows", "Rows read back from the changelog.").labels(type_name)
        self._restoring: dict[int, tuple[int, int]] = {}
        self._restore_told_s = float("-inf")
        self._warm: tuple[int, ...] = ()
        self._cold: tuple[int, ...] = ()
        restore = Gauge(
            "twinstream_restore_offsets",
            "Offsets of the changelog that the restores under way have to read, and those that they have read.",
            ["type", "state"],
            registry=registry,
        )
        self._restore_total, self._restore_done = (restore.labels(type_name, state) for state in ("total", "done"))
        standby = {
            name: Gauge(f"twinstream_standby_{name}", text, ["type"], registry=registry).labels(type_name)
            for name, text in (
                ("partitions", "Partitions of other workers whose rows are kept warm here."),
                ("warm", "Those of them that caught up with the changelog."),
                ("lag_offsets", "Offsets of the changelog that they are behind, the one that is furthest."),
                ("bytes", "Memory that their rows take, about."),
            )
        }
        self._standby = standby
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
            settle_heap()
            self._ready = True
            self._role.set_ready(ready=True)
        standby = "stand-by: the other workers have all partitions"
        self._detail = f"partitions {_shown(partitions)}" if partitions else standby
        self._presence.change(ready=True, detail=self._shown_detail())

    def warm(self, partitions: Mapping[int, int | None], size_bytes: int) -> None:
        """Show what is kept warm for others."""
        behind = [lag for lag in partitions.values() if lag is not None]
        figures = {
            "partitions": len(partitions),
            "warm": len(behind),
            "lag_offsets": max(behind, default=0),
            "bytes": size_bytes,
        }
        for name, figure in figures.items():
            self._standby[name].set(figure)
        warm = tuple(sorted(number for number, lag in partitions.items() if lag is not None))
        cold = tuple(sorted(partitions.keys() - set(warm)))
        if (warm, cold) != (self._warm, self._cold):
            log.info("kept warm for other workers", partitions=warm, not_yet=cold)
            self._warm, self._cold = warm, cold
            self._presence.change(detail=self._shown_detail())

    def given_up(self) -> None:
        """Note that nothing is stepped for the moment."""
        self._partitions.set(0)
        self._restoring = {}
        self._show_restoring()
        self._lags = {}
        self._standing = {}
        self._partitions_standing.set(0)

    def restoring(self, partition: int, done: int, total: int) -> None:
        """Show how far restores are, in the log every few seconds."""
        self._restoring[partition] = done, total
        done, total = self._show_restoring()
        now_s = self._clock.monotonic_s()
        if now_s - self._restore_told_s >= _RESTORE_TOLD_EVERY_S:
            self._restore_told_s = now_s
            shown = f"{100 * done // max(1, total)} %"
            log.info("restoring", partitions=sorted(self._restoring), read=done, of=total, done=shown)
            self._presence.change(
                detail=f"restoring {len(self._restoring)} partitions, {shown}; {self._shown_detail()}"
            )

    def _show_restoring(self) -> tuple[int, int]:
        done, total = (sum(figures) for figures in zip((0, 0), *self._restoring.values(), strict=True))
        self._restore_done.set(done)
        self._restore_total.set(total)
        return done, total

    def restored(self, partition: int, rows: int, seconds: float, *, warm: bool) -> None:
        """Count restored rows."""
        self._restored.inc(rows)
        self._restores.labels(self._type, "warm" if warm else "cold").inc()
        self._restoring.pop(partition, None)
        self._show_restoring()
        if not self._restoring:
            self._presence.change(detail=self._shown_detail())
        log.info("partition restored", partition=partition, rows=rows, seconds=round(seconds, 3), warm=warm)

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

    def failed(self, partition: int, kind: str) -> None:
        """Count a rebuilt partition."""
        self._failures.labels(self._type, kind).inc()
        if self._restoring.pop(partition, None) is not None:
            self._show_restoring()

    def lost(self, partition: int, records: int) -> None:  # noqa: ARG002 - bounded labels
        """Count records that are gone."""
        self._lost.inc(records)

    def _shown_detail(self) -> str:
        standing = [(number, why) for number, why in sorted(self._standing.items()) if why]
        detail = self._detail
        if self._warm or self._cold:
            coming = f", and soon {_shown(self._cold)}" if self._cold else ""
            detail += f"; keeps {_shown(self._warm) or 'none'} warm{coming}"
        if not standing:
            return detail
        number, why = standing[0]
        others = f" (and {len(standing) - 1} more)" if len(standing) > 1 else ""
        return f"partition {number} stands still and tries again: {why}{others}; {detail}"


def _shown(partitions: Collection[int]) -> str:
    return ",".join(map(str, sorted(partitions)))
