"""Putting a type into force where no worker runs that could compile it first."""

from infra.deployment.switching import switch_over, write_bundle
from schemas.bundle import Bundle
from schemas.clock import SystemClock
from schemas.deployment import Deployment
from schemas.topics import TypeTopics
from streams.log.admin import SHARED_TOPICS, LogAdmin
from streams.log.client import KafkaOptions
from streams.log.writer import LogWriter


async def put_into_force(options: KafkaOptions, bundle: Bundle, partitions: int = 8) -> Deployment:
    """Make the topics, write the bundle and switch to it."""
    async with LogAdmin(options) as admin:
        await admin.ensure_topics((*SHARED_TOPICS, *TypeTopics(str(bundle.definition().type_name)).all()), partitions)
    async with LogWriter(options) as writer:
        deployment = await write_bundle(writer, bundle, SystemClock().now_ns(), "tests")
    await switch_over(options, deployment, partitions)
    return deployment
