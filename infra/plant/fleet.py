"""A fleet of simulated devices as a program: its command line, and the loop that lets them run."""

import argparse
import os
import re
import signal
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from infra.plant.clock_file import ClockFile
from infra.plant.device import Device
from infra.plant.link import Link
from schemas.clock import NS_PER_S, SystemClock

_SHORTEST_WAIT_S = 0.05
"""Devices whose cycles are shorter run for several at a time."""

MakeDevice = Callable[[argparse.Namespace, int, int, str], Device]
"""From the options, the device's number from 1 on, simulated time of its first cycle, and a name of this boot."""


def parser_of(description: str, type_name: str) -> argparse.ArgumentParser:
    """The command line that all plants share; a plant adds its own options."""
    parser = argparse.ArgumentParser(description=description)
    url = os.environ.get("TWINSTREAM_MQTT__URL", "mqtt://127.0.0.1:1883")
    parser.add_argument("--mqtt", default=url, help="broker, mqtt://HOST:PORT; default: TWINSTREAM_MQTT__URL")
    parser.add_argument("--twins", type=int, default=1, help="how many devices")
    parser.add_argument("--speed", type=float, default=1.0, help="simulated seconds per second")
    parser.add_argument("--type", default=type_name, help="twin type")
    parser.add_argument("--seed", type=int, default=1, help="seed of what happens to the devices")
    parser.add_argument("--clock-file", type=Path, help="remembers simulated time from one start to the next")
    return parser


def read_options(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read a plant's command line."""
    options = parser.parse_args(arguments)
    if not re.match(r"mqtts?://[^/]", options.mqtt):
        parser.error("--mqtt must be mqtt://HOST:PORT or mqtts://HOST:PORT")
    if options.twins < 1 or options.speed <= 0:
        parser.error("--twins must be at least 1 and --speed above 0")
    return options


def run(options: argparse.Namespace, cycle_s: float, make: MakeDevice, stop: threading.Event) -> None:
    """Let the devices run until `stop` is set.

    Args:
        options: As `read_options` gives them.
        cycle_s: Simulated time from one record of a device to its next.
        make: Makes a device.
        stop: Ends it.
    """
    clock = SystemClock()
    clock_file = ClockFile(options.clock_file, round(2.0 * options.speed * NS_PER_S))
    start_ns, boot = clock_file.start_ns(clock.now_ns()), uuid.uuid4().hex[:12]
    devices = {f"{options.type}-{k}": make(options, k, start_ns, boot) for k in range(1, options.twins + 1)}
    link = Link(options.mqtt, devices, options.type)
    link.start()
    while not stop.is_set() and not link.subscribed.wait(0.2):  # else the first commands would find nobody
        pass
    cycles = max(1, round(_SHORTEST_WAIT_S * options.speed / cycle_s))
    period_s = cycles * cycle_s / options.speed
    due_s, time_ns = clock.monotonic_s(), start_ns
    while not stop.wait(max(0.0, due_s - clock.monotonic_s())):
        for _ in range(cycles):
            for name, device in devices.items():
                record = device.cycle()
                link.publish(name, record)
                time_ns = record["time"] + round(cycle_s * NS_PER_S)
        clock_file.reach(time_ns)
        # A plant that fell behind goes on from here: it slows down rather than sending a burst.
        due_s = max(due_s + period_s, clock.monotonic_s())
    clock_file.reach(time_ns, last=True)
    link.stop()


def serve(options: argparse.Namespace, cycle_s: float, make: MakeDevice) -> None:
    """Let the devices run until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(options, cycle_s, make, stop)
