"""Where a consumer group without a past begins: at a moment, not with all that was ever written."""

import re

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError

from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from streams.log.retry import retrying


async def begin_at(options: KafkaOptions, *, group: str, pattern: str, mark: str, time_ms: int) -> bool:
    """Let a group that never committed anything begin with the first records that were written at `time_ms` or later.

    Topics that come later have no offsets, so a reader takes them from their beginning. Waits for a broker that is
    away.

    Args:
        options: How to reach the log.
        group: Its id; it must have no member, else it has a past or is about to get one, and nothing is changed.
        pattern: Regular expression of the topics that it reads.
        mark: A topic that always exists: an offset of it is committed too, so that the group has a past from now on,
            even while no topic of `pattern` is there.
        time_ms: Time of writing, UTC milliseconds.

    Returns:
        Whether the group begins there; False when it goes on where it was.
    """
    async with LogAdmin(options) as admin:
        topics = {topic for topic in await retrying(admin.topics, "topics") if re.match(pattern, topic)}
        if await admin.committed(group, topics | {mark}):
            return False
        ends = await retrying(lambda: admin.end_offsets(topics), f"ends of {group}")
    return await retrying(lambda: _commit(options, group, {**ends, (mark, 0): 0}, time_ms), f"beginning of {group}")


async def _commit(options: KafkaOptions, group: str, ends: dict[tuple[str, int], int], time_ms: int) -> bool:
    partitions = {TopicPartition(*place): end for place, end in ends.items()}
    consumer = AIOKafkaConsumer(
        group_id=group, enable_auto_commit=False, isolation_level="read_committed", **options.client_kwargs()
    )
    consumer.assign(list(partitions))
    consumer.pause(*partitions)  # nothing is to be fetched
    try:
        await consumer.start()
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, time_ms))
        # The ends were asked for first: what was written meanwhile lies behind them.
        await consumer.commit(
            {place: found[place].offset if found[place] else end for place, end in partitions.items()}
        )
    except CommitFailedError:
        return False
    finally:
        await consumer.stop()
    return True
