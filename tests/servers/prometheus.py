"""Prometheus of the system package, which scrapes what a test tells it to."""

import json
import shutil
from pathlib import Path

import httpx

from infra.embedded.ports import LOOPBACK, accepts
from infra.embedded.server import EmbeddedServer
from schemas.errors import SetupError


class Prometheus(EmbeddedServer):
    """One Prometheus server.

    Attributes:
        configuration: File that it reads; None for one of its own, which scrapes what `scrape` says.
    """

    configuration: Path | None = None

    name = "prometheus"
    label = "Prometheus"
    port_remedy = "another port"

    @property
    def url(self) -> str:
        """Where its HTTP interface is."""
        return f"http://{LOOPBACK}:{self.port}"

    def scrape(self, **targets: str) -> None:
        """Scrape `/metrics` of these every half second from now on.

        Args:
            **targets: `HOST:PORT` by the name of its job label.
        """
        groups = [{"targets": [target], "labels": {"job": job}} for job, target in targets.items()]
        partial = self._folder / "targets.partial"
        partial.write_text(json.dumps(groups), "utf-8")
        partial.replace(self._folder / "targets.json")

    async def query(self, expression: str) -> list[dict[str, object]]:
        """Result of an instant query."""
        async with httpx.AsyncClient(base_url=self.url) as client:
            answer = await client.get("/api/v1/query", params={"query": expression})
        result: list[dict[str, object]] = answer.raise_for_status().json()["data"]["result"]
        return result

    async def _command(self) -> list[str]:
        program = shutil.which("prometheus")
        if program is None:
            message = "Prometheus is not installed: run scripts/servers"
            raise SetupError(message)
        if not (self._folder / "targets.json").exists():
            self.scrape()
        found = [{"files": [str(self._folder / "targets.json")], "refresh_interval": "1s"}]
        configuration = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
            "scrape_configs": [{"job_name": "twinstream", "file_sd_configs": found}],
        }
        file = self._folder / "prometheus.yml"
        file.write_text(json.dumps(configuration), "utf-8")
        return [
            *(program, f"--config.file={self.configuration or file}", f"--storage.tsdb.path={self._folder / 'data'}"),
            *(f"--web.listen-address={LOOPBACK}:{self.port}", "--log.level=warn"),
        ]

    async def _answers(self) -> bool:
        if not accepts(self.port):
            return False
        async with httpx.AsyncClient(base_url=self.url) as client:
            try:
                return (await client.get("/-/ready")).status_code == httpx.codes.OK
            except httpx.TransportError:
                return False
