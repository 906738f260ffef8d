"""What simulated devices with a shaft have in common: a drive that obeys the command `speed`."""

import math
from typing import Any


class Driven:
    """A device whose drive goes to a commanded speed at a limited rate.

    Attributes:
        speed_rpm: Of the shaft.
        wanted_rpm: Speed that the drive goes to.
    """

    speed_rpm: float
    wanted_rpm: float

    def obey(self, name: str, value: Any) -> bool:  # noqa: ANN401 - JSON is what it is
        """Take a command for the speed."""
        if name != "speed" or isinstance(value, bool) or not isinstance(value, int | float):
            return False
        self.wanted_rpm = float(value)
        return True

    def turn(self, most_rpm: float) -> None:
        """Come nearer to the wanted speed by at most so much."""
        change = self.wanted_rpm - self.speed_rpm
        self.speed_rpm += math.copysign(min(abs(change), most_rpm), change)
