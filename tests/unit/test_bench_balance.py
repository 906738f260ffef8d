"""Whether the measurement of a switch would notice what it says is not there."""

import pytest

from infra.bench.balance import Balance, longest_pause_s


def _line(twin: str, time_ns: int) -> bytes:
    return b"incubator,twin=%b,room=lab T_air=31.25,lid_open=0.0 %d\n" % (twin.encode(), time_ns)


def _balance(lines: dict[int, bytes]) -> Balance:
    balance = Balance()
    for partition, twin, time_ns in ((0, b"a", 1), (0, b"a", 2), (0, b"b", 1), (1, b"c", 1)):
        balance.take_record(partition, twin, b'{"t1":1.5,"time":%d,"seq":3}' % time_ns)
    for partition, block in lines.items():
        balance.take_lines(partition, block)
    return balance


@pytest.mark.parametrize(
    ("lines", "lost", "doubled"),
    [
        ({0: _line("b", 1) + _line("a", 1) + _line("a", 2), 1: _line("c", 1)}, 0, 0),
        ({0: _line("b", 1) + _line("a", 1) + _line("a", 1), 1: _line("c", 1)}, 1, 1),
        ({0: _line("b", 1) + _line("a", 1) + _line("a", 2) + _line("c", 1)}, 1, 1),
        ({0: _line("a", 1) + _line("a", 2)}, 2, 0),
        ({0: _line("b", 1) + _line("a", 1) + _line("a", 2), 1: _line("c", 1) * 3}, 0, 2),
    ],
)
def test_totals_that_agree_hide_nothing(lines: dict[int, bytes], lost: int, doubled: int) -> None:
    balance = _balance(lines)
    assert (balance.lost, balance.doubled) == (lost, doubled)
    assert balance.sent == 4
    assert balance.stored == sum(block.count(b"\n") for block in lines.values())


@pytest.mark.parametrize(
    ("moves", "longest_s"),
    [
        ({0: [0.0, 9.9, 10.4, 11.0, 12.0, 12.9], 1: [9.0, 10.5, 12.5]}, 2.0),
        ({0: [10.5, 11.0, 11.5], 1: [9.9, 10.5, 11.5, 12.5]}, 1.5),
        ({0: [9.9, 10.5, 11.5, 12.5]}, 3.0),
        ({0: [2.0, 9.0], 1: [10.0, 11.0, 12.0]}, 4.0),
    ],
    ids=["between two moves", "not over", "never begun", "begun before"],
)
def test_a_pause_counts_whether_or_not_it_ended(moves: dict[int, list[float]], longest_s: float) -> None:
    assert longest_pause_s(moves, 2, 10.0, 13.0) == pytest.approx(longest_s)
