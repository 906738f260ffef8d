"""The embedded servers of an instance, kept running where they listened first."""

from functools import partial
from typing import TYPE_CHECKING

from infra.embedded import EmbeddedDocuments, EmbeddedKafka, EmbeddedMqtt, EmbeddedServer
from infra.embedded.mqtt import find_mosquitto
from infra.embedded.mqtt_configuration import kept_messages
from infra.instance.plan import Servers
from infra.registry import Registry
from infra.settings import Settings
from infra.supervisor.server import ServerRunner
from infra.supervisor.supervisor import Child, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable


class InstanceServers:
    """Embedded servers as children of a supervisor.

    Args:
        settings: As the user gave them: data directory and ports.
        registry: Where their run files go.
    """

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._servers: dict[str, EmbeddedServer] = {}

    async def start(self, supervisor: Supervisor, names: list[str]) -> Servers:
        """Start these, and wait until clients can use them.

        Returns:
            Where they listen.

        Raises:
            SetupError: one of them can't be started; it says what to do.
        """
        for name in names:
            supervisor.add(Child(name, partial(self._runner, name)))
        await supervisor.first_start(*names)
        return Servers(
            kafka=self._url("kafka"),
            mqtt=self._url("mqtt"),
            mqtt_protocol="5" if find_mosquitto() else "3.1.1",
            mqtt_keeps=kept_messages("mosquitto" if find_mosquitto() else "iotcore"),
            documents=self._url("documents"),
        )

    def _url(self, name: str) -> str:
        return self._servers[name].url if name in self._servers else ""

    def _runner(self, name: str) -> ServerRunner:
        """A life of an embedded server; the later ones listen where the first did."""
        settings, before = self._settings, self._servers.get(name)
        data_dir = settings.data_dir
        make: dict[str, Callable[[], EmbeddedServer]] = {
            "kafka": lambda: EmbeddedKafka(data_dir, before.port if before else settings.embedded.kafka_port),
            "mqtt": lambda: EmbeddedMqtt(data_dir, before.port if before else settings.embedded.mqtt_port),
            "documents": lambda: EmbeddedDocuments(
                data_dir, before.port if before else settings.embedded.documents_port
            ),
        }

        def server() -> EmbeddedServer:
            self._servers[name] = make[name]()
            return self._servers[name]

        return ServerRunner(name, server, self._registry)
