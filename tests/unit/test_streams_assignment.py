"""Who gets which partition, and who keeps it warm: in balance, sticky, and nothing goes where its rows are not."""

from collections import Counter
from random import Random

import msgspec
from aiokafka.coordinator.protocol import (
    ConsumerProtocol,
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)
from hypothesis import given
from hypothesis import strategies as st

from streams.assignment import Member, Share, assign
from streams.assignor import Assigned, WarmAssignor

NUMBERS = range(8)
some = st.frozensets(st.sampled_from(list(NUMBERS)))
groups = st.dictionaries(
    st.sampled_from("abcde"), st.builds(Member, st.integers(0, 3), some, some), min_size=1, max_size=5
)


def _grown_warm(members: dict[str, Member], shares: dict[str, Share], epoch: int) -> dict[str, Member]:
    """The same members a while later: what they were to keep they have."""
    return {
        name: Member(epoch, frozenset(shares[name].active), frozenset(shares[name].active | shares[name].standby))
        for name in members
    }


def _settled(members: dict[str, Member], replicas: int) -> tuple[dict[str, Member], dict[str, Share], int]:
    """Join again as members ask for it; how often they did."""
    shares = assign(NUMBERS, members, replicas)
    rounds = 0
    while any(share.awaited for share in shares.values()):
        rounds += 1
        assert rounds <= 4, shares
        members = _grown_warm(members, shares, 10 + rounds)
        shares = assign(NUMBERS, members, replicas)
    return _grown_warm(members, shares, 20), shares, rounds


@given(groups, st.integers(0, 2))
def test_every_partition_has_one_owner_and_keepers_besides_it(members: dict[str, Member], replicas: int) -> None:
    shares = assign(NUMBERS, members, replicas)
    assert Counter(number for share in shares.values() for number in share.active) == Counter(NUMBERS)
    for share in shares.values():
        assert not share.active & share.standby
        assert share.awaited <= share.standby
    keepers = Counter(number for share in shares.values() for number in share.standby)
    wanted = min(replicas, len(members) - 1)
    assert all(keepers[number] >= wanted for number in NUMBERS)
    if not wanted:
        assert not keepers


@given(groups, st.integers(1, 2))
def test_nothing_goes_where_its_rows_are_not_while_another_has_them(members: dict[str, Member], replicas: int) -> None:
    shares = assign(NUMBERS, members, replicas)
    for name, share in shares.items():
        for number in share.active:
            has_owner = any(number in member.owned for member in members.values())
            others = [other for other, member in members.items() if number in member.warm]
            if name not in others and number not in members[name].owned:
                assert not has_owner
                assert not others


@given(groups, st.integers(0, 2))
def test_it_ends_in_balance_and_then_stays_as_it_is(members: dict[str, Member], replicas: int) -> None:
    members, shares, _ = _settled(members, replicas)
    counts = [len(share.active) for share in shares.values()]
    assert max(counts) - min(counts) <= 1
    wanted = min(replicas, len(members) - 1) * len(NUMBERS)
    # Standbys may still be evened out when the group is dealt out again, but not for ever, and nothing that is stepped
    # moves for that.
    before: dict[str, Share] = {}
    turns = 0
    while shares != before:
        turns += 1
        assert turns <= 4
        before, (members, shares, _) = shares, _settled(members, replicas)
        assert [share.active for share in shares.values()] == [share.active for share in before.values()]
    assert sum(len(share.standby) for share in shares.values()) == wanted


@given(st.lists(st.sampled_from("abcdef"), max_size=12), st.integers(1, 3), st.integers(1, 16), st.randoms())
def test_a_worker_that_joins_costs_two_rebalances_and_one_that_leaves_one_for_each_that_is_to_get_what_it_has_not(
    comings_and_goings: list[str], replicas: int, partitions: int, chance: Random
) -> None:
    numbers = range(partitions)
    members: dict[str, Member] = {}
    for name in comings_and_goings:
        leaves = name in members
        members = {other: member for other, member in members.items() if other != name}
        if not leaves:
            members[name] = Member()
        if not members:
            continue
        shares = assign(numbers, members, replicas)
        awaiting = sum(bool(share.awaited) for share in shares.values())
        again = 0
        # They get warm one after the other, in any order, and each joins anew then.
        while waiting := [other for other in sorted(members) if shares[other].awaited]:
            again += 1
            assert again <= (awaiting + 1 if leaves else 1)
            members = _one_grown_warm(members, shares, chance.choice(waiting))
            shares = assign(numbers, members, replicas)
        members = _grown_warm(members, shares, 0)


