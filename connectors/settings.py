"""Settings of the two stores: which technology holds time series, which one documents."""

from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class _StoreSettings(BaseModel):
    """What both stores share: an address, which is absent for the embedded default, and how to reach it.

    User name and password may stand in the URL, percent-encoded, or be given as keys; the keys win.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str | None = Field(default=None, repr=False)
    username: str = ""
    password: SecretStr = SecretStr("")
    ca_file: str = ""

    @property
    def embedded(self) -> bool:
        """Whether the store that comes with us is used."""
        return self.url is None

    @property
    def shown_url(self) -> str:
        """The URL without its credentials, for logs, status and clients; `""` when embedded."""
        return _without_credentials(self.url) if self.url else ""

    def credentials(self) -> tuple[str, str]:
        """User name and password, percent-decoded; empty when there are none."""
        parts = urlsplit(self.url or "")
        in_url = (unquote(parts.username or ""), unquote(parts.password or ""))
        return self.username or in_url[0], self.password.get_secret_value() or in_url[1]

    def _check_scheme(self, schemes: tuple[str, ...], what: str) -> None:
        if self.url is None:
            return
        try:
            parts = urlsplit(self.url)
            sound = parts.scheme in schemes and bool(parts.netloc.rpartition("@")[2])
        except ValueError:
            sound = False
        if not sound:
            wanted = " or ".join(f"{scheme}://" for scheme in schemes)
            message = f"url of {what} must start with {wanted} and name a host"
            raise ValueError(message)


class TimeseriesSettings(_StoreSettings):
    """Section `timeseries`: InfluxDB 2, or without `url` the embedded DuckDB file.

    Attributes:
        token: API token of InfluxDB; wins over user name and password.
        org: Organisation that owns the bucket.
        bucket: Created when it is absent and the token allows it.
    """

    token: SecretStr = SecretStr("")
    org: str = "twinstream"
    bucket: str = "twinstream"

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_scheme(("http", "https"), "timeseries")
        return self


class MetadataSettings(_StoreSettings):
    """Section `metadata`: a server of MongoDB's protocol, or without `url` the embedded one.

    Attributes:
        database: Holds the collections `types`, `twins` and `commands`.
    """

    database: str = "twinstream"

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_scheme(("mongodb", "mongodb+srv"), "metadata")
        return self


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(SplitResult(parts.scheme, host, parts.path, parts.query, parts.fragment))
