"""Cuts a block into waves: the k-th one has the k-th record of each twin, so that all twins of a wave differ."""

import numpy as np
from numpy.typing import NDArray


def waves(slot: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Places of n records, each twin's in order.

    Args:
        slot: (n,) the twin of each record.

    Returns:
        Indices into `slot`, ascending in each wave; every record is in one wave.
    """
    count = len(slot)
    order = np.argsort(slot, kind="stable")
    sorted_slots = slot[order]
    starts = np.flatnonzero(np.concatenate([np.ones(min(count, 1), np.bool_), sorted_slots[1:] != sorted_slots[:-1]]))
    lengths = np.diff(np.append(starts, count))
    turn = np.empty(count, np.int64)
    turn[order] = np.arange(count) - np.repeat(starts, lengths)
    by_turn = np.argsort(turn, kind="stable")
    ends = np.cumsum(np.bincount(turn)) if count else np.zeros(0, np.int64)
    return np.split(by_turn, ends[:-1]) if count else []
