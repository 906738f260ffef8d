"""Putting a twin type into force."""

import re

from infra.settings import Settings
from schemas.bundle import Bundle, Deployment, bundle_of
from schemas.definition_file import FILE
from schemas.topics import TypeTopics
from streams.log.admin import SHARED_TOPICS, LogAdmin
from streams.log.writer import LogWriter
from twins.catalogue import Catalogue, publish, retire

_MAX_AHEAD = re.compile(r"^max_ahead_s:.*\n?", re.MULTILINE)


def without_ahead_check(bundle: Bundle) -> Bundle:
    """The same type, for telemetry whose event time runs ahead of its arrival."""
    text = _MAX_AHEAD.sub("", bundle.files[FILE].decode())
    return bundle_of(bundle.files | {FILE: f"{text.rstrip()}\nmax_ahead_s: 0\n".encode()})


async def deploy(settings: Settings, bundle: Bundle, *, check_ahead: bool = True) -> Deployment:
    """Make the type's topics and put it into force; nothing is written when it is in force already.

    Raises:
        DefinitionError: the definition has faults.
        SetupError: topics exist with another number of partitions.
    """
    if not check_ahead:
        bundle = without_ahead_check(bundle)
    options, kafka = settings.kafka.options(), settings.kafka
    name = str(bundle.definition().type_name)
    async with LogAdmin(options) as admin:
        topics = (*SHARED_TOPICS, *TypeTopics(name).all())
        await admin.ensure_topics(topics, kafka.partitions, kafka.replication, kafka.retention_ms)
    async with Catalogue(options) as catalogue:
        await catalogue.ready()
        deployed = catalogue.get(name)
    if deployed is not None and deployed.bundle.hash == bundle.hash:
        return deployed.deployment
    async with LogWriter(options) as writer:
        return await publish(writer, bundle)


async def undeploy(settings: Settings, type_name: str) -> Deployment | None:
    """Take a type out of force; None when it is not in force."""
    options = settings.kafka.options()
    async with Catalogue(options) as catalogue:
        await catalogue.ready()
        deployed = catalogue.get(type_name)
    if deployed is None:
        return None
    async with LogWriter(options) as writer:
        return await retire(writer, deployed)
