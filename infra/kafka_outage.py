"""An outage of Kafka in the log of a role: one line when it goes, one when it is back, whatever the client says."""

import logging
import socket
import threading
import time
from collections.abc import Callable

import structlog

from schemas.clock import Clock
from streams.log.retry import COORDINATION_S

log = structlog.get_logger(__name__)

_LOOK_S = 0.5
_ANSWERS_IN_A_ROW = 6
_ANSWER_TIMEOUT_S = 1.0
_SETTLE_S = 10.0
"""For so long after its return a client may still speak of the outage that is over."""
_SIGNS = (
    "ConnectionError",
    "NodeNotReadyError",
    "NotAvailableError",
    "Connect call failed",
    "Unable connect to node",
    "Unable to request metadata",
    "Unable to update metadata",
    "coordinator dead",
    "coordinator (node",
    "Heartbeat session expired",
    "Got error produce response",
)
_COORDINATION = ("GroupCoordinatorNotAvailableError", "Marking the coordinator dead", "coordinator (node")
"""Kafka answers, but does not coordinate groups yet: so does a fresh one while it makes the topic of their offsets."""
_MOVED = ("NotLeaderForPartition", "UnknownTopicOrPartition")
"""Kafka answers, and says that a partition is not there."""
_COORDINATION_GAP_S = 3.0
"""The client repeats itself sooner than that; after a longer silence it is another time."""
_DECIDED = "twinstream_outage"


class KafkaOutage(logging.Filter):
    """Takes the Kafka client's lines about lost connections out, and tells the outage once.

    Args:
        answers: Whether Kafka takes connections now; asked in a thread while it is away.
        clock: Measures the outage.
    """

    def __init__(self, answers: Callable[[], bool], clock: Clock) -> None:
        super().__init__()
        self._answers = answers
        self._clock = clock
        self._lock = threading.Lock()
        self._away = False
        self._quiet_until_s = float("-inf")
        self._coordination_since_s = self._coordination_last_s = self._moved_s = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is passed on."""
        if not record.name.startswith("aiokafka"):
            return True
        # Every handler asks about the same record: it is decided once.
        if (decided := getattr(record, _DECIDED, None)) is None:
            text = record.getMessage()
            decided = not any(sign in text for sign in _SIGNS)
            setattr(record, _DECIDED, decided)
            if not decided:
                self._noticed(text)
        return bool(decided)

    def _noticed(self, text: str) -> None:
        now_s = self._clock.monotonic_s()
        with self._lock:
            if self._away or now_s < self._quiet_until_s or self._just_starting(text, now_s):
                return
            if any(sign in text for sign in _MOVED):
                first, self._moved_s = now_s - self._moved_s > _SETTLE_S, now_s
                if first:
                    log.warning("a topic was deleted, or its partitions move to another broker", reason=text[:300])
                return
            self._away = True
        log.warning("kafka is away", reason=text[:300])
        threading.Thread(target=self._wait, args=(now_s,), name="kafka-outage", daemon=True).start()

    def _just_starting(self, text: str, now_s: float) -> bool:
        if not any(sign in text for sign in _COORDINATION):
            return False
        if now_s - self._coordination_last_s > _COORDINATION_GAP_S:
            self._coordination_since_s = now_s
        self._coordination_last_s = now_s
        return now_s - self._coordination_since_s < COORDINATION_S

    def _wait(self, since_s: float) -> None:
        answers = 0
        # A broker that is going away may still take connections for a moment.
        while answers < _ANSWERS_IN_A_ROW:
            time.sleep(_LOOK_S)
            answers = answers + 1 if self._answers() else 0
        now_s = self._clock.monotonic_s()
        with self._lock:
            self._away = False
            self._quiet_until_s = now_s + _SETTLE_S
        log.info("kafka is back", away_s=round(now_s - since_s, 1))


def takes_connections(bootstrap_servers: str) -> bool:
    """Whether any of the servers accepts a connection."""
    for server in bootstrap_servers.split(","):
        host, _, port = server.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), _ANSWER_TIMEOUT_S):
                return True
        except OSError:
            continue
    return False
