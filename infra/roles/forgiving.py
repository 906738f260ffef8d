"""When versions that a process died of are forgotten: no partition is under them any more, nor comes to them."""

import asyncio

import structlog

from infra.roles.condemned import Condemned
from infra.roles.type_worker import consumer_group
from schemas.topics import TypeTopics
from streams.log.admin import LogAdmin
from streams.log.client import KafkaOptions
from twins.catalogue import Catalogue

log = structlog.get_logger(__name__)

_LOOK_S = 30.0


async def forgive(options: KafkaOptions, catalogue: Catalogue, condemned: Condemned) -> None:
    """Look from time to time, until cancelled."""
    while True:
        await asyncio.sleep(_LOOK_S)
        if not condemned.types():
            continue
        try:
            async with LogAdmin(options) as admin:
                await forgive_once(admin, catalogue, condemned)
        except Exception as error:  # noqa: BLE001 - Kafka is away, in whatever way; there is no hurry
            log.info("where partitions are can't be asked, trying again", error=repr(error))


async def forgive_once(admin: LogAdmin, catalogue: Catalogue, condemned: Condemned) -> None:
    """Forget those of types whose partitions are all past the latest switch.

    Raises:
        Exception: of any kind, when Kafka can't say where they are.
    """
    for name in condemned.types():
        deployed, switches = catalogue.get(name), catalogue.history(name)
        if deployed is None or not switches or switches[-1].hash != deployed.bundle.hash:
            continue
        topic = TypeTopics(name).telemetry
        committed = await admin.committed(consumer_group(name), [topic])
        if all(committed.get((topic, number), 0) > offset for number, offset in switches[-1].start.items()):
            condemned.absolve(name, deployed.bundle.hash)
