"""What was renamed from version to version: by the rows in memory and by those in the changelog, bit by bit alike."""

from typing import Any

import numpy as np
import pytest

from schemas.definition import Definition
from twins.layout import RowLayout
from twins.row_format import RowFormat
from twins.rows import RowTable
from twins.succession import succession

Values = dict[str, float]


def _version(number: str, names: str, renamed: dict[str, str] | None = None) -> Definition:
    """A version whose state, parameters and texts are called alike, but for a letter before them."""
    kinds: dict[str, dict[str, Any]] = {"p": {"default": 0}, "t": {"type": "string", "default": ""}}
    state = {f"count.{name}": f"count.{old}" for name, old in (renamed or {}).items()}
    return Definition.model_validate(
        {
            "name": "pump",
            "version": number,
            "inputs": {"value": {}},
            "parameters": {f"{kind}{name}": declared for name in names.split() for kind, declared in kinds.items()},
            "pipeline": [
                {
                    "name": "count",
                    "step": "steps.py:count",
                    "inputs": {},
                    "outputs": ["n"],
                    "state": {name: {} for name in names.split()},
                }
            ],
            "migration": {
                "state": state,
                "parameters": {
                    f"{kind}{name}": f"{kind}{old}" for name, old in (renamed or {}).items() for kind in kinds
                },
            },
        }
    )


def _filled(version: Definition, **values: float) -> RowTable:
    table = RowTable(RowLayout.of(version))
    slot = table.add(b"twin")
    row = table.row(slot)
    for name, value in values.items():
        row["s_count"][name] = row[f"p_p{name}"] = value
        row["set"][f"p{name}"] = 1
    table.tags[slot] = {f"#t{name}": str(value) for name, value in values.items()}
    table.dirty[slot] = 1
    return table


def _read_back(table: RowTable, layout: RowLayout) -> RowTable:
    table.dirty[: len(table)] = 1
    found = RowTable(layout)
    found.learn_layout(table.layout.fingerprint, table.layout.description)
    for key, value in table.snapshot():
        found.restore(key, value)
    return found


def _through(table: RowTable, *versions: Definition) -> Values:
    """State of the twin after other versions, live; what the changelog gives at each of them is the same."""
    for version in versions:
        layout = RowLayout.of(version)
        restored = _read_back(table, layout)
        live = RowTable(layout)
        live.take_over(table)
        assert live.rows[:1].tobytes() == restored.rows[:1].tobytes()
        assert live.tags == restored.tags
        table = live
    row = table.row(0)
    found = {name: float(row["s_count"][name]) for name in row.dtype["s_count"].names}
    assert {name: float(row[f"p_p{name}"]) for name in found} == found
    assert {name: float(table.tags[0].get(f"#t{name}", 0)) for name in found} == found
    return found


SWAP = {"a": "b", "b": "a"}


def test_a_migration_counts_whatever_the_number_of_its_version() -> None:
    two, lower = _version("2.0.0", "old"), _version("1.5.0", "new", {"new": "old"})
    assert _through(_filled(two, old=42), lower) == {"new": 42}
    found = succession(lower, two)
    assert (found.faults, found.notes) == ([], [])
    assert _through(_filled(two, old=42), lower, two) == {"old": 42}


def test_a_migration_that_was_made_is_not_made_again_by_the_next_version() -> None:
    first, taken = _version("1.0.0", "raw"), {"smoothed": "raw"}
    second, third = (_version(number, "smoothed raw", taken) for number in ("1.1.0", "1.1.1"))
    assert _through(_filled(first, raw=7), second) == {"smoothed": 7, "raw": 7}
    assert _through(_filled(second, smoothed=7, raw=100), third) == {"smoothed": 7, "raw": 100}
    assert _through(_filled(third, smoothed=7, raw=100), second) == {"smoothed": 7, "raw": 100}
    assert _through(_filled(third, smoothed=7, raw=100), first) == {"raw": 7}
    assert succession(third, second).notes == []


def test_names_that_changed_places_stay_there_until_the_version_before_is_back() -> None:
    first, second, third = _version("1.0.0", "a b"), _version("1.1.0", "a b", SWAP), _version("1.1.1", "a b", SWAP)
    begun = _filled(first, a=1, b=2)
    swapped = {"a": 2, "b": 1}
    assert _through(begun, second) == swapped
    assert _through(_filled(first, a=1, b=2), second, third) == swapped
    assert _through(_filled(first, a=1, b=2), second, third, second) == swapped
    assert _through(_filled(first, a=1, b=2), second, third, first) == {"a": 1, "b": 2}


def test_a_migration_that_was_taken_out_is_neither_undone_nor_made_again_on_the_way_back() -> None:
    second, third = _version("1.1.0", "a b", SWAP), _version("1.2.0", "a b")
    assert _through(_filled(second, a=2, b=1), third) == {"a": 2, "b": 1}
    assert _through(_filled(second, a=2, b=1), third, second) == {"a": 2, "b": 1}


def test_a_migration_that_may_be_the_way_back_is_a_fault_of_a_version_with_a_lower_number() -> None:
    faults = succession(_version("1.5.0", "new", {"new": "old"}), _version("2.0.0", "new old")).faults
    assert [path for path, _, _ in faults] == [
        "migration.state.count.new",
        "migration.parameters.pnew",
        "migration.parameters.tnew",
    ]
    assert faults[0][1] == "count.new goes on from count.new: version 1.5.0 is older than 2.0.0"


@pytest.mark.parametrize("renamed", [SWAP, {"a": "b"}])
def test_rows_of_a_version_stay_as_they_are_when_a_release_lays_them_out_otherwise(renamed: dict[str, str]) -> None:
    table = _filled(_version("1.1.0", "a b", renamed), a=1, b=2)
    layout = table.layout
    fields = [(name, layout.dtype[name]) for name in reversed(layout.dtype.names or ())]
    form = layout.format
    other = RowFormat(np.dtype(fields), form.choices, form.renamed_state, form.renamed_parameters, form.version)
    row = np.zeros(1, other.dtype)
    for name in layout.dtype.names or ():
        row[name] = table.rows[name][0]
    restored = RowTable(layout)
    restored.learn_layout(b"released", other.describe())
    restored.restore(b"twin", b"released" + row.tobytes() + b'{"#ta":"1","#tb":"2"}')
    assert restored.rows[0].tobytes() == table.rows[0].tobytes()
    assert restored.tags == [{"#ta": "1", "#tb": "2"}]


def test_a_text_that_was_never_set_changes_places_too() -> None:
    first, second = _version("1.0.0", "a b"), _version("1.1.0", "a b", SWAP)
    assert _through(_filled(first, b=2), second) == {"a": 2, "b": 0}


def test_a_layout_says_all_that_its_rows_need_to_go_on() -> None:
    layout = RowLayout.of(_version("1.1.0", "a b", SWAP))
    assert RowFormat.read(layout.description) == layout.format
