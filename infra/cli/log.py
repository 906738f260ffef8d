"""Which Kafka a client command reads or writes: the instance's own, never a guess."""

import asyncio
from pathlib import Path

from aiokafka.errors import KafkaError

from infra.cli.connecting import connect
from infra.cli.options import is_near, read_settings, read_settings_near
from infra.cli.output import fail
from infra.logs import configure
from infra.registry import Registry
from infra.settings import KafkaSettings, Settings
from schemas.errors import SetupError
from streams.log.admin import LogAdmin

_REACH_TIMEOUT_S = 5.0


def settings_with_log(url: str | None, data_dir: Path | None, config: Path | None) -> Settings:
    """Settings that name a Kafka that answers; ends the command when none is known.

    What the configuration or the environment names comes first, then the instance of the data directory, then what the
    API at `url` tells.

    Raises:
        SetupError: Kafka does not answer, or refuses us.
    """
    # What the Kafka client says meanwhile is not for people: how it ends is told in one line.
    configure("client", log_dir=None, console=None)
    nearby = is_near(url, data_dir)
    settings = read_settings_near(config, data_dir) if nearby else read_settings(config, data_dir)
    if settings.kafka.embedded:
        told = {"bootstrap_servers": _embedded(settings.data_dir)} if nearby else {}
        if url and not told.get("bootstrap_servers"):
            told = connect(url, data_dir, config).get("instance")["kafka"]
        if not told.get("bootstrap_servers"):
            fail(
                f"no running instance in {settings.data_dir}, so no Kafka is known: start one with `twinstream up`,"
                " or name another with --data-dir, --url, -c or TWINSTREAM_KAFKA__BOOTSTRAP_SERVERS"
            )
        kafka = KafkaSettings.model_validate(settings.kafka.model_dump() | told)
        settings = settings.model_copy(update={"kafka": kafka})
    asyncio.run(_reach(settings.kafka))
    return settings


def _embedded(data_dir: Path) -> str:
    server = Registry(data_dir).find("kafka")
    return server.url if server else ""


async def _reach(kafka: KafkaSettings) -> None:
    try:
        async with asyncio.timeout(_REACH_TIMEOUT_S), LogAdmin(kafka.options()) as admin:
            await admin.cluster_id()
    except TimeoutError:
        message = (
            f"Kafka at {kafka.bootstrap_servers} does not answer within {_REACH_TIMEOUT_S:.0f} s:"
            " is it running, and is the address right?"
        )
        raise SetupError(message) from None
    except KafkaError as error:
        message = f"Kafka at {kafka.bootstrap_servers} refuses: {str(error) or type(error).__name__}"
        raise SetupError(message) from None
