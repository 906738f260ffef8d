"""How partitions were dealt out, as workers themselves tell it."""

import re
from collections.abc import Iterable
from itertools import chain

from support.role_process import RoleProcess

_ASSIGNED = re.compile(r"partitions assigned .*?partitions=\[([\d, ]*)\]")
_RESTORED = re.compile(r"partition restored .*?partition=(\d+)")
_ESCAPES = re.compile(r"\x1b\[[\d;]*m")


def said(worker: RoleProcess, since: int = 0) -> str:
    """What it printed behind so many letters, without colours."""
    return _ESCAPES.sub("", worker.output()[since:])


def deals(workers: Iterable[RoleProcess]) -> int:
    """How often all of them together were given partitions."""
    return sum(len(_ASSIGNED.findall(said(worker))) for worker in workers)


def owned(worker: RoleProcess) -> frozenset[int]:
    """What it was given last."""
    found = _ASSIGNED.findall(said(worker))
    return frozenset(map(int, found[-1].replace(" ", "").split(","))) if found and found[-1] else frozenset()


def taken_over(worker: RoleProcess, since: int) -> frozenset[int]:
    """Partitions that it opened, behind so many letters of what it printed."""
    return frozenset(map(int, _RESTORED.findall(said(worker, since))))


def dealt_out(workers: Iterable[RoleProcess], partitions: int) -> bool:
    """Whether each of them has some partitions, and all together every one once."""
    shares = [owned(worker) for worker in workers]
    return all(shares) and sorted(chain(*shares)) == list(range(partitions))
