"""The embedded broker's settings."""

from infra.embedded.ports import LOOPBACK

NODE_ID = 1
"""Of the one broker and controller."""

_INTERNAL_PARTITIONS = 8
_MAX_RECORD_BYTES = 5 * 1024 * 1024
"""Room for a dead letter of 4 MiB and what surrounds it."""

_CLEANER_BUFFER_BYTES = 16 * 1024 * 1024
"""Kafka's default of 128 MB would be half of the heap."""

_OFFSETS_RETENTION_MINUTES = 365 * 24 * 60
"""A demo that slept for more than a week (Kafka's default) still finds where its sinks were."""


def server_properties(port: int, *, controller_port: int, log_dir: str) -> dict[str, str]:
    """Settings of one broker that is its own controller, keeps everything and answers quickly.

    Args:
        port: For clients.
        controller_port: For the broker itself; may differ from start to start.
        log_dir: Where the log lies, relative to the broker's working directory: a comma or a letter beyond ASCII in
            the full path would be misread.
    """
    values: dict[str, str | int] = {
        "process.roles": "broker,controller",
        "node.id": NODE_ID,
        "controller.quorum.voters": f"{NODE_ID}@{LOOPBACK}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": log_dir,
        # A misspelt topic is an error, not a new topic.
        "auto.create.topics.enable": "false",
        # A replay needs the whole history; topics with a shorter life say so themselves.
        "log.retention.ms": -1,
        "message.max.bytes": _MAX_RECORD_BYTES,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": _INTERNAL_PARTITIONS,
        "offsets.retention.minutes": _OFFSETS_RETENTION_MINUTES,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": _INTERNAL_PARTITIONS,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # The first member of a group waits for no others: 1.6 s to the first record instead of 4.5 s.
        "group.initial.rebalance.delay.ms": 0,
        # An open transaction of a worker that froze holds back every reader of its partition until it is aborted.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
        "broker.heartbeat.interval.ms": 500,
        # Nobody else could take over: a machine that is busy for a while must not take the partitions from their only
        # broker, which would lose the markers of transactions that are being ended.
        "broker.session.timeout.ms": 30_000,
        "log.cleaner.dedupe.buffer.size": _CLEANER_BUFFER_BYTES,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
        "num.recovery.threads.per.data.dir": 2,
    }
    return {key: str(value) for key, value in values.items()}


def controller_properties(controller_port: int, *, log_dir: str) -> dict[str, str]:
    """Settings of the same node as a controller alone, on the metadata log of `server_properties`."""
    return {
        "process.roles": "controller",
        "node.id": str(NODE_ID),
        "controller.quorum.voters": f"{NODE_ID}@{LOOPBACK}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"CONTROLLER://{LOOPBACK}:{controller_port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT",
        "log.dirs": log_dir,
    }
