"""Who steps which partition, and who keeps its rows warm to step it next: a decision without any I/O.

Sticky: an owner that is there keeps what it has unless balance asks for it. Nothing moves to a worker that would have
to read the rows from their beginning while another has them: the one that is to get a partition first keeps it warm,
says so by joining anew, and gets it then.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Member:
    """What a member tells of itself.

    Attributes:
        epoch: Of the latest assignment that it knows; of two that claim a partition the later one has it.
        owned: Partitions that it had by that.
        warm: Partitions whose rows it has, up to date or nearly so.
    """

    epoch: int = 0
    owned: frozenset[int] = frozenset()
    warm: frozenset[int] = frozenset()


@dataclass(slots=True)
class Share:
    """What a member is given.

    Attributes:
        active: Partitions that it steps.
        standby: Partitions that it keeps warm.
        awaited: Those of them that it is to step once they are warm here: it joins anew then.
    """

    active: set[int] = field(default_factory=set)
    standby: set[int] = field(default_factory=set)
    awaited: set[int] = field(default_factory=set)


def assign(partitions: Iterable[int], members: Mapping[str, Member], replicas: int) -> dict[str, Share]:
    """Share partitions out.

    Args:
        partitions: All there are.
        members: By their ids.
        replicas: How many members besides its owner keep each partition warm, as far as there are so many.
    """
    numbers = sorted(partitions)
    shares = {member: Share() for member in sorted(members)}
    if not members:
        return shares
    owners = _owners(numbers, members)
    targets = _targets(numbers, members, owners)
    for number in numbers:
        owner, target = owners.get(number), targets[number]
        warm = [member for member in shares if number in members[member].warm]
        if target not in warm and replicas and owner is None and warm:
            owner = min(warm, key=lambda member: len(shares[member].active))
        waits = target not in warm and replicas and owner is not None and owner != target
        shares[owner if waits and owner is not None else target].active.add(number)
        if waits:
            shares[target].standby.add(number)
            shares[target].awaited.add(number)
    _keep_warm(targets, members, shares, min(replicas, len(members) - 1))
    return shares


def _owners(numbers: Iterable[int], members: Mapping[str, Member]) -> dict[int, str]:
    """Who has each partition, of those that anybody has."""
    owners: dict[int, str] = {}
    # A member that was frozen still claims what others were given since.
    for member in sorted(members, key=lambda name: (members[name].epoch, name)):
        owners |= dict.fromkeys(members[member].owned.intersection(numbers), member)
    return owners


def _targets(numbers: list[int], members: Mapping[str, Member], owners: Mapping[int, str]) -> dict[int, str]:
    """Who is to have each partition in the end: in balance, and with as few moves as that needs."""
    targets = dict(owners)
    counts = {member: sum(owner == member for owner in owners.values()) for member in sorted(members)}
    least, rest = divmod(len(numbers), len(members))
    # Those that have most keep one more where it does not come out even.
    order = sorted(counts, key=lambda member: (-counts[member], member))
    quotas = {member: least + (index < rest) for index, member in enumerate(order)}
    # What those have warm who are to get more goes first.
    wanted = {number for member in quotas if counts[member] < quotas[member] for number in members[member].warm}
    for member, quota in quotas.items():
        own = [number for number in numbers if targets.get(number) == member]
        for number in sorted(own, key=lambda number: (number in wanted, number))[quota:]:
            del targets[number]
            counts[member] -= 1
    free = [number for number in numbers if number not in targets]
    # First those that some have warm: whoever has most choice is served last.
    free.sort(key=lambda number: (not _warm(number, members), len(_warm(number, members)), number))
    for number in free:
        room = [member for member in quotas if counts[member] < quotas[member]]
        warm = [member for member in room if number in members[member].warm]
        chosen = min(warm or room, key=lambda member: (counts[member] - quotas[member], member))
        targets[number] = chosen
        counts[chosen] += 1
    return targets


def _keep_warm(
    targets: Mapping[int, str], members: Mapping[str, Member], shares: Mapping[str, Share], replicas: int
) -> None:
    """Have each partition kept warm by so many members besides the one that is to have it, in balance."""
    if replicas <= 0:
        return
    numbers = sorted(targets)
    most = -(-replicas * len(numbers) // len(members))
    owners = {number: member for member, share in shares.items() for number in share.active}
    chosen: dict[int, list[str]] = {number: [] for number in numbers}
    kept = dict.fromkeys(shares, 0)

    def take(number: int, candidates: Iterable[str]) -> None:
        for member in sorted(candidates, key=lambda name: (kept[name], name)):
            if len(chosen[number]) < replicas and member != targets[number] and member not in chosen[number]:
                chosen[number].append(member)
                kept[member] += 1

    for number in numbers:
        has = {*_warm(number, members), owners[number]}
        take(number, [member for member in has if kept[member] < most])
    for number in numbers:
        take(number, [member for member in shares if kept[member] < most])
    for number in numbers:
        take(number, shares)
        _give(number, owners[number], chosen[number], _warm(number, members), shares)


def _give(number: int, owner: str, keepers: list[str], warm: list[str], shares: Mapping[str, Share]) -> None:
    """Tell members what they are to keep warm; who owns it now has it anyhow."""
    for member in keepers:
        if member != owner:
            shares[member].standby.add(number)
    others = [member for member in warm if member != owner]
    if others and not set(others).intersection(keepers):
        # It is given up only once another is warm in its place: at the next rebalance, none is worth another one.
        shares[min(others, key=lambda member: (len(shares[member].standby), member))].standby.add(number)


def _warm(number: int, members: Mapping[str, Member]) -> list[str]:
    return [member for member in sorted(members) if number in members[member].warm]
