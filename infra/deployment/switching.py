"""What a deployment writes: the bundle, then the switch of every partition in one transaction."""

import msgspec
from aiokafka.errors import ProducerFenced

from schemas.bundle import Bundle, chunk_key, chunks_of
from schemas.clock import SystemClock
from schemas.deployment import TYPE, Deployment, HistoryItem, Switch, history_key, key
from schemas.errors import SetupError
from schemas.headers import Kind, input_headers
from schemas.topics import DEFINITIONS, TypeTopics
from streams.log.admin import SHARED_TOPICS, LogAdmin
from streams.log.atomic import Addressed, AtomicWriter
from streams.log.client import KafkaOptions
from streams.log.writer import LogWriter

_PLACE = 0
"""One partition of the definitions for everything, so that it is read in the order in which it was written."""


async def write_bundle(writer: LogWriter, bundle: Bundle, time_ns: int, who: str) -> Deployment:
    """Write a bundle, which changes nothing yet; return what would put it into force.

    Raises:
        DefinitionError: the bundle's definition has faults; nothing was written.
    """
    definition = bundle.definition()
    chunks = chunks_of(bundle.pack())
    for index, chunk in enumerate(chunks):
        await write_record(writer, chunk_key(bundle.hash, index), chunk)
    return Deployment(
        type=str(definition.type_name),
        project=definition.project,
        version=definition.version,
        hash=bundle.hash,
        chunks=len(chunks),
        time_ns=time_ns,
        who=who,
    )


async def switch_over(options: KafkaOptions, deployment: Deployment, partitions: int) -> None:
    """Write the switch to every partition, what is in force and the history: all or nothing.

    Raises:
        SetupError: another deployment of the type was quicker.
    """
    name = deployment.type
    topic = TypeTopics(name).telemetry
    value = msgspec.json.encode(Switch(definition=deployment.hash, version=deployment.version, who=deployment.who))
    headers = input_headers(received_ns=deployment.time_ns, source=f"deploy:{deployment.who}", kind=Kind.SWITCH)
    switches = [
        Addressed(topic=topic, partition=partition, key=None, value=value, headers=tuple(headers))
        for partition in range(partitions)
    ]
    try:
        async with AtomicWriter(options, f"twinstream-deploy-{name}") as writer, writer.transaction():
            offsets = await writer.send(switches)
            item = HistoryItem(
                type=name,
                version=deployment.version,
                hash=deployment.hash,
                chunks=deployment.chunks,
                time_ns=deployment.time_ns,
                who=deployment.who,
                start=dict(enumerate(offsets)),
            )
            records = {key(TYPE, name): deployment, history_key(name, deployment.time_ns): item}
            await writer.send(
                Addressed(topic=DEFINITIONS, partition=_PLACE, key=found, value=msgspec.json.encode(record))
                for found, record in records.items()
            )
    except ProducerFenced:
        message = f"another deployment of {name} was quicker: look at `twinstream types` and try again"
        raise SetupError(message) from None


async def write_record(writer: LogWriter, record_key: bytes, value: bytes | None) -> None:
    """Write one record of the definitions durably; None deletes."""
    await (await writer.send(DEFINITIONS, record_key, value, partition=_PLACE))


async def put_into_force(options: KafkaOptions, bundle: Bundle, partitions: int, *, who: str) -> Deployment:
    """Make a type's topics and switch to a bundle unasked, where no worker runs that could compile it first.

    Raises:
        DefinitionError: the bundle's definition has faults; nothing was written.
        SetupError: topics exist with another number of partitions, or another deployment was quicker.
    """
    topics = TypeTopics(str(bundle.definition().type_name)).all()
    async with LogAdmin(options) as admin:
        await admin.ensure_topics((*SHARED_TOPICS, *topics), partitions)
    async with LogWriter(options) as writer:
        deployment = await write_bundle(writer, bundle, SystemClock().now_ns(), who)
    await switch_over(options, deployment, partitions)
    return deployment
