"""What the harness measures with."""

import asyncio
import os

import pytest
from faults import memory
from faults.dealing import deals, dealt_out, owned, taken_over
from faults.memory import Memory
from faults.task import meanwhile
from support.role_process import RoleProcess

LINES = """\
06:25:40 worker:tally partitions assigned · partitions=[5, 7] standby=[1]
06:25:40 worker:tally partition restored · partition=7 rows=3 seconds=0.1 warm=True
06:25:41 worker:tally \x1b[1mpartitions assigned\x1b[0m · \x1b[36mpartitions\x1b[0m=\x1b[35m[]\x1b[0m standby=[5]
"""


class Talker(RoleProcess):
    """One that has said these lines."""

    def __init__(self, text: str) -> None:
        self._text = text

    def output(self) -> str:
        return self._text


def test_growth_is_that_of_the_whole_time(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Memory({})
    monkeypatch.setattr(measured, "_samples", {"worker": [(float(second), second / 10) for second in range(101)]})
    assert measured.growth_mb("worker", 0.0) == pytest.approx(10.0, rel=0.02)
    assert measured.growth_mb("worker", 50.0) == pytest.approx(5.0, rel=0.05)
    assert measured.most_above_start_mb("worker") == 10.0


async def test_samples_are_taken_while_it_is_entered_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "PERIOD_S", 0.01)
    async with Memory({"me": os.getpid()}) as measured:
        async with asyncio.timeout(20):
            while len(measured._samples["me"]) < 2:  # noqa: ASYNC110, SLF001 - what the other task does
                await asyncio.sleep(0)
    taken = len(measured._samples["me"])  # noqa: SLF001
    await asyncio.sleep(3 * memory.PERIOD_S)
    assert len(measured._samples["me"]) == taken  # noqa: SLF001


async def test_work_that_failed_meanwhile_is_told() -> None:
    async def failing() -> None:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        async with meanwhile(failing()):
            await asyncio.sleep(0)


def test_who_has_which_partitions_is_read_from_what_workers_say() -> None:
    worker, before = Talker(LINES), Talker(LINES.splitlines()[0])
    assert deals([worker, before]) == 3
    assert [sorted(owned(one)) for one in (before, worker, Talker(""))] == [[5, 7], [], []]
    assert [sorted(taken_over(worker, since)) for since in (0, len(LINES) - 10)] == [[7], []]


@pytest.mark.parametrize(
    ("shares", "whole"),
    [
        (("0, 1", "2"), True),
        (("0, 1", ""), False),
        (("0, 1, 2", ""), False),
        (("0, 1", "1, 2"), False),
    ],
)
def test_partitions_are_dealt_out_when_every_worker_has_some_and_each_one_has_one_worker(
    shares: tuple[str, str], *, whole: bool
) -> None:
    workers = [Talker(f"partitions assigned    partitions=[{share}]\n") for share in shares]
    assert dealt_out(workers, 3) is whole
