"""AMQP as the bridge sees it."""

from connectors.amqp.inlet import AmqpInlet
from connectors.amqp.outlet import AmqpOutlet
from connectors.amqp.settings import AmqpSettings
from connectors.connector import Connector
from connectors.outbound import outbound_routes
from connectors.patterns import AMQP
from connectors.routes import Routes
from schemas.clock import Clock


def connector(settings: AmqpSettings, clock: Clock) -> Connector:
    """The broker that `settings`, which must have a `url`, describe."""
    inbound = Routes(settings.inbound, AMQP, default_routes=settings.default_routes, types=settings.types)
    bindings = inbound.subscriptions()
    left = inbound.left_behind()
    return Connector(
        name="amqp",
        inlet=lambda: AmqpInlet(settings, bindings, clock, left),
        outlet=lambda: AmqpOutlet(settings),
        inbound=inbound,
        outbound=outbound_routes(settings.outbound, AMQP, default_routes=settings.default_routes),
        max_in_flight=settings.prefetch,
    )
