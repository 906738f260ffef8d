"""Section `amqp` of the configuration."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.broker_settings import BrokerSettings, Scheme
from connectors.inbound import AmqpInbound
from connectors.outbound import AmqpOutbound
from connectors.patterns import DEVICES_EXCHANGE, EXCHANGE

DEFAULT_EXCHANGE = ""
"""The broker's own exchange, which nobody declares."""


class Exchange(BaseModel):
    """How an exchange is declared; it must agree with how others declare it.

    Attributes:
        passive: Only check that it is there, and wait until it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["topic", "direct", "fanout", "headers"] = "topic"
    durable: bool = True
    auto_delete: bool = False
    passive: bool = False


class AmqpSettings(BrokerSettings):
    """How to reach the AMQP broker, and the routes beside the default ones.

    Without `url` there is no AMQP bridge. The URL's path names the virtual host.

    Attributes:
        queue: Name of our durable queue; of two bridges that share it one is a stand-by.
        queue_type: `quorum` survives the loss of a node of a RabbitMQ cluster.
        prefetch: Most messages that wait for Kafka at a time.
        heartbeat_s: Silence after which either side calls the connection dead, times two.
        exchanges: How to declare exchanges that routes name, by name; our own is declared in any case.
    """

    schemes: ClassVar[dict[str, Scheme]] = {"amqp": Scheme(5672, tls=False), "amqps": Scheme(5671, tls=True)}

    queue: Annotated[str, Field(min_length=1, max_length=127)] = "twinstream-bridge"
    queue_type: Literal["classic", "quorum"] = "classic"
    prefetch: Annotated[int, Field(ge=1, le=65_535)] = 1000
    heartbeat_s: Annotated[int, Field(ge=1, le=3600)] = 30
    exchanges: dict[str, Exchange] = Field(default_factory=dict)
    inbound: tuple[AmqpInbound, ...] = ()
    outbound: tuple[AmqpOutbound, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        own = (EXCHANGE, DEVICES_EXCHANGE)
        known = {*self.exchanges, *own}
        faults = []
        for where, named, allowed in (
            ("inbound", [route.exchange for route in self.inbound], known),
            ("outbound", [route.exchange for route in self.outbound], known | {DEFAULT_EXCHANGE}),
        ):
            faults += [
                f"{where}.{index}.exchange: {exchange!r} is not described under exchanges"
                for index, exchange in enumerate(named)
                if exchange not in allowed
            ]
        faults += [
            f"exchanges.{name}: our own exchange is always durable and of type topic; remove it"
            for name in own
            if name in self.exchanges
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def declared(self) -> dict[str, Exchange]:
        """Every exchange to declare, ours included."""
        return {EXCHANGE: Exchange(), DEVICES_EXCHANGE: Exchange(), **self.exchanges}
