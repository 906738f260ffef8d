"""Checks a twin type's folder the way a worker will use it. Imports the author's code: run it in a child process."""

import tempfile
from pathlib import Path

from schemas.bundle import read_folder
from schemas.errors import DefinitionError, Problem
from twins.processor import TwinType


def check_folder(folder: Path, cache: Path | None = None) -> list[Problem]:
    """Every fault of a folder: definition, wiring, imports and compilation; empty when it can be deployed.

    Args:
        folder: Holds `twin.yaml`.
        cache: Where compiled kernels are kept; a temporary folder when None.
    """
    try:
        bundle = read_folder(folder)
        definition = bundle.definition()
        with tempfile.TemporaryDirectory() as scratch:
            twin_type = TwinType.load(folder, definition, bundle.hash, 1, cache or Path(scratch))
            twin_type.warm_up()
    except DefinitionError as error:
        return list(error.problems)
    return []
