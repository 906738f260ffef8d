"""Shapes of bodies and answers, for OpenAPI and for reading bodies."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from infra.access.grants import Scope
from schemas.reasons import Reason

TypeLabel = Annotated[str, Field(description="Qualified type name.", examples=["incubator"])]
TwinLabel = Annotated[str, Field(description="Twin id.", examples=["incubator-1"])]
TimeNs = Annotated[int, Field(description="UTC, nanoseconds since the Unix epoch.", examples=[1700000000000000000])]
Next = Annotated[str | None, Field(description="Pass it as `after` for the next page; null on the last one.")]
Scalar = bool | int | float | str

_TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}
_SCALARS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": ["boolean", "number", "string"]}}


class Model(BaseModel):
    """Base: unknown keys are faults."""

    model_config = ConfigDict(extra="forbid")


class Health(Model):
    """The process is alive."""

    status: Literal["ok"] = "ok"


class Ready(Model):
    """Everything is up."""

    status: Literal["ready"] = "ready"


class KafkaAddress(Model):
    """Where the log is and how its topics are made."""

    bootstrap_servers: str = Field(default="", description="`host:port`, several by commas; empty: not known.")
    tls: bool = False
    partitions: int = Field(default=8, description="Of every topic.")
    replication: int = Field(default=1, description="Replicas of every topic.")
    retention_ms: int | None = Field(default=None, description="Of topics that are not compacted; null: for ever.")


class Instance(Model):
    """What clients that read or write the log need to know."""

    version: str
    kafka: KafkaAddress


class RoleItem(Model):
    """One role."""

    name: str
    pid: int | None = Field(description="Of the process that does the work.")
    up: bool = Field(description="Whether that process runs and answers.")
    ready: bool
    lag: int | None = Field(description="Records that it has yet to read; null when it reads none.")
    restarts: int
    started_ns: TimeNs | None
    port: int | None = Field(description="Of its `/metrics`.")
    detail: str = Field(description="What it waits for, or why it is down.")


class Status(Model):
    """Every role of the API's data directory."""

    items: list[RoleItem]
    next: Next
    data_dir: str
    running: bool
    ready: bool = Field(description="Whether every role is.")
    url: str = Field(description="Of the API.")


class TypeSummary(Model):
    """A deployed twin type."""

    type: TypeLabel
    project: str
    name: str = Field(description="Name without its project.")
    version: str
    description: str
    hash: str = Field(description="Content hash of the bundle that is in force.")
    deployed_ns: TimeNs
    twins: int = Field(description="How many twins there are.")


class TypeDetail(TypeSummary):
    """A deployed twin type with everything that it declares."""

    definition: dict[str, Any] = Field(description="The definition, defaults filled in.")


class TypeList(Model):
    """Deployed types by name."""

    items: list[TypeSummary]
    next: Next


class DeploymentItem(Model):
    """A switch of a type to a version."""

    type: TypeLabel
    version: str
    hash: str = Field(description="Content hash of the bundle.")
    time_ns: TimeNs
    who: str = Field(description="Who deployed it or went back to it.")
    start: dict[str, int] = Field(
        alias="from",
        description="Offset of the switch by partition of the type's input: what comes after it is under this version.",
        examples=[{"0": 1042, "1": 998}],
    )


class UndeployedItem(Model):
    """A type that was taken out of force."""

    type: TypeLabel
    version: str = Field(description="That was in force until then.")
    hash: str = Field(description="Content hash of the bundle.")
    time_ns: TimeNs
    who: str = Field(description="Who took it out of force.")


class DeploymentList(Model):
    """Switches, oldest first."""

    items: list[DeploymentItem]
    next: Next
    undeployed: list[UndeployedItem] = Field(description="What was taken out of force, oldest first.")


class Twin(Model):
    """The live state of one twin."""

    type: TypeLabel
    id: TwinLabel
    version: str = Field(description="Version of the type's definition.")
    revision: int = Field(description="Changes of the twin so far.")
    event_time_ns: TimeNs
    inputs: dict[str, Scalar | None] = Field(description="Values of the latest accepted record; null before it.")
    state: dict[str, dict[str, Any]] = Field(description="What each step remembers, by step.")
    outputs: dict[str, Scalar | None] = Field(
        description="Results of the latest accepted record that was not outdated; null before it."
    )
    parameters: dict[str, Scalar]
    tags: dict[str, str]
    status: str = Field(description="`ok`, `stale`, `drifting` or `quarantined`.")


class TwinList(Model):
    """Twins by type and id."""

    items: list[Twin]
    next: Next


