"""The engine: one Faust app per twin type that steps blocks and commits them exactly once.

Per partition, in this order: fence (initialise the transactional producer), restore (rows and position from the
changelog), seek there, process. All of it in a handler of `on_rebalance_complete`, the one signal that Faust awaits
before it seeks and resumes.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import faust
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced
from faust.types import TP
from yarl import URL

from streams.block import Block
from streams.changelog import ChangelogReader, Restored
from streams.fetch import fetch_blocks_of
from streams.log.client import KafkaOptions
from streams.partition import FlushPolicy, OwnedPartition, Snapshot
from streams.processor import Lineage, Observer, Outcome, Processor, ProcessorFactory, SilentObserver
from streams.transaction import PartitionTransactions
from streams.transport import BlockTransport

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Settings of one engine.

    Attributes:
        group: Consumer group, also the prefix of transactional ids.
        source: Input topic.
        changelog: Compacted topic with the rows; the same number of partitions as `source`.
        cluster: Id of the Kafka cluster.
        topic_id: Id of the input topic.
        session_timeout_s: After this long without a heartbeat the group gives our partitions to others.
        transaction_timeout_s: After this long the broker aborts a transaction that a frozen owner left open.
        fetch_bytes: Bound of one partition's share of a fetch, and so of a block.
        fetch_wait_s: How long the broker waits for records before it answers a fetch.
        partitions: Of the source, for Faust's own book-keeping.
    """

    kafka: KafkaOptions
    group: str
    source: str
    changelog: str
    cluster: str
    topic_id: str
    data_dir: Path
    partitions: int = 8
    session_timeout_s: float = 6.0
    transaction_timeout_s: float = 10.0
    fetch_bytes: int = 1 << 20
    fetch_wait_s: float = 0.1
    flush: FlushPolicy = field(default_factory=FlushPolicy)


