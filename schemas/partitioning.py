"""Which partition a twin lives in: murmur2 of its id, as Java clients compute it."""

from functools import lru_cache

from aiokafka.partitioner import murmur2

_KNOWN = 65_536


@lru_cache(_KNOWN)
def partition_of(twin_id: str | bytes, partitions: int) -> int:
    """Partition of a twin among `partitions`, 0-based.

    Source: `org.apache.kafka.common.utils.Utils.murmur2`, positive part modulo the number of partitions.
    """
    key = twin_id.encode() if isinstance(twin_id, str) else twin_id
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)
