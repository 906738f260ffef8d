"""The settings of an instance: every key that a configuration file or the environment may give."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from connectors.amqp.settings import AmqpSettings
from connectors.mqtt.settings import MqttSettings
from connectors.settings import MetadataSettings, TimeseriesSettings
from infra.access.grants import Scope
from infra.access.loopback import is_loopback
from infra.access.origin import Origin
from streams.log.client import KafkaOptions

ENV_PREFIX = "TWINSTREAM_"
ENV_DELIMITER = "__"

Port = Annotated[int, Field(ge=0, le=65535)]
PositiveSeconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """Base of a section: unknown keys are faults, and nothing is changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)


class KafkaSettings(Section):
    """Section `kafka`: the log. Without `bootstrap_servers` the embedded broker is started."""

    bootstrap_servers: str | None = Field(default=None, pattern=r"^[^\s,/@]+:\d+(,[^\s,/@]+:\d+)*$")
    """`host:port`, several separated by commas."""
    tls: bool = False
    """Encrypt, and verify the broker's certificate."""
    username: str = ""
    """SASL/PLAIN user name."""
    password: SecretStr = SecretStr("")
    """SASL/PLAIN password."""
    ca_file: str = ""
    """PEM file of the authority to trust instead of the system's."""
    partitions: Annotated[int, Field(ge=1, le=1000)] = 8
    """Partitions of every topic; fixed once the topics exist."""
    replication: Annotated[int, Field(ge=1, le=10)] = 1
    """Replicas of every topic."""
    retention_ms: Annotated[int, Field(ge=-1)] | None = None
    """Age in ms at which records of topics that are not compacted go; absent or -1: never."""

    @property
    def embedded(self) -> bool:
        """Whether the broker that comes with us is used."""
        return self.bootstrap_servers is None

    def options(self) -> KafkaOptions:
        """How clients reach the log; without an address, where the embedded broker listens by default."""
        return KafkaOptions(
            bootstrap_servers=self.bootstrap_servers or f"127.0.0.1:{EmbeddedSettings().kafka_port}",
            tls=self.tls,
            username=self.username,
            password=self.password.get_secret_value(),
            ca_file=self.ca_file,
        )


class HttpSettings(Section):
    """Section `http`: the API."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 8080
    """Port to listen on; 0 takes any free one."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names that a request's Host and Origin may carry, besides loopback, `host` and that of `public_url`."""
    public_url: str | None = None
    """Where browsers and programs reach the API through an HTTPS proxy, such as `https://twins.example.org`."""
    requests_per_s: PositiveSeconds = 500.0
    """Requests per second that one caller may send over time; as many again, ten times, may come at once."""

    @field_validator("public_url")
    @classmethod
    def _names_an_origin(cls, value: str | None) -> str | None:
        return None if value is None else str(Origin.of_url(value))

    @property
    def public_origin(self) -> Origin | None:
        """What `public_url` names, None without one."""
        return None if self.public_url is None else Origin.of_url(self.public_url)

    @property
    def url(self) -> str:
        """Where clients on this machine reach the API."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"http://{host}:{self.port}"


class AuthSettings(Section):
    """Section `auth`: who may call the API."""

    required: bool = False
    """Whether every call must show a token."""
    session_s: PositiveSeconds = 12 * 3600.0
    """How long a browser stays logged in, at most as long as the token is good that it logged in with."""

    issuer: str | None = Field(default=None, pattern=r"^https?://[^\s?#]+$")
    """OpenID provider whose tokens are taken, exactly as it calls itself."""
    audience: str = ""
    """Whom the provider's tokens must be for (`aud`)."""
    jwks_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """Where the provider's keys are, unless its discovery document tells."""
    ca_file: str = ""
    """PEM file of the authority to trust instead of the system's."""
    name_claim: str = "preferred_username"
    """Claim that names the caller in the audit trail; `sub` where there is none."""
    scopes_claim: str = "scope"
    """Claim with scopes or roles; dots lead into claims of claims."""
    roles: dict[str, tuple[Scope, ...]] = {}
    """Scopes of each word in that claim, besides `twinstream:read` and so on, which stand for themselves."""
    types_claim: str = "twinstream_types"
    """Claim with the types that a caller is limited to."""
    twins_claim: str = "twinstream_twins"
    """Claim with the twins that a caller is limited to, `{type}/{id}`."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.issuer is not None and not self.audience:
            message = "auth.audience is missing: a token that is for somebody else must not be taken with auth.issuer"
            raise ValueError(message)
        for name, url in (("issuer", self.issuer or ""), ("jwks_url", self.jwks_url)):
            host = urlsplit(url).hostname or ""
            if url.startswith("http://") and not is_loopback(host):
                message = f"auth.{name} must be https://: whoever is on the way could sign tokens otherwise"
                raise ValueError(message)
        return self

    @property
    def is_required(self) -> bool:
        """Whether callers have to show who they are."""
        return self.required or self.issuer is not None


class MetricsSettings(Section):
    """Section `metrics`: `/metrics` and `/healthz` of a role."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 0
    """Port to listen on; 0 takes any free one. Roles under `up` take a free one whatever stands here."""