def _one_grown_warm(members: dict[str, Member], shares: dict[str, Share], grown: str) -> dict[str, Member]:
    """The same members when one of them got warm what it was to, and the others kept what they had."""
    return {
        name: Member(
            1,
            frozenset(shares[name].active),
            frozenset(
                number
                for number in shares[name].standby
                if name == grown or number in member.warm or number in member.owned
            ),
        )
        for name, member in members.items()
    }


@given(groups, st.integers(0, 1), st.sampled_from("abcde"))
def test_a_member_that_leaves_moves_only_what_it_had(members: dict[str, Member], replicas: int, gone: str) -> None:
    members, shares, _ = _settled(members, replicas)
    if gone not in members or len(members) < 2:
        return
    left = {name: member for name, member in members.items() if name != gone}
    after = assign(NUMBERS, left, replicas)
    for name in left:
        assert shares[name].active <= after[name].active
        if replicas:
            assert after[name].active - shares[name].active <= members[name].warm


@given(groups, st.integers(0, 1))
def test_a_member_that_joins_gets_only_what_balance_asks_for(members: dict[str, Member], replicas: int) -> None:
    members, shares, _ = _settled(members, replicas)
    joined = {**members, "new": Member()}
    first = assign(NUMBERS, joined, replicas)
    if replicas:
        assert not first["new"].active, "another has the rows"
        assert len(first["new"].awaited) >= len(NUMBERS) // len(joined)
    _, after, rounds = _settled(joined, replicas)
    assert rounds <= 1
    assert len(after["new"].active) == len(NUMBERS) // len(joined)
    for name in members:
        assert after[name].active <= shares[name].active


def test_the_successor_of_a_killed_worker_is_who_kept_its_partitions_warm() -> None:
    members, _, _ = _settled({name: Member() for name in "abc"}, 1)
    left = {name: members[name] for name in "ab"}
    after = assign(NUMBERS, left, 1)
    for name in left:
        assert after[name].active <= members[name].warm


def test_of_two_that_claim_a_partition_the_one_with_the_later_assignment_has_it() -> None:
    everything = frozenset(NUMBERS)
    woken = Member(3, everything, everything)
    shares = assign([0], {"a": woken, "b": Member(4, everything, everything)}, 0)
    assert shares["b"].active == {0}


def test_one_worker_alone_keeps_nothing_warm() -> None:
    assert assign(NUMBERS, {"a": Member()}, 3) == {"a": Share(active=set(NUMBERS))}


class _Cluster:
    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {0, 1} if topic == "input" else None


def test_members_and_leader_understand_each_other_over_the_wire() -> None:
    first, second = (WarmAssignor("input", 1, frozenset) for _ in range(2))
    told = {
        name: ConsumerProtocolMemberMetadata.decode(member.metadata({"input"}).encode())
        for name, member in {"first": first, "second": second}.items()
    }
    given = first.assign(_Cluster(), told)
    for name, member in {"first": first, "second": second}.items():
        read = ConsumerProtocol.ASSIGNMENT.decode(given[name].encode())
        member.on_assignment(read)
        assert {tp.partition for tp in read.partitions()} == member.assigned.active
    assert first.assigned == Assigned(1, frozenset({0}), frozenset({1}))
    assert second.assigned == Assigned(1, frozenset({1}), frozenset({0}))
    again = ConsumerProtocolMemberMetadata.decode(second.metadata({"input"}).encode())
    assert b'"owned":[1]' in again.user_data


def test_what_a_member_of_another_release_tells_counts_as_nothing_and_the_group_goes_on() -> None:
    leader = WarmAssignor("input", 1, frozenset)
    strange = [b"", b"\x00\x01", b"[]", b'{"epoch": "seven"}', b'{"warm": [1.5]}']
    told = {
        f"strange-{number}": ConsumerProtocolMemberMetadata(0, ["input"], data) for number, data in enumerate(strange)
    }
    leader.assigned = Assigned(4, frozenset({0, 1}))
    told["known"] = leader.metadata({"input"})
    given = leader.assign(_Cluster(), told)
    assert given.keys() == told.keys()
    shares = {name: msgspec.json.decode(given[name].user_data, type=Assigned) for name in given}
    assert shares["known"].epoch == 5
    owned = [number for share in shares.values() for number in share.active]
    assert sorted(owned) == [0, 1]


def test_what_a_leader_of_another_release_tells_leaves_the_partitions_alone() -> None:
    member = WarmAssignor("input", 1, frozenset)
    member.assigned = Assigned(4, frozenset({0}), frozenset({1}))
    member.on_assignment(ConsumerProtocolMemberAssignment(0, [("input", [1])], b"\x00"))
    assert member.assigned == Assigned(4, frozenset({1}))
