"""The demo as a new user runs it: one command, then everything can be read; a second start goes on."""

import signal
import subprocess
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import yaml
from support.instance import ROOT, Instance, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]

PORTS = ("--http-port", "0", "--mqtt-port", "0", "--kafka-port", "0")


class Demo:
    """`scripts/demo`, read line by line."""

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [str(ROOT / "scripts" / "demo"), "--data-dir", str(data_dir), *PORTS, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []

    def __enter__(self) -> Self:
        """The demo is started."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End it, if a test failed before it ended."""
        if self._process.poll() is None:
            self._process.terminate()
            self.ended(15)

    def until_ready(self) -> dict[str, str]:
        """Read up to the line that says ready; return the addresses that were printed."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip())
            if "ready" in line:
                return {words[0]: words[-1] for words in map(str.split, self.lines) if "://" in (words or [""])[-1]}
        pytest.fail("\n".join(self.lines))

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def ended(self, timeout_s: float) -> int:
        """Exit code, within a time."""
        assert self._process.stdout is not None
        try:
            out, _ = self._process.communicate(timeout=timeout_s)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait(10)
            self._process.stdout.close()
        self.lines += out.splitlines()
        return self._process.returncode


def get(api: str, path: str, **query: Any) -> Any:
    answer = httpx.get(api + path, params=query, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_demo_shows_a_living_twin_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with Demo(data_dir, "--duration", "30", "--speed", "20") as demo:
        urls = demo.until_ready()
        api = urls["API"]
        [job] = yaml.safe_load((data_dir / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
        scraped = {group["labels"]["role"]: group["targets"][0] for group in job["static_configs"]}
        assert {"api", "worker", "bridge:mqtt", "sink:timeseries", "sink:metadata"} == scraped.keys()
        for role, target in scraped.items():
            assert f'twinstream_ready{{role="{role}"}} 1.0' in httpx.get(f"http://{target}/metrics", timeout=10).text

        def estimated() -> Any:
            twins = get(api, "/api/twins", type="incubator")["items"]
            return len(twins) == 3 and all(twin["outputs"]["T_heater"] is not None for twin in twins)

        eventually(estimated, "three twins estimate the heater's temperature")
        path = "/api/twins/incubator/incubator-1"
        twin = get(api, path)
        assert {"type", "id", "version", "revision", "event_time_ns", "inputs", "state", "outputs"} <= twin.keys()
        points = eventually(lambda: get(api, f"{path}/series", field="T_heater")["time_ns"], "history")
        acked = eventually(
            lambda: [item for item in get(api, f"{path}/commands")["items"] if item["status"] == "acked"],
            "the simulated device acknowledges a command",
        )
        assert {item["name"] for item in acked} <= {"heater", "fan"}
        eventually(lambda: 1.0 in get(api, f"{path}/series", field="lid_open")["value"], "somebody opened the lid", 30)
        assert demo.ended(60) == 0, "\n".join(demo.lines)

    with Instance(data_dir) as again:
        kept = again.get(path)
        assert kept["revision"] >= twin["revision"]
        found = again.get(f"{path}/series", field="T_heater", limit=10)["time_ns"]
        assert found[: len(points[:10])] == points[:10]
        assert again.get(f"{path}/commands")["items"]
        assert [item["type"] for item in again.get("/api/types")["items"]] == ["incubator"]
        with Demo(data_dir) as in_use:
            assert in_use.ended(40) == 1
        assert "Traceback" not in "\n".join(in_use.lines)
        assert str(data_dir) in in_use.lines[-1]


def test_interrupt_ends_the_demo_within_ten_seconds(tmp_path: Path) -> None:
    with Demo(tmp_path / "data", "--twins", "1") as demo:
        demo.until_ready()
        demo.interrupt()
        assert demo.ended(12) == 0, "\n".join(demo.lines)


def test_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    with Instance(tmp_path / "first") as running:
        port = running.api.rsplit(":", 1)[1]
        data_dir = str(tmp_path / "second")
        done = subprocess.run(
            [str(ROOT / "scripts" / "demo"), *PORTS, "--http-port", port, "--data-dir", data_dir],
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
    assert done.returncode == 1
    said = (done.stdout + done.stderr).strip().splitlines()
    assert port in said[-1]
    assert not [line for line in said if "Traceback" in line]
