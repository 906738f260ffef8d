"""The Faust app under an engine: one agent over the blocks of one topic."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import faust
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from yarl import URL

from streams.block import Block
from streams.fetch import fetch_blocks_of
from streams.log.client import KafkaOptions
from streams.options import EngineOptions
from streams.transport import BlockTransport

_HEARTBEAT_S = 0.5


def build_app(
    options: EngineOptions,
    positions: Callable[[], Mapping[int, int]],
    take: Callable[[Block], Awaitable[None]],
    assignor: AbstractPartitionAssignor,
) -> faust.App:
    """Make the app.

    Args:
        options: Of the engine.
        positions: Next offset of every open partition; where Faust seeks after a rebalance.
        take: Steps a block; must not raise.
        assignor: Shares partitions out when this member leads the group.
    """
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
        # A member learns by a heartbeat that another is gone.
        broker_heartbeat_interval=min(options.session_timeout_s / 6, _HEARTBEAT_S),
        broker_rebalance_timeout=max(options.session_timeout_s, 10.0),
        broker_check_crcs=True,
        # Two blocks in the agent's buffer: one being stepped, one ready.
        stream_buffer_maxsize=1,
        stream_wait_empty=False,
    )
    app.transport = BlockTransport(
        app,
        urls,
        positions,
        {
            "isolation_level": "read_committed",
            "partition_assignment_strategy": [assignor],
            "fetch_max_wait_ms": round(options.fetch_wait_s * 1000),
            # What aiokafka fetches ahead and we do not ask for soon enough must not stall the others.
            "metadata_max_age_ms": 10_000,
        },
    )

    async def blocks(stream: Any) -> None:  # noqa: ANN401
        events: AsyncIterator[Any] = stream.events()
        async for event in events:
            await take(event.value)

    # Faust neither tracks nor commits topics without acks: the engine's transactions do.
    topic = app.topic(options.source, key_serializer="raw", value_serializer="raw", acks=False)
    app.agent(topic, name=f"{options.group}-blocks")(blocks)
    return app


def _credentials(kafka: KafkaOptions) -> Any:  # noqa: ANN401
    if kafka.username:
        return faust.SASLCredentials(
            mechanism="PLAIN",
            username=kafka.username,
            password=kafka.password,
            ssl_context=kafka.ssl_context() if kafka.tls else None,
        )
    return faust.SSLCredentials(context=kafka.ssl_context()) if kafka.tls else None
