"""The table of a partition's rows."""

import numpy as np
import pytest

from infra.bench.jobs import INCUBATOR_FOLDER
from schemas.bundle import read_folder
from twins.layout import RowLayout
from twins.rows import RowTable


@pytest.fixture(scope="module")
def layout() -> RowLayout:
    return RowLayout.of(read_folder(INCUBATOR_FOLDER).definition())


def test_every_row_starts_as_a_new_twins_however_the_table_grew(layout: RowLayout) -> None:
    table = RowTable(layout)
    for number in range(200):
        slot = table.add(b"box-%d" % number)
        assert table.rows[slot].tobytes() == layout.new_row(b"box-%d" % number).tobytes()
        table.rows["revision"][slot] = number


def test_a_row_that_was_taken_back_leaves_nothing_to_the_next_twin(layout: RowLayout) -> None:
    table = RowTable(layout)
    slot = table.add(b"refused")
    table.rows["p_noise"][slot] = np.inf
    table.dirty[slot] = 1
    table.forget_newest()
    assert table.add(b"next") == slot
    assert table.rows[slot].tobytes() == layout.new_row(b"next").tobytes()
    assert not list(table.snapshot())
