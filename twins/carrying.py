"""Rows of one version of a type under another: what both know goes on."""

from collections import Counter
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from schemas.definition import Definition
from schemas.quantity import Parameter
from twins.layout import RowLayout
from twins.renaming import is_older, sources
from twins.row_format import RowFormat, carry, carry_field


def carried_over(layout: RowLayout, old: NDArray[np.void], earlier: RowFormat) -> tuple[NDArray[np.void], Counter[str]]:
    """Rows of a layout with everything that rows of an earlier one know.

    What has the same name and shape goes on, and what a migration renamed, forwards or back (`twins.renaming`).

    Args:
        layout: Where they go.
        old: (n,) rows.
        earlier: Their format.

    Returns:
        (n,) rows, and how many of them had parameters set to what is permitted no more, by parameter: the default
        holds.
    """
    definition = layout.definition
    rows = np.repeat(layout.new_row(), len(old))
    carry(old, rows)
    _begin(definition, old.dtype.names or (), rows)
    migration, back = definition.migration, is_older(definition.version, earlier.version)
    carried = sources(layout.format.states(), earlier.states(), migration.state, earlier.renamed_state, goes_back=back)
    for new, before in carried.items():
        if new != before:
            (step, name), (old_step, old_name) = new.split("."), before.split(".")
            carry_field(old, (f"s_{old_step}", old_name), rows, (f"s_{step}", name))
    refused: Counter[str] = Counter()
    renamed = migration.parameters, earlier.renamed_parameters
    chosen = sources(definition.numbers, earlier.parameters(), *renamed, goes_back=back)
    for name, before in chosen.items():
        if before != name:
            carry_field(old, (f"p_{before}",), rows, (f"p_{name}",))
            carry_field(old, ("set", before), rows, ("set", name))
        parameter = definition.numbers[name]
        values = _permitted(old[f"p_{before}"], earlier.choices.get(before, ()), parameter)
        lost = np.isnan(values)
        rows[f"p_{name}"] = np.where(lost, parameter.encode(parameter.default), values)
        if unset := int(np.count_nonzero(lost & (rows["set"][name] != 0))):
            refused[name] = unset
        rows["set"][name][lost] = 0
    return rows, refused


def _begin(definition: Definition, known: Collection[str], rows: NDArray[np.void]) -> None:
    """Give rows what they keep only under a definition, as far as it follows from what they kept before."""
    for name in definition.outputs.commands:
        if f"l_{name}" in (rows.dtype.names or ()) and f"l_{name}" not in known:
            # A limit that is new counts from what the earlier version sent.
            rows[f"l_{name}"] = rows[f"c_{name}"]
    for name in definition.timed_inputs:
        if f"u_{name}" not in known:
            # An age that is new counts from the last record.
            rows[f"u_{name}"] = rows["event_time_ns"]


def _permitted(numbers: NDArray[np.float64], choices: tuple[str, ...], parameter: Parameter) -> NDArray[np.float64]:
    """Values of an earlier definition's parameter as those of this one, NaN where it permits no such value."""
    if choices or parameter.choices:
        return _chosen(numbers, choices, parameter)
    low, high = (0.0, 1.0) if parameter.type == "bool" else parameter.bounds()
    permitted = (low <= numbers) & (numbers <= high)
    if parameter.type != "float":
        permitted &= numbers == np.rint(numbers)
    return np.where(permitted, numbers, np.nan)


def _chosen(numbers: NDArray[np.float64], choices: tuple[str, ...], parameter: Parameter) -> NDArray[np.float64]:
    """Choices of an earlier definition as those of this one, NaN where there is no such choice any more."""
    chosen = np.full(len(numbers), np.nan)
    for index, text in enumerate(choices):
        if text in parameter.choices:
            chosen[numbers == index] = parameter.encode(text)
    return chosen
