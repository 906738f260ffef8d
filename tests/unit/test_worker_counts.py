"""What a type's worker counts."""

from typing import Any
from unittest.mock import MagicMock

from prometheus_client import CollectorRegistry

from infra.roles.type_worker import WorkerObserver


def test_records_are_counted_by_outcome_and_dead_letters_by_reason() -> None:
    registry = CollectorRegistry()
    elsewhere: Any = MagicMock()
    observer = WorkerObserver(registry, "box", elsewhere, elsewhere, elsewhere)
    observer.counted({("accepted", ""): 3, ("extra", ""): 2, ("deadletter", "late"): 1})
    observer.counted({("accepted", ""): 4, ("tick", ""): 5, ("tick_ignored", ""): 1})
    assert registry.get_sample_value("twinstream_records_total", {"type": "box", "outcome": "accepted"}) == 7
    assert registry.get_sample_value("twinstream_extra_fields_total", {"type": "box"}) == 2
    ticks = {outcome: {"type": "box", "outcome": outcome} for outcome in ("stepped", "ignored")}
    assert registry.get_sample_value("twinstream_ticks_total", ticks["stepped"]) == 5
    assert registry.get_sample_value("twinstream_ticks_total", ticks["ignored"]) == 1
    late = {"type": "box", "reason": "late"}
    assert registry.get_sample_value("twinstream_worker_deadletters_total", late) == 1
