"""How long to wait between attempts that fail one after the other."""

import random
from dataclasses import dataclass

_DOUBLINGS = 16


@dataclass(slots=True)
class Backoff:
    """Delays that double, with jitter, so that those who fail together do not try again together.

    Attributes:
        first_s: Longest delay after the first failure.
        longest_s: Longest delay of all.
        failures: So many since it last went well.
    """

    first_s: float
    longest_s: float
    failures: int = 0

    def failed(self) -> float:
        """Note a failure; how many seconds to wait before the next attempt."""
        delay_s = min(self.first_s * 2.0 ** min(self.failures, _DOUBLINGS), self.longest_s)
        self.failures += 1
        return delay_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret

    def over(self) -> int:
        """It went well; how many failures there were before."""
        failures, self.failures = self.failures, 0
        return failures