class TwinChange(BaseModel):
    """What to change of a twin; what is left out stays."""

    # Everything is let in: `validation.change_faults` tells all that is wrong with it at once.
    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": False})

    parameters: Any = Field(
        default_factory=dict, description="New values by name.", json_schema_extra=_SCALARS, examples=[{"noise": 0.001}]
    )
    tags: Any = Field(
        default_factory=dict, description="New tags by name.", json_schema_extra=_TEXTS, examples=[{"room": "lab-2"}]
    )


class Accepted(Model):
    """The record is in the type's input topic."""

    id: str = Field(description="Id under which the outcome is reported.")
    partition: int
    offset: int


class Series(Model):
    """Points of one field, oldest first."""

    field: str
    unit: str = Field(description="By the names of pint; empty for a pure number.", examples=["degC"])
    time_ns: list[int] = Field(description="UTC, nanoseconds since the Unix epoch.")
    value: list[float] = Field(description="As many as `time_ns`; booleans are 0.0 and 1.0.")


class SeriesBuckets(Model):
    """What one field came to in equal stretches of time; those without points are left out."""

    field: str
    unit: str = Field(description="By the names of pint; empty for a pure number.", examples=["degC"])
    width_ns: int = Field(description="Length of each stretch in nanoseconds.")
    time_ns: list[int] = Field(description="Where each begins, UTC, nanoseconds since the Unix epoch.")
    low: list[float] = Field(description="Smallest value of each, as many as `time_ns`.")
    high: list[float] = Field(description="Largest value of each.")
    mean: list[float] = Field(description="Mean of its values.")
    number: list[int] = Field(description="How many points there were.")


class CommandItem(Model):
    """A command and what became of it."""

    id: str
    type: TypeLabel
    twin: TwinLabel
    name: str
    value: Scalar
    issued_ns: TimeNs
    expires_ns: TimeNs
    cause: dict[str, Any] = Field(description="The input record that it follows from.")
    status: str = Field(description="`issued`, `sent`, `acked`, `expired`, `refused` or `failed`.")
    reason: str | None = Field(description="Why it was refused or failed, only while that is its status.")
    sent_ns: TimeNs | None = Field(description="When a bridge handed it to its broker.")
    acked_ns: TimeNs | None = Field(description="When the device's acknowledgement arrived.")
    expired_ns: TimeNs | None = Field(description="When a bridge dropped it, only while that is its status.")
    refused_ns: TimeNs | None = Field(
        description="When its limits or the broker refused it, only while that is its status."
    )
    failed_ns: TimeNs | None = Field(
        description="Event time at which its effect was missed or another took its place, only while failed."
    )
    revision: int = Field(description="Rank of the status.")


class CommandList(Model):
    """Commands of a twin, newest first."""

    items: list[CommandItem]
    next: Next


class RedrivenItem(Model):
    """That a letter was sent once more, and what became of it."""

    time_ns: TimeNs
    partition: int = Field(description="Of the type's input topic.")
    offset: int
    outcome: str = Field(
        description="`sent` until a worker took it, then `accepted`, `duplicate`, `late`, `rejected`, or the reason"
        " why it was refused again."
    )
    detail: str = Field(description="What was wrong with it then.")


class DeadLetterItem(BaseModel):
    """A record that could not be used."""

    id: str
    reason: str
    detail: str
    source: str = Field(description="`mqtt:`, `amqp:`, `http:` or `kafka:` and where in it.")
    type: str
    twin: str
    received_ns: TimeNs
    size: int = Field(description="Length of the whole payload, bytes.")
    raw_base64: str = Field(description="The payload, its first 64 kB.")
    sha256: str | None = Field(None, description="Of the whole payload, only when it was cut.")
    headers: dict[str, str] | None = Field(None, description="That say what the record was, when there were any.")
    field: str | None = Field(None, description="Input that a payload of one bare value was for.")
    redriven: RedrivenItem | None = Field(None, description="What became of it, once it was sent again.")


class DeadLetterList(Model):
    """Dead letters, newest first."""

    items: list[DeadLetterItem]
    next: Next


class AccountItem(Model):
    """Telemetry of a type from one source, since the beginning."""

    source: str = Field(description="`mqtt`, `amqp`; `kafka` of records that name none, `twin` of routed ones.")
    type: TypeLabel
    expected: int = Field(description="What devices sent, by the highest counter of each twin and boot.")
    received: int = Field(description="What came, duplicates and refused messages included.")
    duplicate: int
    late: int
    deadlettered: int
    missing: int = Field(description="What was expected and has not come.")


class AccountList(Model):
    """The loss account."""

    items: list[AccountItem]


