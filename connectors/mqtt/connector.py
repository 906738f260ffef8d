"""MQTT as the bridge sees it."""

from connectors.connector import Connector
from connectors.mqtt.inlet import KnownSession, MqttInlet
from connectors.mqtt.outlet import MqttOutlet
from connectors.mqtt.settings import MqttSettings
from connectors.outbound import outbound_routes
from connectors.patterns import MQTT
from connectors.routes import Routes
from schemas.clock import Clock


def connector(settings: MqttSettings, clock: Clock) -> Connector:
    """The broker that `settings`, which must have a `url`, describe."""
    inbound = Routes(settings.inbound, MQTT, default_routes=settings.default_routes, types=settings.types)
    filters = [text for _, text in inbound.subscriptions()]
    left = [*settings.unsubscribe, *(text for _, text in inbound.left_behind())]
    session = KnownSession()
    return Connector(
        name="mqtt",
        inlet=lambda: MqttInlet(settings, filters, clock, left, session),
        outlet=lambda: MqttOutlet(settings),
        inbound=inbound,
        outbound=outbound_routes(settings.outbound, MQTT, default_routes=settings.default_routes),
        max_in_flight=settings.receive_maximum,
    )
