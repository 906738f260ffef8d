"""InfluxDB 2, built once by `scripts/build-influxd` and kept in the cache."""

from pathlib import Path
from typing import ClassVar

import httpx

from infra.embedded.cache import cache_dir
from infra.embedded.ports import LOOPBACK, accepts
from infra.embedded.server import EmbeddedServer
from schemas.errors import SetupError

INFLUXD_VERSION = "2.7.12"


def find_influxd() -> Path | None:
    """The built binary, if there is one."""
    binary = cache_dir() / f"influxd-{INFLUXD_VERSION}"
    return binary if binary.is_file() else None


class InfluxDb(EmbeddedServer):
    """One InfluxDB server, set up with an organisation, a bucket and a token that may do everything.

    Attributes:
        token: The operator's token.
        org: Name of the organisation.
        bucket: Name of the bucket, which keeps everything.
    """

    name = "influxdb"
    label = "InfluxDB"
    port_remedy = "another port"
    ready_timeout_s: ClassVar[float] = 60.0
    token: ClassVar[str] = "test-token"  # noqa: S105 - of a test server
    org: ClassVar[str] = "twinstream"
    bucket: ClassVar[str] = "twinstream"

    @property
    def url(self) -> str:
        """Where its HTTP interface is."""
        return f"http://{LOOPBACK}:{self.port}"

    async def _command(self) -> list[str]:
        binary = find_influxd()
        if binary is None:
            message = f"InfluxDB {INFLUXD_VERSION} is not built: run scripts/build-influxd"
            raise SetupError(message)
        return [
            str(binary),
            *("--bolt-path", str(self._folder / "influxd.bolt")),
            *("--engine-path", str(self._folder / "engine")),
            *("--sqlite-path", str(self._folder / "influxd.sqlite")),
            *("--http-bind-address", f"{LOOPBACK}:{self.port}"),
            *("--log-level", "warn"),
            "--reporting-disabled",
        ]

    async def _answers(self) -> bool:
        """Whether it is healthy and set up."""
        if not accepts(self.port):
            return False
        async with httpx.AsyncClient(base_url=self.url, timeout=10) as client:
            try:
                if (await client.get("/health")).status_code != httpx.codes.OK:
                    return False
                state = (await client.get("/api/v2/setup")).raise_for_status().json()
                if state["allowed"]:
                    account = {"username": "operator", "password": "operator-password", "token": self.token}
                    places = {"org": self.org, "bucket": self.bucket, "retentionPeriodSeconds": 0}
                    (await client.post("/api/v2/setup", json={**account, **places})).raise_for_status()
            except httpx.TransportError:
                return False
        return True
