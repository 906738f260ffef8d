"""What the bridge gets from a technology's folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from connectors.outbound import OutboundRoute
from connectors.ports import Inlet, Outlet
from connectors.routes import Routes


@dataclass(frozen=True, slots=True)
class Connector:
    """One message broker, ready to be bridged; making it connects to nothing.

    Attributes:
        name: The technology, as in `bridge NAME` and in log lines.
        inlet: Makes a new receiving connection.
        outlet: Makes a new publishing connection.
        inbound: What its addresses mean.
        outbound: Where commands and events go.
        max_in_flight: Most deliveries that wait for Kafka at a time.
    """

    name: str
    inlet: Callable[[], Inlet]
    outlet: Callable[[], Outlet]
    inbound: Routes
    outbound: Sequence[OutboundRoute]
    max_in_flight: int
