"""The loss account: what was expected of devices, what came, and what became of it."""

import re

import msgspec

UNTOLD_SOURCE = "kafka"
"""Source of records that name none: somebody wrote them straight into the log."""
TWIN_SOURCE = "twin"
"""Source of records that were routed from twin to twin."""
OTHER_SOURCE = "other"
"""Source of records that name one outside the grammar, or one of too many."""


_SOURCE = re.compile(r"[a-z0-9_-]{1,32}")


def source_named(text: str) -> str:
    """The source in a text such as `mqtt:a/b`."""
    name = text.partition(":")[0]
    if not text:
        return UNTOLD_SOURCE
    return name if _SOURCE.fullmatch(name) else OTHER_SOURCE


class Figures(msgspec.Struct):
    """Numbers of telemetry messages from one source, since the beginning.

    Attributes:
        expected: What devices sent, by the highest counter of each boot, counted from 1, or from 0 where that came; of
            messages without a counter, those that came.
        received: Those that came, duplicates and refused ones included.
        duplicate: Those that had come before.
        late: Those that were older than the twin's last.
        deadlettered: Those that could not be used.
        missing: Those that were expected and have not come.
    """

    expected: int = 0
    received: int = 0
    duplicate: int = 0
    late: int = 0
    deadlettered: int = 0
    missing: int = 0

    def add(self, other: "Figures") -> None:
        """Add others of the same source."""
        for name in FIGURES:
            setattr(self, name, getattr(self, name) + getattr(other, name))


FIGURES: tuple[str, ...] = Figures.__struct_fields__


class PartitionAccount(msgspec.Struct):
    """The account of one partition, as its changelog has it.

    Attributes:
        cluster: Id of the Kafka cluster.
        topic_id: Id of the input topic.
        sources: Figures by source.
    """

    cluster: str
    topic_id: str
    sources: dict[str, Figures]