class AccountTwin(Model):
    """What is missing of a twin."""

    type: TypeLabel
    id: TwinLabel
    source: str
    missing: int
    ranges: list[tuple[int, int]] = Field(description="First and last of each stretch, the last 20.")


class AccountTwins(Model):
    """Twins of which something is missing."""

    items: list[AccountTwin]


class DeadLetterNumber(Model):
    """How many dead letters there are."""

    number: int


class LetterSelection(Model):
    """Which dead letters are meant; what is left out means all."""

    type: str = Field("", description="Only of this type.", examples=["incubator"])
    reason: Reason | None = Field(None, description="Only with this reason.")
    ids: list[Annotated[str, Field(min_length=4, max_length=32)]] = Field(
        [], max_length=100, description="Only these: ids, or beginnings of them."
    )
    since: str | None = Field(None, description="Earliest arrival: nanoseconds since the Unix epoch, or RFC 3339.")
    until: str | None = Field(None, description="Latest arrival, likewise.")
    limit: int = Field(1000, ge=1, le=10_000, description="Look at so many at most.")


class LettersToRedrive(LetterSelection):
    """Which dead letters to send once more."""

    refused_again: bool = Field(default=False, description="Also those that were sent before, and refused again.")
    after: str = Field("", description="`next` of the answer before.")


class SentLetter(Model):
    """A letter that was sent again."""

    id: str
    type: TypeLabel
    twin: TwinLabel
    partition: int = Field(description="Of the type's input topic.")
    offset: int


class UnableLetter(Model):
    """A letter that can't be sent again."""

    id: str
    type: str
    twin: str
    why: str


class RedrivenLetters(Model):
    """What was sent, and what could not be."""

    items: list[SentLetter]
    unable: list[UnableLetter]
    refused_again: int = Field(description="Others that were sent before and refused again, unless those were wanted.")
    next: Next


class PurgedLetters(Model):
    """Ids of the letters that were removed; none when none is left."""

    items: list[str]


class NewToken(Model):
    """A token to be made."""

    name: str = Field(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@-]*$",
        description="Whose it is, for the audit trail.",
        examples=["dashboard"],
    )
    scopes: list[Scope] = Field(min_length=1, max_length=4, description="What it permits.", examples=[["read"]])
    types: list[str] = Field([], max_length=100, description="Only twins of these types.", examples=[["incubator"]])
    twins: list[str] = Field(
        [], max_length=1000, description="Only these twins, `{type}/{id}`.", examples=[["incubator/incubator-1"]]
    )
    expires: str | None = Field(
        None,
        description="From when on it is good no longer: nanoseconds since the Unix epoch, or RFC 3339.",
        examples=["2036-01-01T00:00:00Z"],
    )


class TokenItem(Model):
    """A token without its secret."""

    id: str = Field(examples=["0f3c5a1b2c3d4e5f"])
    name: str
    scopes: list[Scope]
    types: list[str]
    twins: list[str]
    created_ns: TimeNs
    created_by: str
    expires_ns: TimeNs | None
    revoked_ns: TimeNs | None
    good: bool = Field(description="Neither revoked nor expired.")


class TokenCreated(TokenItem):
    """A new token."""

    token: str = Field(description="The token itself; nobody can show it again.")


class TokenList(Model):
    """Tokens, oldest first."""

    items: list[TokenItem]
    next: Next


class Login(Model):
    """What one shows to log in."""

    token: str = Field(min_length=1, max_length=8192, description="An API token, or one of the OpenID provider.")


class WhoAmI(Model):
    """A caller and what is permitted to it."""

    name: str = Field(description="Empty where nobody has to show anything.")
    via: Literal["nothing", "local", "token", "oidc"]
    scopes: list[Scope]
    types: list[str] = Field(description="Limited to these types; empty, as `twins`: not limited.")
    twins: list[str] = Field(description="Limited to these twins, `{type}/{id}`.")
    expires_ns: TimeNs | None


class AuditItem(Model):
    """A change, or one that was tried."""

    id: str
    time_ns: TimeNs
    who: str = Field(description="Name of the caller; empty where nobody has to show anything.")
    via: Literal["nothing", "local", "token", "oidc", "kafka"]
    credential: str = Field(description="Id of the token, or issuer and subject.")
    address: str
    action: str = Field(description="Method and route, or what was done.", examples=["PUT /api/twins/{type}/{id}"])
    path: str
    type: str
    twin: str
    content: str = Field(description="What was sent, its first 4 KiB; never a secret.")
    result: Literal["done", "refused", "failed"]
    status: int = Field(description="HTTP status of the answer.")


class AuditList(Model):
    """Changes, newest first."""

    items: list[AuditItem]
    next: Next
