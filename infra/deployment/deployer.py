"""Putting a version of a type into force: workers compile it, then one record in every partition switches to it.

    bundle, candidate ──► workers compile and report ──► switch in every partition + type + history, one transaction

Until that transaction nothing has changed; from it on each partition is under the version at its own offset.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import msgspec

from infra.deployment.asking import COMPILE_TIMEOUT_S, ask, compiled, overtaken, withdraw
from infra.deployment.switching import switch_over, write_bundle, write_record
from infra.deployment.telling import Telling, demand_succession, number_notes, route_notes, succession_notes
from infra.settings import Settings
from schemas.bundle import Bundle
from schemas.clock import SystemClock
from schemas.definition import Definition
from schemas.deployment import TYPE, UNDEPLOYED, Deployment, history_key, key
from schemas.errors import SetupError
from schemas.topics import TypeTopics
from streams.log.admin import SHARED_TOPICS, LogAdmin
from streams.log.writer import LogWriter
from twins.catalogue import Catalogue


async def deploy(
    settings: Settings,
    bundle: Bundle,
    *,
    who: str = "",
    own_only: bool = False,
    patience_s: float = COMPILE_TIMEOUT_S,
    telling: Telling | None = None,
) -> Deployment:
    """Put a bundle into force; nothing is written when it is in force already.

    Args:
        settings: Where Kafka is, and how its topics are made.
        bundle: The type's folder.
        who: Who deploys, for the history.
        own_only: Replace nothing that somebody else put into force; what others made of one's own stays as it is.
        patience_s: How long workers may take to compile it.
        telling: Hears what happens, and what does not go on from the version before.

    Raises:
        DefinitionError: it has faults, does not fit what it goes on from, or a worker can't compile it; nothing has
            changed.
        NoAnswerError: no worker reports.
        SetupError: another deployment is quicker, topics exist with another number of partitions, or what is in force
            is somebody else's.
    """
    definition, telling = bundle.definition(), telling or Telling()
    name = str(definition.type_name)
    async with _catalogue(settings) as catalogue:
        current = catalogue.get(name)
        if current is not None and current.deployment.hash == bundle.hash:
            return current.deployment
        if own_only and current is not None and current.deployment.who != who:
            if any(item.who == who for item in catalogue.history(name)):
                return current.deployment
            raise _foreign(current.deployment, who)
        earlier = await _under(settings, catalogue, name)
        demand_succession(bundle, earlier)
        in_force = current.deployment if current else None
        notes = number_notes(definition, bundle.hash, in_force, catalogue.history(name))
        for note in [*notes, *route_notes(definition, catalogue.types()), *succession_notes(definition, earlier)]:
            telling.note(note)
        async with LogWriter(settings.kafka.options()) as writer:
            deployment = await write_bundle(writer, bundle, _next_time_ns(catalogue, name), who)
        await _put_into_force(settings, catalogue, deployment, patience_s, telling)
        return deployment


async def rollback(
    settings: Settings,
    type_name: str,
    *,
    who: str = "",
    patience_s: float = COMPILE_TIMEOUT_S,
    telling: Telling | None = None,
) -> Deployment:
    """Go back to the version that was in force before, the same way as a deployment; arguments as there.

    Raises:
        SetupError: the type is not in force or never had another version; otherwise as for `deploy`.
    """
    async with _catalogue(settings) as catalogue:
        current = catalogue.get(type_name)
        if current is None:
            message = f"type {type_name} is not deployed; `twinstream types` lists what is"
            raise SetupError(message)
        earlier = [item for item in catalogue.history(type_name) if item.hash != current.deployment.hash]
        if not earlier:
            message = f"{type_name} {current.deployment.version} is the only version that was ever in force"
            raise SetupError(message)
        before = earlier[-1]
        deployment = msgspec.structs.replace(
            current.deployment,
            version=before.version,
            hash=before.hash,
            chunks=before.chunks,
            time_ns=_next_time_ns(catalogue, type_name),
            who=who,
        )
        definition, telling = catalogue.version(before.hash), telling or Telling()
        for note in succession_notes(definition, current.definition) if definition else []:
            telling.note(note)
        await _put_into_force(settings, catalogue, deployment, patience_s, telling)
        return deployment


async def undeploy(settings: Settings, type_name: str, *, who: str = "", topics_too: bool = False) -> Deployment | None:
    """Take a type out of force; None when it is not in force.

    Args:
        settings: Where Kafka is.
        type_name: Qualified name.
        who: Who does it.
        topics_too: Delete its topics with all they hold; otherwise they stay.
    """
    options = settings.kafka.options()
    async with Catalogue(options) as catalogue:
        await catalogue.ready()
        deployed = catalogue.get(type_name)
        now_ns = _next_time_ns(catalogue, type_name)
    if deployed is None and not topics_too:
        return None
    retired = None
    if deployed is not None:
        retired = msgspec.structs.replace(deployed.deployment, deployed=False, time_ns=now_ns, who=who)
        async with LogWriter(options) as writer:
            await write_record(writer, key(TYPE, type_name), msgspec.json.encode(retired))
            trace = history_key(type_name, now_ns, UNDEPLOYED)
            await write_record(writer, trace, msgspec.json.encode(retired))
    if topics_too:
        async with LogAdmin(options) as admin:
            await admin.delete_topics(TypeTopics(type_name).all())
    return retired


@asynccontextmanager
async def _catalogue(settings: Settings) -> AsyncIterator[Catalogue]:
    """The catalogue as it is now."""
    options = settings.kafka.options()
    await _ensure_topics(settings, SHARED_TOPICS)
    async with Catalogue(options) as catalogue:
        await catalogue.ready()
        yield catalogue


async def _under(settings: Settings, catalogue: Catalogue, type_name: str) -> Definition | None:
    """What the twins of a type are under, also while it is not deployed; None when there are none."""
    current, past = catalogue.get(type_name), catalogue.history(type_name)
    if current is not None or not past:
        return current.definition if current else None
    async with LogAdmin(settings.kafka.options()) as admin:
        is_there = TypeTopics(type_name).state in await admin.topics()
    return catalogue.version(past[-1].hash) if is_there else None


async def _ensure_topics(settings: Settings, topics: Iterable[str]) -> None:
    kafka = settings.kafka
    async with LogAdmin(kafka.options()) as admin:
        await admin.ensure_topics(topics, kafka.partitions, kafka.replication, kafka.retention_ms)


async def _put_into_force(
    settings: Settings, catalogue: Catalogue, deployment: Deployment, patience_s: float, telling: Telling
) -> None:
    before = _in_force(catalogue, deployment.type)
    async with LogWriter(settings.kafka.options()) as writer:
        await ask(writer, deployment)
        telling.stage(f"published as {deployment.hash[:12]}, workers compile it")
        try:
            worker = await compiled(catalogue, deployment, patience_s)
            telling.stage(f"compiled by worker {worker}")
            if _in_force(catalogue, deployment.type) != before:
                raise overtaken(deployment)
            await _ensure_topics(settings, TypeTopics(deployment.type).all())
            await switch_over(settings.kafka.options(), deployment, settings.kafka.partitions)
            telling.is_written = True
            telling.stage(f"switched in all {settings.kafka.partitions} partitions")
        finally:
            await withdraw(writer, catalogue, deployment)


def _in_force(catalogue: Catalogue, type_name: str) -> int:
    """When what is in force was put there, 0 for nothing."""
    current = catalogue.get(type_name)
    return current.deployment.time_ns if current is not None else 0


def _foreign(current: Deployment, who: str) -> SetupError:
    message = (
        f"{current.type} {current.version} was put into force by {current.who or 'somebody else'}, and {who} does not"
        f" replace it: `twinstream up` goes on with it, `twinstream undeploy {current.type}` there frees the name,"
        " and with --data-dir DIR an example has a place of its own"
    )
    return SetupError(message)


def _next_time_ns(catalogue: Catalogue, type_name: str) -> int:
    """Now, but later than every switch before: the order of time is the order of the log."""
    history = catalogue.history(type_name)
    return max(SystemClock().now_ns(), history[-1].time_ns + 1 if history else 0)
