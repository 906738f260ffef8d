"""A scenario as a test."""

import os
import random
from pathlib import Path

from faults.catalogue import name_of
from faults.run import Run, Scenario
from servers.availability import unavailable

from infra.embedded.cache import cache_dir
from schemas.errors import SetupError

SEED_VARIABLE = "TWINSTREAM_FAULTS_SEED"


async def assert_holds(scenario: Scenario, folder: Path) -> None:
    """Play a scenario with a seed of its own, which is printed; the variable `TWINSTREAM_FAULTS_SEED` names another."""
    seed = int(os.environ.get(SEED_VARIABLE) or random.randrange(10**6))
    run = Run(seed, folder, cache_dir() / "kernels")
    run.cache.mkdir(parents=True, exist_ok=True)
    run.say(f"seed {seed}: {scenario}")
    async with run:
        try:
            await scenario.play(run)
        except SetupError as error:
            unavailable(name_of(scenario), str(error))
    assert not run.broken(), f"scripts/faults --short --seed {seed} --only {name_of(scenario)}"
