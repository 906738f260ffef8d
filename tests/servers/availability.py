"""What happens to a test whose server can't be had: skipped on a user's machine, failed in CI."""

import os
from typing import NoReturn

import pytest


def unavailable(server: str, reason: str) -> NoReturn:
    """Skip the test, or fail it when `CI=true`."""
    message = f"{server}: {reason}"
    if os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