class LogSettings(Section):
    """Section `logs`: what roles say about themselves."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is written."""
    to_kafka: bool = True
    """Whether log lines also go to the topic `twinstream.logs`."""


class EngineSettings(Section):
    """Section `engine`: how workers step twins."""

    flush_interval_s: Annotated[float, Field(ge=0.01)] = 0.15
    """So often partitions with something to write are flushed, in one go; blocks with commands or events at once, at
    most every 0.1 s."""
    group_interval_s: Annotated[float, Field(ge=0)] = 0.5
    """So often at most the consumer group of a type is told where its workers stand, which lag tools read."""
    session_timeout_s: Annotated[float, Field(ge=1.0)] = 8.0
    """A worker that was not heard of for this long loses its partitions."""
    standby_replicas: Annotated[int, Field(ge=0, le=10)] = 1
    """So many other workers of a type keep the rows of each partition warm, to go on with it at once."""
    step_timeout_s: PositiveSeconds = 60.0
    """A worker that steps one block for longer is killed, which counts as a death at its first record."""
    stall_timeout_s: Annotated[float, Field(ge=1.0)] = 60.0
    """A worker one of whose partitions stands still for this long while its input grows is started anew."""
    max_block_bytes: Annotated[int, Field(ge=64 * 1024)] = 1024 * 1024
    """Most bytes that are fetched from a partition at once."""


class EmbeddedSettings(Section):
    """Section `embedded`: ports of the servers that `up` and `demo` start themselves."""

    kafka_port: Port = 9092
    """Port of the embedded Kafka; 0 takes any free one."""
    mqtt_port: Port = 1883
    """Port of the embedded MQTT broker; 0 takes any free one."""
    documents_port: Port = 0
    """Port of the embedded document server; 0 takes any free one."""


class Settings(BaseSettings):
    """All settings; `infra.settings_file.load` reads them from a file and the environment.

    A section that is absent gets the embedded default; without `amqp.url` the AMQP bridge is off.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
        env_ignore_empty=True,
        case_sensitive=False,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    data_dir: Path = Path(".twinstream")
    """Folder of everything that is kept: log, state, time series, documents, run and log files."""
    kafka: KafkaSettings = KafkaSettings()
    mqtt: MqttSettings = MqttSettings()
    amqp: AmqpSettings = AmqpSettings()
    timeseries: TimeseriesSettings = TimeseriesSettings()
    metadata: MetadataSettings = MetadataSettings()
    http: HttpSettings = HttpSettings()
    auth: AuthSettings = AuthSettings()
    metrics: MetricsSettings = MetricsSettings()
    logs: LogSettings = LogSettings()
    engine: EngineSettings = EngineSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the interface of pydantic-settings
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what is passed: `load` merges the sources itself, to name the source of each fault."""
        return (init_settings,)
