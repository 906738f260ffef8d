"""A server that can't be had: skipped at a user's, failed in CI."""

import pytest
from _pytest.outcomes import Failed, Skipped
from servers.availability import unavailable


def test_absence_is_a_skip_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(Skipped, match="RabbitMQ: not installed"):
        unavailable("RabbitMQ", "not installed")


def test_absence_in_ci_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(Failed, match="RabbitMQ: not installed"):
        unavailable("RabbitMQ", "not installed")
