"""Sinks under faults, in the short form; `scripts/faults` plays the long one."""

from pathlib import Path

import pytest
from faults.catalogue import SHORT_STORES, name_of
from faults.playing import assert_holds
from faults.run import Scenario

pytestmark = [pytest.mark.kafka, pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.parametrize("scenario", SHORT_STORES, ids=name_of)
async def test_all_promises_are_held(scenario: Scenario, tmp_path: Path) -> None:
    await assert_holds(scenario, tmp_path)
