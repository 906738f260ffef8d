"""The assignor of the engine's consumer group: `streams.assignment` in the words of Kafka's group protocol.

What members tell of themselves, and what the leader tells them beside their partitions, travels as user data. aiokafka
and Faust take an object with these methods; `tests/unit/test_private_names.py` pins where.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec
import structlog
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

from streams.assignment import Member, assign

_VERSION = 0
log = structlog.get_logger(__name__)


class Assigned(msgspec.Struct, frozen=True):
    """What the leader gave to this member.

    Attributes:
        epoch: Counts assignments of the group.
        active: Partitions to step.
        standby: Partitions to keep warm.
        awaited: Of these, what is to be stepped here once it is warm.
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
        told = {name: _told(name, member.user_data) for name, member in members.items()}
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
        try:
            self.assigned = msgspec.json.decode(assignment.user_data, type=Assigned)
        except (msgspec.DecodeError, TypeError) as error:
            log.warning("the group's leader tells nothing that is understood here", error=repr(error))
            active = frozenset(place.partition for place in assignment.partitions() if place.topic == self._topic)
            self.assigned = Assigned(self.assigned.epoch, active)


def _told(name: str, user_data: bytes | None) -> Member:
    """What a member tells; nothing, where it is of another release and its words are not understood."""
    try:
        return msgspec.json.decode(user_data or b"", type=Member)
    except msgspec.DecodeError as error:
        log.warning("a member tells nothing that is understood here", member=name, error=repr(error))
        return Member()
