"""Work on rows: one at a time, in order within a partition, and others while one waits."""

import asyncio
import random
import threading
import time
from collections import defaultdict
from concurrent.futures import Future, wait
from functools import partial
from typing import Any

import pytest

from streams.rows_thread import RowsThread, others_go_on, telling


def test_work_is_done_in_the_order_of_the_calls_where_nothing_waits() -> None:
    threads, done = RowsThread(), list[int]()
    futures = [threads.submit(number % 3, partial(done.append, number)) for number in range(100)]
    wait(futures, 5.0)
    assert done == list(range(100))


def test_others_go_on_while_one_waits_and_its_own_partition_does_not() -> None:
    threads, done, outside = RowsThread(), [], threading.Event()

    def waiting() -> None:
        done.append("begun")
        with others_go_on():
            assert outside.wait(5.0)
        done.append("back")

    first = threads.submit(1, waiting)
    behind = threads.submit(1, lambda: done.append("behind"))
    wait([threads.submit(2, lambda: done.append("other")), threads.submit(3, lambda: done.append("third"))], 5.0)
    assert done == ["begun", "other", "third"]
    outside.set()
    wait([first, behind], 5.0)
    assert done[3:] == ["back", "behind"]


def test_nobody_ever_works_beside_another_and_every_partition_keeps_its_order() -> None:
    threads, at_work, seen = RowsThread(), [], defaultdict(list)
    chance = random.Random(3)

    def work(partition: int, number: int, pause_s: float) -> None:
        at_work.append(partition)
        assert len(at_work) == 1
        seen[partition].append(number)
        at_work.pop()
        if pause_s:
            with others_go_on():
                time.sleep(pause_s)
            at_work.append(partition)
            assert len(at_work) == 1
            at_work.pop()

    futures: list[Future[Any]] = []
    for number in range(400):
        partition, pause_s = chance.randrange(6), chance.choice([0.0, 0.0, 0.0, 0.002])
        futures.append(threads.submit(partition, partial(work, partition, number, pause_s)))
    for future in futures:
        future.result(10.0)
    assert all(numbers == sorted(numbers) for numbers in seen.values())


def test_who_waited_comes_before_whoever_came_meanwhile() -> None:
    threads, done, outside = RowsThread(), [], threading.Event()

    def waiting() -> None:
        with others_go_on():
            outside.wait(5.0)
        done.append("back")

    def busy() -> None:
        outside.set()
        time.sleep(0.05)
        done.append("busy")

    futures = [threads.submit(1, waiting)]
    futures += [threads.submit(number, busy if number == 2 else lambda: done.append("late")) for number in range(2, 6)]
    wait(futures, 5.0)
    assert done == ["busy", "back", "late", "late", "late"]


def test_it_is_told_when_work_waits_and_goes_on() -> None:
    told: list[str] = []

    def work() -> None:
        with telling(lambda: told.append("waits"), lambda: told.append("goes on")):
            with others_go_on():
                told.append("outside")
            told.append("done")

    RowsThread().submit(0, work).result(5.0)
    assert told == ["waits", "outside", "goes on", "done"]


async def test_what_work_raises_is_raised_where_it_was_asked_for() -> None:
    def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await asyncio.wrap_future(RowsThread().submit(0, work))


def test_elsewhere_nothing_is_handed_on() -> None:
    with others_go_on():
        pass
