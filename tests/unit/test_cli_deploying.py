"""What deploying from the command line says when Kafka fails in the middle of it."""

import re
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError, KafkaTimeoutError, TransactionalIdAuthorizationFailed

from infra.cli import deploying
from infra.settings import Settings
from schemas.errors import SetupError


@pytest.mark.parametrize("error", [KafkaTimeoutError(), TransactionalIdAuthorizationFailed("twinstream-deploy-pump")])
async def test_a_failure_of_kafka_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: KafkaError
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise error

    settings = Settings(data_dir=tmp_path)
    for command in ("rollback", "undeploy"):
        monkeypatch.setattr(deploying, command, fails)
    said = re.escape(f"failed: {error}")
    with pytest.raises(SetupError, match=said):
        await deploying.roll_back("pump", settings, None, None)
    with pytest.raises(SetupError, match="shows what is in force now"):
        await deploying.undeploy_type(settings, "pump", topics_too=False)
