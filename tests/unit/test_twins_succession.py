"""What goes on from version to version, what doesn't, and how that is told before anything happens."""

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from schemas.definition import Definition
from twins.carrying import carried_over
from twins.layout import RowLayout
from twins.renaming import sources
from twins.row_format import RowFormat
from twins.succession import succession
from twins.texts import renamed

if TYPE_CHECKING:
    from collections.abc import Mapping


def _definition(
    state: dict[str, Any] | None = None,
    parameters: dict[str, Any] | None = None,
    migration: dict[str, Any] | None = None,
    step: str = "count",
    version: str = "1.0.0",
) -> Definition:
    pipeline = [{"name": step, "step": "steps.py:count", "inputs": {}, "outputs": ["n"], "state": state or {}}]
    return Definition.model_validate(
        {
            "name": "pump",
            "version": version,
            "inputs": {"value": {}},
            "parameters": parameters or {},
            "pipeline": pipeline,
            "migration": migration or {},
        }
    )


def _row(definition: Definition, **values: float) -> tuple[Any, RowFormat]:
    layout = RowLayout.of(definition)
    row = layout.new_row(b"twin")
    for name, value in values.items():
        if name in definition.parameters:
            row[f"p_{name}"], row["set"][name] = value, 1
        else:
            row["s_count" if "s_count" in (row.dtype.names or ()) else "s_tally"][name] = value
    return row, RowFormat.read(layout.description)


def test_a_migration_from_what_was_never_there_is_a_fault_that_names_what_was() -> None:
    before = _definition({"total": {}, "seen": {"shape": [3]}, "open": {"type": "bool"}}, {"limit": {"default": 1}})
    now = _definition(
        {"sum": {}, "last": {"shape": [2]}, "shut": {}},
        {"most": {"default": 1}, "mode": {"type": "string", "choices": ["a"], "default": "a"}},
        {
            "state": {"count.sum": "count.totl", "count.last": "count.seen", "count.shut": "count.open"},
            "parameters": {"most": "limt", "mode": "limit"},
        },
    )
    faults = {path: message for path, message, _ in succession(now, before).faults}
    assert faults == {
        "migration.state.count.sum": "no state count.totl before: version 1.0.0, which it goes on from, has"
        " count.total, count.seen, count.open",
        "migration.state.count.last": "count.last is a number of shape [2], but count.seen was a number of shape [3]",
        "migration.state.count.shut": "count.shut is a number, but count.open was a truth value",
        "migration.parameters.most": "no parameter limt before: version 1.0.0, which it goes on from, has limit",
        "migration.parameters.mode": "mode is one of choices, but limit was a number",
    }


def test_a_migration_that_was_made_already_is_no_fault_in_the_next_version() -> None:
    now = _definition({"sum": {}}, {"most": {"default": 1}}, {"state": {"count.sum": "count.total"}})
    found = succession(now, now)
    assert (found.faults, found.notes) == ([], [])


def test_what_begins_anew_and_what_is_dropped_is_told() -> None:
    most = {"range": [0, 9], "default": 1}
    before = _definition({"total": {}, "seen": {"shape": [3]}}, {"limit": {"default": 1}, "most": most})
    now = _definition({"sum": {}, "seen": {"shape": [2]}}, {"most": {"range": [0, 5], "default": 1}})
    assert succession(now, before).notes == [
        "state that begins anew: count.sum, count.seen (migration.state can name what each was called before)",
        "state that is dropped: count.total, count.seen",
        "parameters whose values are dropped: limit",
        "parameters that permit less than before, so that a value outside gives way to the default: most",
    ]


def test_what_was_renamed_has_its_old_name_again_after_going_back() -> None:
    one = _definition({"total": {}}, {"limit": {"default": 1}, "line": {"type": "string", "default": ""}})
    two = _definition(
        {"sum": {}},
        {"most": {"default": 1}, "aisle": {"type": "string", "default": ""}},
        {"state": {"tally.sum": "count.total"}, "parameters": {"most": "limit", "aisle": "line"}},
        step="tally",
    )
    row, form = _row(one, total=7, limit=3)
    texts: Mapping[str, str] = {"#line": "line-3", "place": "hall"}
    for _, version in pairwise([one, two, one, two, one]):
        layout = RowLayout.of(version)
        row, _ = carried_over(layout, row, form)
        texts, form = renamed(texts, version, form), RowFormat.read(layout.description)
        if version is two:
            assert (row["s_tally"]["sum"].item(), row["p_most"].item()) == (7, 3)
            assert texts == {"#aisle": "line-3", "place": "hall"}
    assert (row["s_count"]["total"], row["p_limit"], row["set"]["limit"]) == (7, 3, 1)
    assert texts == {"#line": "line-3", "place": "hall"}
    assert succession(one, two).notes == []


def test_a_new_name_takes_nothing_that_still_has_a_place_of_its_own() -> None:
    assert sources(["sum", "total"], {"sum"}, {}, {"sum": "total"}, goes_back=False) == {"sum": "sum"}
    assert sources(["total"], {"sum"}, {}, {"sum": "total"}, goes_back=False) == {"total": "sum"}


def test_names_that_changed_places_change_them_back() -> None:
    swapped = {"a": "b", "b": "a"}
    assert sources(["a", "b"], {"a", "b"}, swapped, {}, goes_back=False) == swapped
    assert sources(["a", "b"], {"a", "b"}, {}, swapped, goes_back=True) == swapped
    # A name that was given away and taken anew: on the way back the old meaning counts.
    assert sources(["a"], {"a", "b"}, {}, {"b": "a"}, goes_back=True) == {"a": "b"}


def test_on_the_way_back_the_migration_of_the_newer_version_counts() -> None:
    two = _definition({"b": {}}, migration={"state": {"count.b": "count.a"}}, version="1.9.0")
    three = _definition({"c": {}}, migration={"state": {"count.c": "count.b"}}, version="1.10.0")
    found = succession(two, three)
    assert (found.faults, found.notes) == ([], [])
    rows, _ = carried_over(RowLayout.of(two), *_row(three, c=5))
    assert rows["s_count"]["b"] == 5


@pytest.mark.parametrize(
    ("now", "value", "expected"),
    [
        ({"range": [0, 5], "default": 2}, 9.0, 2.0),
        ({"range": [0, 5], "default": 2}, 5.0, 5.0),
        ({"below": 9, "default": 2}, 9.0, 2.0),
        ({"type": "int", "default": 2}, 2.5, 2.0),
        ({"type": "int", "default": 2}, 3.0, 3.0),
        ({"type": "bool", "default": True}, 3.0, 1.0),
    ],
)
def test_a_value_that_a_parameter_permits_no_more_gives_way_to_the_default(
    now: dict[str, Any], value: float, expected: float
) -> None:
    old, form = _row(_definition({}, {"limit": {"default": 1.0}}), limit=value)
    rows, refused = carried_over(RowLayout.of(_definition({}, {"limit": now})), np.repeat(old, 2), form)
    lost = value != expected
    assert rows["p_limit"].tolist() == [expected, expected]
    assert rows["set"]["limit"].tolist() == [not lost, not lost]
    assert refused == ({"limit": 2} if lost else {})