class Engine:
    """Hosts processors inside a Faust app. Call `app` to hand it to Faust's worker."""

    def __init__(self, options: EngineOptions, factory: ProcessorFactory, observer: Observer | None = None) -> None:
        self._options = options
        self._factory = factory
        self._observer: Observer = observer or SilentObserver()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rows")
        self._owned: dict[int, OwnedPartition] = {}
        self._kept: dict[int, OwnedPartition] = {}
        self._flushes: dict[int, asyncio.Task[None]] = {}
        self._epoch = 0
        self._wake = asyncio.Event()
        self.app = self._build_app()

    # -- Faust ---------------------------------------------------------------------------------------------------

    def _build_app(self) -> faust.App:
        options = self._options
        fetch_blocks_of([options.source])
        urls = [URL(f"kafka://{server}") for server in options.kafka.bootstrap_servers.split(",")]
        app = faust.App(
            options.group,
            broker=urls,
            broker_credentials=_credentials(options.kafka),
            store="memory://",
            datadir=options.data_dir,
            topic_partitions=options.partitions,
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
            worker_redirect_stdouts=False,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=options.fetch_bytes,
            broker_session_timeout=options.session_timeout_s,
            broker_heartbeat_interval=options.session_timeout_s / 6,
            broker_rebalance_timeout=max(options.session_timeout_s, 10.0),
            broker_check_crcs=True,
            # Two blocks in the agent's buffer: one being stepped, one ready.
            stream_buffer_maxsize=1,
            stream_wait_empty=False,
        )
        app.transport = BlockTransport(
            app,
            urls,
            self.positions,
            {
                "isolation_level": "read_committed",
                "fetch_max_wait_ms": round(options.fetch_wait_s * 1000),
                # What aiokafka fetches ahead and we do not ask for soon enough must not stall the others.
                "metadata_max_age_ms": 10_000,
            },
        )
        # Faust neither tracks nor commits topics without acks: the engine's transactions do.
        topic = app.topic(options.source, key_serializer="raw", value_serializer="raw", acks=False)
        app.agent(topic, name=f"{options.group}-blocks")(self._blocks)
        app.on_rebalance_complete.connect(self._on_rebalance_complete, weak=False)
        app.on_partitions_revoked.connect(self._on_partitions_revoked, weak=False)
        app.on_before_shutdown.connect(self._on_before_shutdown, weak=False)
        app.task(self._flusher)
        return app

    async def _blocks(self, stream: Any) -> None:  # noqa: ANN401
        async for event in stream.events():
            await self._take(event.value)

    def positions(self) -> dict[int, int]:
        """Next offset to process of every partition that is open here."""
        return {number: owned.position for number, owned in self._owned.items()}

    async def _on_rebalance_complete(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        epoch = self._epoch
        assigned = {tp.partition for tp in self.app.consumer.assignment() if tp.topic == self._options.source}
        log.info("partitions assigned", partitions=sorted(assigned))
        missing = assigned - self._owned.keys()
        self._kept = {number: kept for number, kept in self._kept.items() if number in assigned}
        await asyncio.gather(*(self._open_until(number, epoch) for number in sorted(missing)))
        if epoch == self._epoch:
            self._observer.owned(frozenset(self._owned))

    async def _on_partitions_revoked(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        await self._give_up_all()

    async def _on_before_shutdown(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        await self._give_up_all()

    # -- opening -------------------------------------------------------------------------------------------------

    async def _open_until(self, number: int, epoch: int) -> None:
        """Open a partition, however often Kafka is away, as long as it is ours."""
        delay_s = 0.1
        while epoch == self._epoch:
            try:
                owned = await self._open(number)
            except Exception as error:  # noqa: BLE001 - whatever it was, the partition is rebuilt from the log
                log.warning("partition could not be opened, trying again", partition=number, error=repr(error))
                self._observer.failed(number, "open")
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, 2.0)
            else:
                if epoch != self._epoch:
                    await owned.transactions.close()
                    return
                self._owned[number] = owned
                return

    async def _open(self, number: int) -> OwnedPartition:
        options = self._options
        transactions = PartitionTransactions(
            options.kafka, f"{options.group}.{number}", number, options.transaction_timeout_s
        )
        try:
            await transactions.fence()
            async with ChangelogReader(options.kafka, options.changelog) as changelog:
                kept = self._kept.pop(number, None)
                if kept is not None and kept.changelog_end == await changelog.end(number):
                    return OwnedPartition(
                        number, kept.processor, transactions, kept.flushed, kept.flushed, kept.changelog_end
                    )
                processor, restored, outcome = await self._restore(changelog, number)
        except BaseException:
            await transactions.close()
            raise
        position = restored.position.offset if restored.position else 0
        owned = OwnedPartition(number, processor, transactions, position, position, restored.end)
        owned.begin(outcome, time.monotonic())
        return owned

    async def _restore(self, changelog: ChangelogReader, number: int) -> tuple[Processor, Restored, Outcome]:
        started_s = time.monotonic()
        processor = self._factory(Lineage(self._options.cluster, self._options.topic_id, number))
        restored = Restored()
        async for rows in changelog.rows(number, restored):
            await self._in_thread(partial(processor.restore, rows))
        outcome = await self._in_thread(processor.restored)
        self._observer.restored(number, restored.rows, time.monotonic() - started_s)
        return processor, restored, outcome

    async def _reopen(self, owned: OwnedPartition) -> None:
        """Throw a broken partition's rows away and build it anew, then read again from where the log says."""
        epoch = self._epoch
        if self._owned.get(owned.number) is not owned:
            return
        self._owned.pop(owned.number)
        owned.closed = True
        await self._drop_flush(owned.number)
        await owned.transactions.close()
        await self._open_until(owned.number, epoch)
        await self._seek(owned.number)

    async def _seek(self, number: int) -> None:
        owned = self._owned.get(number)
        if owned is not None:
            with contextlib.suppress(Exception):  # a rebalance in this moment seeks by itself
                await self.app.consumer.seek(TP(self._options.source, number), owned.position)

    # -- stepping ------------------------------------------------------------------------------------------------

    async def _take(self, block: Block) -> None:
        """Step one block. Never raises: an exception would restart the agent at the next block, a silent hole."""
        owned = self._owned.get(block.partition)
        if owned is None or owned.broken:
            return
        try:
            if block.start > owned.position and not await self._is_start_of_log(owned, block):
                # Fetched before a seek; the seek brings what lies between.
                await self._seek(owned.number)
                return
            await self._hold_back(owned)
            started_s = time.monotonic()
            records = await self._in_thread(partial(self._step, owned, block, started_s))
            self._observer.processed(owned.number, records, time.monotonic() - started_s)
            owned.behind = self._lag(owned) > 0
        except Exception as error:
            log.exception("block failed", partition=block.partition, start=block.start, error=repr(error))
            self._break(owned, "block")
            return
        if owned.urgent and not owned.behind:
            self._wake.set()

    def _step(self, owned: OwnedPartition, block: Block, now_s: float) -> int:
        self._observer.stepping(owned.number, max(block.start, owned.position))
        return owned.process(block, now_s)

    async def _is_start_of_log(self, owned: OwnedPartition, block: Block) -> bool:
        """Whether the records between position and block were deleted by retention; then they are lost, and counted."""
        source = TP(self._options.source, owned.number)
        earliest: int = (await self.app.consumer.earliest_offsets(source))[source]
        if earliest <= owned.position:
            return False
        log.error(
            "records were deleted before they were processed: retention is shorter than the outage",
            partition=owned.number,
            position=owned.position,
            earliest=earliest,
        )
        self._observer.lost(owned.number, earliest - owned.position)
        return block.start <= earliest

    async def _hold_back(self, owned: OwnedPartition) -> None:
        """Do not run ahead of a slow flush: at most one flush in flight and one flush's worth behind it."""
        flush = self._flushes.get(owned.number)
        if flush is not None and owned.unflushed >= 2 * self._options.flush.records:
            await asyncio.wait([flush])

    # -- flushing ------------------------------------------------------------------------------------------------

    async def _flusher(self) -> None:
        """Start flushes as they fall due, at most one in flight per partition."""
        policy = self._options.flush
        while not self.app.should_stop:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(policy.urgent_interval_s):
                    await self._wake.wait()
            self._wake.clear()
            for number, owned in list(self._owned.items()):
                if number not in self._flushes and owned.flush_due(policy, time.monotonic()):
                    self._start_flush(owned)

    def _start_flush(self, owned: OwnedPartition) -> None:
        task = asyncio.create_task(self._flush(owned), name=f"flush-{owned.number}")
        self._flushes[owned.number] = task
        task.add_done_callback(partial(self._flush_ended, owned.number))

    def _flush_ended(self, number: int, task: asyncio.Task[None]) -> None:
        if self._flushes.get(number) is task:
            del self._flushes[number]
        self._wake.set()

    async def _flush(self, owned: OwnedPartition) -> None:
        try:
            await self._commit(owned)
        except ProducerFenced:
            log.warning("fenced: another worker owns the partition now", partition=owned.number)
            self._break(owned, "fenced", after_s=self._options.session_timeout_s)
        except Exception as error:  # noqa: BLE001 - any indefinite outcome: rebuild from the log
            log.warning("flush failed, rebuilding the partition", partition=owned.number, error=repr(error))
            self._break(owned, "flush")

    async def _commit(self, owned: OwnedPartition) -> None:
        options = self._options
        started_s = time.monotonic()
        snapshot, batches = await self._in_thread(partial(_snapshot, owned, options.changelog, started_s))
        if owned.closed:
            return
        last = await owned.transactions.commit(
            batches,
            options.changelog,
            TopicPartition(options.source, owned.number),
            snapshot.position,
            options.group,
        )
        owned.flushed = snapshot.position
        owned.changelog_end = last + 2  # the position record and the commit marker
        self._observer.flushed(
            owned.number, len(snapshot.rows) - 1, snapshot.output_count(), time.monotonic() - started_s
        )
        self._observer.counted(snapshot.counts)
        self._observer.position(owned.number, snapshot.position, self._lag(owned))

    def _lag(self, owned: OwnedPartition) -> int:
        """Offsets between what was stepped and the end of the input, as the latest fetch told it."""
        end = self.app.consumer.highwater(TP(self._options.source, owned.number))
        return max(0, (end or 0) - owned.position)

    def _break(self, owned: OwnedPartition, kind: str, *, after_s: float = 0.0) -> None:
        """Mark a partition whose rows can't be trusted, and rebuild it unless a rebalance does so first."""
        if owned.broken or owned.closed:
            return
        owned.broken = True
        self._observer.failed(owned.number, kind)

        async def rebuild() -> None:
            await asyncio.sleep(after_s)
            await self._reopen(owned)

        self.app.add_future(rebuild())

    # -- giving up -----------------------------------------------------------------------------------------------

    async def _give_up_all(self) -> None:
        """Flush and let go of everything, within a third of the session timeout; what can't be flushed is dropped."""
        self._epoch += 1
        owned = list(self._owned.values())
        self._owned.clear()
        self._observer.given_up()
        if owned:
            log.info("partitions given up", partitions=sorted(item.number for item in owned))
        await asyncio.gather(*map(self._give_up, owned))

    async def _give_up(self, owned: OwnedPartition) -> None:
        try:
            async with asyncio.timeout(self._options.session_timeout_s / 3):
                await self._drop_flush(owned.number)
                if not owned.broken and owned.pending:
                    await self._commit(owned)
                if not owned.broken:
                    self._kept[owned.number] = owned
        except Exception as error:  # noqa: BLE001 - the next owner starts from the last commit
            log.warning("last flush failed; the next owner repeats it", partition=owned.number, error=repr(error))
        finally:
            owned.closed = True
            await owned.transactions.close()

    async def _drop_flush(self, number: int) -> None:
        flush = self._flushes.pop(number, None)
        if flush is not None:
            await asyncio.wait([flush])

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _snapshot(owned: OwnedPartition, changelog: str, now_s: float) -> tuple[Snapshot, dict[str, list[Any]]]:
    snapshot = owned.snapshot(now_s)
    # Outputs first: the position record is the last one written.
    batches = {topic: owned.transactions.batches(records) for topic, records in snapshot.outputs.items()}
    batches[changelog] = owned.transactions.batches(snapshot.rows)
    return snapshot, batches


def _credentials(kafka: KafkaOptions) -> Any:  # noqa: ANN401
    if kafka.username:
        return faust.SASLCredentials(
            mechanism="PLAIN",
            username=kafka.username,
            password=kafka.password,
            ssl_context=kafka.ssl_context() if kafka.tls else None,
        )
    return faust.SSLCredentials(context=kafka.ssl_context()) if kafka.tls else None
