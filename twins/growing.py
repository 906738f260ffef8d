"""Arrays that grow, so seldom that every element is copied a bounded number of times."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item", bound=np.generic)


def grown(array: NDArray[Item], size: int) -> NDArray[Item]:
    """The array, or one of at least `size` elements that begins with it and goes on with zeros."""
    if size <= len(array):
        return array
    larger = np.zeros(max(size, 2 * len(array)), array.dtype)
    larger[: len(array)] = array
    return larger
