"""What goes on from rows of one form to rows of another."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twins.row_format import carry, carry_field

NUMBERS = [np.nan, np.inf, -1e30, 3.7, 256.0, 0.0]


def _rows(kind: Any, values: Any, shape: tuple[int, ...] = ()) -> NDArray[np.void]:
    rows = np.zeros(len(values), [("s", [("x", kind, shape)])])
    rows["s"]["x"] = np.reshape(values, (-1, *shape))
    return rows


@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_number_that_the_new_type_lacks_leaves_its_beginning_and_others_go_on(shape: tuple[int, ...]) -> None:
    for mapped in (False, True):
        whole, truth = _rows("i8", [7] * len(NUMBERS), shape), _rows("?", [True] * len(NUMBERS), shape)
        octets = _rows("u1", [1] * len(NUMBERS), shape)
        for rows in (whole, truth, octets):
            old = _rows("f8", NUMBERS, shape)
            if mapped:
                carry_field(old, ("s", "x"), rows, ("s", "x"))
            else:
                carry(old, rows)
        assert whole["s"]["x"].ravel().tolist() == [7, 7, 7, 3, 256, 0]
        assert truth["s"]["x"].ravel().tolist() == [True, True, True, True, True, False]
        assert octets["s"]["x"].ravel().tolist() == [1, 1, 1, 1, 1, 0], "256 as a byte would be false"


def test_whole_numbers_and_truths_go_on_as_numbers() -> None:
    rows = _rows("f8", [0.5, 0.5])
    carry(_rows("i8", [3, -2]), rows)
    assert rows["s"]["x"].tolist() == [3.0, -2.0]
    carry(_rows("?", [True, False]), rows)
    assert rows["s"]["x"].tolist() == [1.0, 0.0]
