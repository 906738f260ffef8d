"""The assignor of the engine's consumer group: `streams.assignment` in the words of Kafka's group protocol.

What members tell of themselves, and what the leader tells them beside their partitions, travels as user data. aiokafka
and Faust take an object with these methods; `tests/unit/test_private_names.py` pins where.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

from streams.assignment import Member, assign

_VERSION = 0


class Assigned(msgspec.Struct, frozen=True):
    """What the leader gave to this member.

    Attributes:
        epoch: Counts assignments of the group.
        active: Partitions to step.
        standby: Partitions to keep warm.
        awaited: Of these, what others give up once they are warm here.
    """

    epoch: int = 0
    active: frozenset[int] = frozenset()
    standby: frozenset[int] = frozenset()
    awaited: frozenset[int] = frozenset()


class WarmAssignor(AbstractPartitionAssignor):
    """Assigns the partitions of one topic to those who have their rows.

    aiokafka calls it from the consumer's thread.

    Args:
        topic: The input.
        replicas: How many members besides its owner keep each partition warm.
        warm: Tells which partitions are warm here.

    Attributes:
        assigned: What the latest assignment gave to this member; replaced as a whole, so that any thread may look.
    """

    name = "twinstream-warm"

    def __init__(self, topic: str, replicas: int, warm: Callable[[], frozenset[int]]) -> None:
        self._topic = topic
        self._replicas = replicas
        self._warm = warm
        self.assigned = Assigned()

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What this member tells when it joins."""
        told = Member(self.assigned.epoch, self.assigned.active, self._warm())
        return ConsumerProtocolMemberMetadata(_VERSION, sorted(topics), msgspec.json.encode(told))

    def assign(
        self, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """What the leader gives to all members."""
        told = {name: msgspec.json.decode(member.user_data, type=Member) for name, member in members.items()}
        epoch = max(member.epoch for member in told.values()) + 1
        shares = assign(cluster.partitions_for_topic(self._topic) or (), told, self._replicas)
        return {
            name: ConsumerProtocolMemberAssignment(
                _VERSION,
                [(self._topic, sorted(share.active))],
                msgspec.json.encode(
                    Assigned(epoch, frozenset(share.active), frozenset(share.standby), frozenset(share.awaited))
                ),
            )
            for name, share in shares.items()
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Note what this member was given."""
        self.assigned = msgspec.json.decode(assignment.user_data, type=Assigned)
