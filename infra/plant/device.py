"""What the loop and the connection ask of a simulated device."""

from collections.abc import Mapping
from typing import Any, Protocol


class Device(Protocol):
    """One simulated device."""

    def cycle(self) -> Mapping[str, Any]:
        """Read the sensors, then go on for one cycle.

        Returns:
            Telemetry with `time` in UTC nanoseconds.
        """
        ...

    def obey(self, name: str, value: Any) -> bool:  # noqa: ANN401 - JSON is what it is
        """Take a command; called by another thread than `cycle`.

        Returns:
            Whether it is one that this device knows; only such are acknowledged.
        """
        ...
