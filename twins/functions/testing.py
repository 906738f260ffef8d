"""Steps as plain Python, in a notebook or a test: an author's function, and state records for it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.definition_file import FILE, read_definition
from schemas.step import StateField
from twins.authored import AuthoredCode
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


def load_step(folder: Path, name: str) -> tuple[Callable[..., Any], StateView]:
    """The function of an authored step, and a fresh state of one twin for it.

    Args:
        folder: The twin type's.
        name: Of the step in the pipeline; one that is written in the folder, not a built-in.

    Raises:
        DefinitionError: `twin.yaml` or the step's file has faults.
        KeyError: the pipeline has no step of that name.
    """
    definition = read_definition((folder / FILE).read_text(encoding="utf-8"))
    step = {declared.name: declared for declared in definition.pipeline}[name]
    return AuthoredCode(folder).function(step.step), new_state(step.state)
