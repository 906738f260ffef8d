"""Each example in the demo: its twins estimate, its devices obey, and what befalls them is noticed."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.instance import Instance, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]


@contextmanager
def told_events(api: str, type_name: str) -> Iterator[list[dict[str, Any]]]:
    """Events of a type's twins, as the stream tells them."""
    events: list[dict[str, Any]] = []
    ending = threading.Event()

    def listen() -> None:
        with httpx.stream("GET", f"{api}/api/stream", params={"type": type_name}, timeout=60) as answer:
            kind = ""
            for line in answer.iter_lines():
                if line.startswith("event:"):
                    kind = line.removeprefix("event:").strip()
                elif line.startswith("data:") and kind == "event":
                    events.append(json.loads(line.removeprefix("data:")))
                if ending.is_set():
                    return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield events
    finally:
        ending.set()
        listener.join(30)


@pytest.mark.parametrize(
    ("example", "kind", "speed", "estimate", "command", "event"),
    [
        pytest.param("tanks", "tanks", "20", "leak_flow", "pump", "leak_suspected", id="tanks"),
        pytest.param("vibration", "vibration", "5", "peak_frequency", "speed", "bearing_fault", id="vibration"),
        pytest.param("pump", "lift_pump", "20", "npsh_margin", "speed", "cavitation", id="pump"),
    ],
)
def test_the_demo_shows_an_example_of_choice(
    example: str, kind: str, speed: str, estimate: str, command: str, event: str, tmp_path: Path
) -> None:
    with (
        Instance(tmp_path / "data", "demo", "--example", example, "--speed", speed, "--duration", "120") as demo,
        told_events(demo.api, kind) as events,
    ):

        def estimated() -> Any:
            twins = demo.get("/api/twins", type=kind)["items"]
            return len(twins) == 3 and all(twin["outputs"][estimate] is not None for twin in twins)

        def obeyed() -> Any:
            paths = [f"/api/twins/{kind}/{kind}-{number}/commands" for number in (1, 2, 3)]
            items = [item for path in paths for item in demo.get(path)["items"]]
            return [item for item in items if (item["name"], item["status"]) == (command, "acked")]

        eventually(estimated, f"three twins estimate {estimate}")
        eventually(obeyed, f"a device acknowledges {command}")
        found = eventually(lambda: [one for one in events if one["name"] == event], f"a twin tells of {event}", 60)
        assert found[0]["twin"] == f"{kind}-2"
        path = f"/api/twins/{kind}/{kind}-1/series"
        eventually(lambda: demo.get(path, field=estimate)["time_ns"], f"{estimate} is stored")
        assert demo.get("/api/deadletters", type=kind)["items"] == []
