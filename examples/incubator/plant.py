"""Simulated incubators that talk MQTT as real ones would: `python examples/incubator/plant.py --help`.

A box has two temperatures, its heater's Th and its air's T, in a room at Tr:

    C_heater · dTh/dt = V · I · u - G_heater · (Th - T)
    C_air    · dT/dt  = G_heater · (Th - T) - G_box · (T - Tr)

solved exactly for inputs that are held over a cycle, which is more than the twin's filter does. With the lid open the
box loses a hundred times as much heat.
"""

import argparse
import json
import math
import os
import random
import re
import signal
import threading
import uuid
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import unquote, urlsplit

import numpy as np
import structlog
from numpy.typing import NDArray
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from schemas.clock import NS_PER_S, SystemClock

log = structlog.get_logger(__name__)

CYCLE_S = 3.0
C_AIR, G_BOX = 267.55929458, 0.5763498
C_HEATER, G_HEATER = 329.25376821, 1.67053237
POWER_W = 12.15579391 * 1.53551347
OPEN_LID_FACTOR = 100.0
OFFSET_C = 0.6
"""The two sensors in the box sit at different heights: one reads less than their mean, one more."""
NOISE_C = 0.02
STEPS_PER_DEGREE = 16


class Telemetry(TypedDict):
    """What a box publishes every cycle."""

    time: int
    seq: int
    boot: str
    t1: float
    t2: float
    t3: float
    heater_on: bool
    fan_on: bool


def room_temperature(since_start_s: float) -> float:
    """Room temperature in °C: cool at the start, so that an open lid is felt whatever the time of day."""
    return 10.0 * math.sin(since_start_s / 10000.0 - 2.7) + 15.0


