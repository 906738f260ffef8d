"""An MQTT broker, embedded: Mosquitto where it is installed, else the one that came with our dependencies."""

import asyncio
import os
import pwd
import shutil
import sys
from pathlib import Path
from typing import Literal

from infra.answering import answers
from infra.embedded.mqtt_configuration import iotcore_configuration, mosquitto_configuration
from infra.embedded.ports import LOOPBACK, accepts, free_port
from infra.embedded.server import EmbeddedServer
from schemas.errors import SetupError

Kind = Literal["mosquitto", "iotcore"]
Version = Literal["3.1.1", "5"]

_IOTCORE = Path(__file__).with_name("mqtt_iotcore.py")


class EmbeddedMqtt(EmbeddedServer):
    """An MQTT broker on the loopback address.

    With Mosquitto sessions, queues and retained messages survive a restart, and 20,000 messages may wait for a bridge's
    acknowledgement. With `iotcore` they live in memory only, no more than 100 wait (a constant inside it), and MQTT 5
    has a port of its own.

    Args:
        data_dir: Data directory of the instance; the broker's own part is `mqtt/`, its log file `logs/mqtt.log`.
        port: Where clients connect; 0 = any free one.
        prefer: Which broker; `auto` takes Mosquitto when it is installed.
    """

    name = "mqtt"
    label = "the MQTT broker"
    port_remedy = "--mqtt-port"

    def __init__(
        self, data_dir: Path, port: int = 1883, *, prefer: Literal["auto", "mosquitto", "iotcore"] = "auto"
    ) -> None:
        super().__init__(data_dir, port)
        self._prefer = prefer
        self._mosquitto: str | None = None
        self._port_v5 = 0

    @property
    def kind(self) -> Kind:
        """Which broker it is; known once it was entered."""
        return "mosquitto" if self._mosquitto else "iotcore"

    @property
    def protocols(self) -> dict[Version, str]:
        """URL of the listener for each version of MQTT."""
        return {"3.1.1": self.url, "5": f"mqtt://{LOOPBACK}:{self._port_v5 or self.port}"}

    @property
    def url(self) -> str:
        """Where clients of MQTT 3.1.1 find it, and with Mosquitto those of MQTT 5 too."""
        return f"mqtt://{LOOPBACK}:{self.port}"

    async def _prepare(self) -> None:
        if self._prefer == "iotcore":
            return
        self._mosquitto = find_mosquitto()
        if self._prefer == "mosquitto" and self._mosquitto is None:
            message = "Mosquitto is not installed: install the system package mosquitto, or use the embedded iotcore"
            raise SetupError(message)

    async def _command(self) -> list[str]:
        if self._mosquitto:
            configuration = self._folder / "mosquitto.conf"
            user = account()
            configuration.write_text(mosquitto_configuration(self.port, folder=self._folder, user=user), "utf-8")
            return [self._mosquitto, "-c", str(configuration)]
        self._port_v5 = free_port()
        configuration = self._folder / "iotcore.toml"
        configuration.write_text(iotcore_configuration(self.port, port_v5=self._port_v5), "utf-8")
        return [sys.executable, "-I", str(_IOTCORE), str(configuration)]

    async def _answers(self) -> bool:
        """Whether a CONNECT is answered."""
        answered = await asyncio.to_thread(answers, EmbeddedMqtt.name, self.port)
        return answered and (self._port_v5 == 0 or accepts(self._port_v5))


def find_mosquitto() -> str | None:
    """Path of the Mosquitto broker, which Debian keeps off an ordinary user's PATH."""
    return shutil.which("mosquitto", path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin")))


def account() -> str:
    """Name of the account we run as; Mosquitto started by root would otherwise change to one that can't write here."""
    return pwd.getpwuid(os.getuid()).pw_name
