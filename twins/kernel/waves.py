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
    if count <= 1:
        return [np.zeros(count, np.int64)] if count else []
    order = np.argsort(slot, kind="stable")
    sorted_slots = slot[order]
    starts = np.flatnonzero(np.concatenate([[True], sorted_slots[1:] != sorted_slots[:-1]]))
    lengths = np.diff(np.append(starts, count))
    turn = np.empty(count, np.int64)
    turn[order] = np.arange(count) - np.repeat(starts, lengths)
    by_turn = np.argsort(turn, kind="stable")
    return np.split(by_turn, np.cumsum(np.bincount(turn))[:-1])
