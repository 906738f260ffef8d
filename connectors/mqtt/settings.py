"""Section `mqtt` of the configuration."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from connectors.broker_settings import BrokerSettings, Scheme
from connectors.inbound import MqttInbound, overlap_faults, own_filters
from connectors.outbound import MqttOutbound
from connectors.patterns import MQTT


class MqttSettings(BrokerSettings):
    """How to reach the MQTT broker, and the routes beside the default ones.

    Without `url` the embedded broker is used.

    Attributes:
        client_id: Stable part of the client ids: `-in` and `-out` are added. The broker keeps what was not
            acknowledged under the first one, so two bridges of one broker need different ones.
        protocol: Version of MQTT.
        receive_maximum: Most QoS 1 messages that wait for Kafka at a time; the broker is told with MQTT 5.
        session_expiry_s: How long the broker keeps messages for us while we are away (MQTT 5).
        unsubscribe: Filters that the session of `client_id` has from earlier settings and shall lose.
        keepalive_s: Silence after which either side calls the connection dead, times 1.5.
    """

    schemes: ClassVar[dict[str, Scheme]] = {"mqtt": Scheme(1883, tls=False), "mqtts": Scheme(8883, tls=True)}
    limited_queue: ClassVar[bool] = True

    client_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")] = "twinstream"
    protocol: Annotated[Literal["5", "3.1.1"], BeforeValidator(str)] = "5"
    receive_maximum: Annotated[int, Field(ge=1, le=65_535)] = 1000
    session_expiry_s: Annotated[int, Field(ge=0, le=2**32 - 2)] = 7 * 24 * 3600
    keepalive_s: Annotated[int, Field(ge=1, le=65_535)] = 30
    unsubscribe: tuple[str, ...] = ()
    inbound: tuple[MqttInbound, ...] = ()
    outbound: tuple[MqttOutbound, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        own = own_filters(MQTT, self.types) if self.default_routes else []
        if faults := overlap_faults(self.inbound, own):
            raise ValueError("; ".join(faults))
        return self
