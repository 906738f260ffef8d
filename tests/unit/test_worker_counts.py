"""What a type's worker counts."""

from typing import Any
from unittest.mock import MagicMock

from prometheus_client import CollectorRegistry

from infra.roles.worker_observer import WorkerObserver


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


def test_a_partition_that_stands_still_is_counted_and_shown_until_it_goes_on() -> None:
    registry = CollectorRegistry()
    elsewhere: Any = MagicMock()
    presence: Any = MagicMock()
    observer = WorkerObserver(registry, "box", presence, elsewhere, elsewhere)

    def shown() -> tuple[float | None, str]:
        standing = registry.get_sample_value("twinstream_partitions_standing", {"type": "box"})
        return standing, presence.change.call_args.kwargs["detail"]

    observer.owned(frozenset({0, 2}))
    observer.standing(2, "no space left")
    observer.standing(0, "no memory")
    observer.loading("")
    assert shown() == (2, "partition 0 stands still and tries again: no memory (and 1 more); partitions 0,2")
    observer.standing(0, "")
    observer.standing(2, "")
    assert shown() == (0, "partitions 0,2")
    observer.standing(2, "no memory")
    observer.given_up()
    observer.owned(frozenset({0}))
    assert shown() == (0, "partitions 0")


def test_restores_and_what_is_kept_warm_are_counted_and_shown() -> None:
    registry = CollectorRegistry()
    elsewhere: Any = MagicMock()
    presence: Any = MagicMock()
    observer = WorkerObserver(registry, "box", presence, elsewhere, elsewhere)

    def figure(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"twinstream_{name}", {"type": "box", **labels})

    def detail() -> str:
        shown: str = presence.change.call_args.kwargs["detail"]
        return shown

    observer.restoring(0, 25, 100)
    observer.restoring(1, 25, 100)
    assert detail() == "restoring 1 partitions, 25 %; joining"
    assert (figure("restore_offsets", state="done"), figure("restore_offsets", state="total")) == (50, 200)
    observer.restored(0, 80, 0.1, warm=False)
    observer.restored(1, 90, 0.1, warm=True)
    assert (figure("restore_offsets", state="done"), figure("restored_rows_total")) == (0, 170)
    assert (figure("restores_total", rows="cold"), figure("restores_total", rows="warm")) == (1, 1)
    observer.owned(frozenset({0, 1}))
    observer.warm({2: 40, 3: None}, 5000)
    assert detail() == "partitions 0,1; keeps 2 warm, and soon 3"
    figures = [figure(f"standby_{name}") for name in ("partitions", "warm", "lag_offsets", "bytes")]
    assert figures == [2, 1, 40, 5000]
    observer.warm({2: 0, 3: 7}, 5000)
    assert detail() == "partitions 0,1; keeps 2,3 warm"
    observer.warm({}, 0)
    assert (detail(), figure("standby_partitions")) == ("partitions 0,1", 0)


def test_a_restore_that_is_cut_short_or_fails_is_shown_no_longer() -> None:
    registry = CollectorRegistry()
    elsewhere: Any = MagicMock()
    observer = WorkerObserver(registry, "box", elsewhere, elsewhere, elsewhere)

    def to_read() -> float | None:
        return registry.get_sample_value("twinstream_restore_offsets", {"type": "box", "state": "total"})

    observer.restoring(0, 25, 100)
    observer.restoring(1, 25, 100)
    observer.failed(0, "open")
    assert to_read() == 100
    observer.given_up()
    assert to_read() == 0
