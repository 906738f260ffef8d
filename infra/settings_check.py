"""What `check` finds in a configuration: its faults, and what would keep an instance from starting with it."""

from pathlib import Path
from typing import Any

from infra.access.listening import OpenToOthersError, check_listening
from infra.settings import Settings
from infra.settings_file import ENVIRONMENT, ConfigurationError, load, place_of
from infra.tracing import check_tracing
from schemas.errors import Problem, SetupError


def examine_settings(
    path: Path | None = None, overrides: dict[str, Any] | None = None
) -> tuple[Settings | None, list[Problem]]:
    """Settings as `infra.settings_file.load` reads them, None where they can't be read, and every fault.

    Args:
        path: The YAML file, as of `load`.
        overrides: Sections and keys from the command line.
    """
    try:
        settings = load(path, overrides)
    except ConfigurationError as error:
        return None, list(error.problems)
    problems = []
    try:
        check_listening(settings)
    except OpenToOthersError as error:
        problems.append(Problem(*place_of(error.key, path), error.message, error.remedy))
    try:
        check_tracing()
    except SetupError as error:
        problems.append(Problem(ENVIRONMENT, 0, "", str(error), ""))
    return settings, problems