def transition(duration_s: float, *, lid_open: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Exact step of the plant: [Th, T] becomes E·[Th, T] + D·[u, Tr] after `duration_s`."""
    loss = G_BOX * OPEN_LID_FACTOR if lid_open else G_BOX
    a = np.array([[-G_HEATER / C_HEATER, G_HEATER / C_HEATER], [G_HEATER / C_AIR, -(G_HEATER + loss) / C_AIR]])
    b = np.array([[POWER_W / C_HEATER, 0.0], [0.0, loss / C_AIR]])
    rates, modes = np.linalg.eig(a)
    step = (modes * np.exp(rates * duration_s)) @ np.linalg.inv(modes)
    return step, (step - np.eye(2)) @ np.linalg.solve(a, b)


class Lid:
    """When somebody opens the lid, and for how long; the same for the same seed.

    Args:
        seed: Seed of the times.
        first_s: First opening, simulated seconds after the start.
        every_s: From one opening to the next; 0 for never.
    """

    def __init__(self, seed: int, first_s: float, every_s: float) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a repeatable course of events, no secret
        self._every_s = every_s
        self._opens_s = first_s if every_s > 0 else math.inf
        self._closes_s = self._opens_s + self._random.uniform(30.0, 60.0)

    def is_open(self, since_start_s: float) -> bool:
        """Whether the lid is open at a time that never decreases from call to call."""
        while since_start_s >= self._closes_s:
            self._opens_s += self._every_s * self._random.uniform(0.8, 1.2)
            self._opens_s = max(self._opens_s, self._closes_s)
            self._closes_s = self._opens_s + self._random.uniform(30.0, 60.0)
        return since_start_s >= self._opens_s


@dataclass
class Box:
    """One incubator and its driver.

    Attributes:
        start_ns: Simulated time of the first cycle.
        temperatures: [Th, T] in °C.
        orders: Commands that have come and were not applied yet, by actuator.
    """

    lid: Lid
    start_ns: int
    seed: int
    boot: str
    heater_on: bool = False
    fan_on: bool = False
    cycles: int = 0
    temperatures: NDArray[np.float64] = field(default_factory=lambda: np.array([21.0, 21.0]))
    orders: dict[str, deque[bool]] = field(default_factory=lambda: {"heater": deque(), "fan": deque()})

    def __post_init__(self) -> None:
        """Prepare the noise and the two transitions that a cycle can make."""
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable noise, no secret
        self._transitions = {lid_open: transition(CYCLE_S, lid_open=lid_open) for lid_open in (False, True)}

    def cycle(self) -> Telemetry:
        """Take at most one command for each actuator, read the sensors, and let the box go on for one cycle."""
        self.heater_on = self.orders["heater"].popleft() if self.orders["heater"] else self.heater_on
        self.fan_on = self.orders["fan"].popleft() if self.orders["fan"] else self.fan_on
        since_start_s = self.cycles * CYCLE_S
        time_ns = self.start_ns + round(since_start_s * NS_PER_S)
        room = room_temperature(since_start_s)
        air = float(self.temperatures[1])
        record = Telemetry(
            time=time_ns,
            seq=self.cycles,
            boot=self.boot,
            t1=self._read(air - OFFSET_C),
            t2=self._read(air + OFFSET_C),
            t3=self._read(room),
            heater_on=self.heater_on,
            fan_on=self.fan_on,
        )
        step, drive = self._transitions[self.lid.is_open(since_start_s)]
        self.temperatures = step @ self.temperatures + drive @ np.array([float(self.heater_on), room])
        self.cycles += 1
        return record

    def _read(self, temperature: float) -> float:
        """A sensor's reading: noise, then steps of 1/16 °C, cut to three decimals."""
        steps = round((temperature + self._random.gauss(0.0, NOISE_C)) * STEPS_PER_DEGREE)
        return math.trunc(steps / STEPS_PER_DEGREE * 1000.0) / 1000.0


class Link:
    """The boxes' connection to the broker; it comes back by itself.

    Args:
        url: `mqtt://` or `mqtts://`, with user, password and port if needed.
        boxes: By device name.
        type_name: Twin type, for the topics.
    """

    def __init__(self, url: str, boxes: dict[str, Box], type_name: str) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        self.subscribed = threading.Event()
        self._boxes, self._prefix = boxes, f"twins/{type_name}"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"plant-{uuid.uuid4().hex[:16]}")
        self._client.username_pw_set(unquote(parts.username or "") or None, unquote(parts.password or "") or None)
        if parts.scheme == "mqtts":
            self._client.tls_set()
        self._client.max_queued_messages_set(10_000)
        self._client.reconnect_delay_set(min_delay=1, max_delay=10)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._command
        self._client.on_subscribe = lambda *_: self.subscribed.set()

    def start(self) -> None:
        """Connect in the background, as often as needed."""
        self._client.connect_async(*self._address, keepalive=30)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, device: str, record: Telemetry) -> None:
        """Send a record, at once or when the broker is back."""
        self._client.publish(f"{self._prefix}/{device}/telemetry", json.dumps(record), qos=1)

    def _connected(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:  # noqa: ANN401
        if reason.is_failure:
            log.warning("broker refuses", reason=str(reason))
            return
        log.info("connected", broker=f"{self._address[0]}:{self._address[1]}", boxes=list(self._boxes))
        client.subscribe([(f"{self._prefix}/{device}/commands/+", 1) for device in self._boxes])

    def _disconnected(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:  # noqa: ANN401
        if reason.is_failure:
            log.warning("connection lost, trying again", reason=str(reason))

    def _command(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:  # noqa: ANN401
        device, _, name = message.topic.removeprefix(f"{self._prefix}/").split("/")
        box = self._boxes[device]
        try:
            command = json.loads(message.payload)
            value, command_id = command["value"], command["id"]
        except (ValueError, KeyError, TypeError):
            log.warning("not a command", topic=message.topic)
            return
        if name in box.orders and isinstance(value, bool):
            box.orders[name].append(value)
            client.publish(f"{self._prefix}/{device}/acks/{name}", json.dumps({"id": command_id}), qos=1)


class ClockFile:
    """Where simulated time got to, so that a faster plant does not go back in time when it is started again.

    Args:
        path: The file, or None to begin at the present time.
        ahead_ns: Written ahead of the simulated time, for a plant that is killed.
    """

    def __init__(self, path: Path | None, ahead_ns: int) -> None:
        self._path, self._ahead_ns, self._reserved_ns = path, ahead_ns, 0

    def start_ns(self, now_ns: int) -> int:
        """Simulated time to begin at."""
        reached = self._path.read_text() if self._path and self._path.is_file() else ""
        return max(now_ns, int(reached) if reached.strip().isdigit() else 0)

    def reach(self, time_ns: int, *, last: bool = False) -> None:
        """Note a simulated time."""
        if self._path and (last or time_ns > self._reserved_ns):
            self._reserved_ns = time_ns if last else time_ns + self._ahead_ns
            scratch = self._path.with_suffix(".tmp")
            scratch.write_text(str(self._reserved_ns))
            scratch.replace(self._path)


def run(options: argparse.Namespace, stop: threading.Event) -> None:
    """Let the boxes run until `stop` is set."""
    clock = SystemClock()
    period_s = CYCLE_S / options.speed
    clock_file = ClockFile(options.clock_file, round(2.0 * options.speed * NS_PER_S))
    start_ns, boot = clock_file.start_ns(clock.now_ns()), uuid.uuid4().hex[:12]
    boxes = {
        f"{options.type}-{k}": Box(
            Lid(options.seed + k, options.first_lid_s + 30.0 * (k - 1), options.lid_every_s), start_ns, k, boot
        )
        for k in range(1, options.twins + 1)
    }
    link = Link(options.mqtt, boxes, options.type)
    link.start()
    while not stop.is_set() and not link.subscribed.wait(0.2):  # else the first commands would find nobody
        pass
    due_s, time_ns = clock.monotonic_s(), start_ns
    while not stop.wait(max(0.0, due_s - clock.monotonic_s())):
        for device, box in boxes.items():
            record = box.cycle()
            link.publish(device, record)
            time_ns = record["time"] + round(CYCLE_S * NS_PER_S)
        clock_file.reach(time_ns)
        # A plant that fell behind goes on from here: it slows down rather than sending a burst.
        due_s = max(due_s + period_s, clock.monotonic_s())
    clock_file.reach(time_ns, last=True)
    link.stop()


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Simulated incubators that publish and obey over MQTT.")
    url = os.environ.get("TWINSTREAM_MQTT__URL", "mqtt://127.0.0.1:1883")
    parser.add_argument("--mqtt", default=url, help="broker, mqtt://HOST:PORT; default: TWINSTREAM_MQTT__URL")
    parser.add_argument("--twins", type=int, default=1, help="how many boxes")
    parser.add_argument("--speed", type=float, default=1.0, help="simulated seconds per second")
    parser.add_argument("--type", default="incubator", help="twin type")
    parser.add_argument("--lid-every-s", type=float, default=600.0, help="simulated time between lid openings; 0: none")
    parser.add_argument("--first-lid-s", type=float, default=210.0, help="simulated time of the first opening")
    parser.add_argument("--seed", type=int, default=1, help="seed of the lid openings")
    parser.add_argument("--clock-file", type=Path, help="remembers simulated time from one start to the next")
    options = parser.parse_args(arguments)
    if not re.match(r"mqtts?://[^/]", options.mqtt):
        parser.error("--mqtt must be mqtt://HOST:PORT or mqtts://HOST:PORT")
    if options.twins < 1 or options.speed <= 0:
        parser.error("--twins must be at least 1 and --speed above 0")
    return options


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(options_of(), stop)


if __name__ == "__main__":
    main()
