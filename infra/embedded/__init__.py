"""Servers that need no root, no Docker and no service that is already running."""

from infra.embedded.documents import EmbeddedDocuments
from infra.embedded.kafka import EmbeddedKafka
from infra.embedded.mqtt import EmbeddedMqtt
from infra.embedded.server import EmbeddedServer

__all__ = ["EmbeddedDocuments", "EmbeddedKafka", "EmbeddedMqtt", "EmbeddedServer"]
