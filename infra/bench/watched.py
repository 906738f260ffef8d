"""Workers whose commits are seen from outside, by the offset of their consumer group."""


def watched(bootstrap_servers: str, partitions: int) -> dict[str, str]:
    """Environment of a worker that tells its group with every commit: by default the group hears of some only."""
    return {
        "TWINSTREAM_KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
        "TWINSTREAM_KAFKA__PARTITIONS": str(partitions),
        "TWINSTREAM_ENGINE__GROUP_INTERVAL_S": "0",
    }
