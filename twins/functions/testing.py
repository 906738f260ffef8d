"""State records for steps that run as plain Python, in a notebook or a test."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from schemas.definition import StateField
from twins.functions.state_view import StateView

_TYPES = {"float": "f8", "int": "i8", "bool": "?"}


def new_records(fields: Mapping[str, StateField], count: int = 1) -> NDArray[np.void]:
    """States of `count` twins with the declared fields at their initial values, as a structured array."""
    dtype = np.dtype([(name, _TYPES[declared.type], declared.shape) for name, declared in fields.items()])
    records: NDArray[np.void] = np.zeros(count, dtype)
    for name, declared in fields.items():
        records[name] = declared.initial
    return records


def new_state(fields: Mapping[str, StateField]) -> StateView:
    """A fresh state of one twin.

    Args:
        fields: As `Definition.pipeline[i].state` or `BoundStep.state` has them.

    Returns:
        A record that takes reads and writes as the compiled step's does: `state.x[0] = 1.0`, `state.count += 1`.
    """
    return StateView(new_records(fields))
