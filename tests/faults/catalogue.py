"""Every scenario, in its long form with the figures that are promised, and in a short one for every day."""

from faults.run import Scenario
from faults.scenarios.worker_bounces import WorkerBounces

LONG: tuple[Scenario, ...] = (WorkerBounces(),)

SHORT_ENGINE: tuple[Scenario, ...] = (WorkerBounces(records=6000, rounds=2, broker_rounds=1),)

SHORT = SHORT_ENGINE


def name_of(scenario: Scenario) -> str:
    """`WorkerBounces` is called `worker-bounces`."""
    name = type(scenario).__name__
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")


def claim_of(scenario: Scenario) -> str:
    """What it claims, one sentence."""
    return (type(scenario).__doc__ or "").strip().partition("\n")[0]
