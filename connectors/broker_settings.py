"""What the settings of every message broker share: its address and credentials."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from schemas.errors import InvalidNameError
from schemas.names import parse_type


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a broker is.

    Attributes:
        path: What follows the port, percent-decoded, without its slash.
    """

    host: str
    port: int
    tls: bool
    path: str = ""
    username: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Return `host:port`, for logs."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Scheme:
    """What a URL scheme means."""

    port: int
    tls: bool


class BrokerSettings(BaseModel):
    """Address of a broker; user name and password may stand in the URL, percent-encoded, or be keys, which win.

    Attributes:
        ca_file: PEM file of the authority to trust with TLS; `""` for the system's.
        default_routes: Whether the routes below `twins` are there beside the configured ones.
        types: Qualified types whose messages below `twins` are taken in; empty for all. Bridges with types of their own
            share the load, each message goes to one of them, and a twin's order holds.
        queue_limit: Messages that the broker keeps for the bridge while it is away; 0 where it is not known, or
            without limit.
        expected_rate: Messages per second that devices send, as far as it is known; what is measured counts when it is
            higher.
        outage_budget_s: So long the bridge may be away without the broker's queue dropping messages; when queue_limit /
            rate is less, the bridge warns.
        group: Consumer group of commands and events that leave; `""` for `twinstream-bridge-` and the broker's kind.
            Bridges with one group share the work, so that they need the same broker and the same routes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    schemes: ClassVar[Mapping[str, Scheme]]
    limited_queue: ClassVar[bool] = False
    """Whether brokers of the kind limit their queues unless told otherwise."""

    url: str | None = Field(default=None, repr=False)
    username: str = ""
    password: SecretStr = SecretStr("")
    ca_file: str = ""
    default_routes: bool = True
    types: tuple[str, ...] = ()
    queue_limit: Annotated[int, Field(ge=0)] = 0
    expected_rate: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    outage_budget_s: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 60.0
    group: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,100}$")] = ""

    @field_validator("url")
    @classmethod
    def _readable(cls, url: str | None) -> str | None:
        if url is not None:
            _endpoint(url, cls.schemes)
        return url

    @field_validator("types")
    @classmethod
    def _named(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        for name in types:
            try:
                parse_type(name)
            except InvalidNameError as error:
                raise ValueError(str(error)) from None
        if len(set(types)) < len(types):
            message = "a type stands there twice"
            raise ValueError(message)
        return types

    @model_validator(mode="after")
    def _types_mean_something(self) -> Self:
        if self.types and not self.default_routes:
            message = "types means nothing without the default routes: remove it, or name the types in inbound"
            raise ValueError(message)
        return self

    def endpoint(self) -> Endpoint:
        """The address with its credentials.

        Raises:
            ValueError: there is no URL.
        """
        if self.url is None:
            message = "no url is set"
            raise ValueError(message)
        found = _endpoint(self.url, self.schemes)
        username = self.username or found.username
        password = self.password.get_secret_value() or found.password
        return Endpoint(found.host, found.port, found.tls, found.path, username, password)

    def with_url(self, url: str) -> Self:
        """The same settings for a broker at `url`, such as the embedded one."""
        return type(self).model_validate(dict(self) | {"url": url})

    def ssl_context(self) -> ssl.SSLContext:
        """TLS settings that verify the broker and its name."""
        return ssl.create_default_context(cafile=self.ca_file or None)


def _endpoint(url: str, schemes: Mapping[str, Scheme]) -> Endpoint:
    wanted = " or ".join(f"{name}://" for name in schemes)
    message = f"must start with {wanted} and name a host, such as {next(iter(schemes))}://host:port"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(message) from None
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(message)
    scheme = schemes[parts.scheme]
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Endpoint(parts.hostname, port or scheme.port, scheme.tls, unquote(parts.path[1:]), username, password)
