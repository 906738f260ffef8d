"""The harness itself: it sees what it is there to see."""

from pathlib import Path

import pytest
from faults.__main__ import changed
from faults.catalogue import LONG, SHORT, claim_of, name_of
from faults.comparison import _tallies
from faults.numbered import Numbered
from faults.run import Run
from faults.scenarios.broken_wires import BrokenWires
from faults.scenarios.clean_stops import CleanStops
from faults.scenarios.worker_bounces import WorkerBounces

MISSING, WRONG, TWICE = (
    "counts, sums, minima and maxima that are missing",
    "counts, sums, minima and maxima that are wrong",
    "records that acted twice",
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(7, tmp_path, tmp_path)


@pytest.fixture
def load() -> Numbered:
    made = Numbered(seed=3, twins=4)
    for _ in range(50):
        made.next()
    return made


def _lines(load: Numbered) -> list[bytes]:
    return [
        f"tally,twin={twin} count={count},total={total},low={low},high={high} 1".encode()
        for twin, (count, total, low, high) in load.tallies()
    ]


def _broken(run: Run) -> dict[str, float]:
    return {figure.what: figure.value for figure in run.broken()}


def test_outputs_of_every_record_once_are_what_is_promised(run: Run, load: Numbered) -> None:
    _tallies(run, _lines(load), load)
    assert len(run.figures) == 3
    assert not run.broken()


def test_an_output_that_is_missing_is_seen(run: Run, load: Numbered) -> None:
    _tallies(run, _lines(load)[1:], load)
    assert _broken(run) == {MISSING: 1}


def test_an_output_that_is_there_twice_is_seen(run: Run, load: Numbered) -> None:
    _tallies(run, [*_lines(load), _lines(load)[-1]], load)
    assert _broken(run) == {TWICE: 1}


def test_a_sum_that_counted_a_record_twice_is_seen(run: Run, load: Numbered) -> None:
    wrong = b"tally,twin=tally-0 count=1.0,total=2000.0,low=1000.0,high=1000.0 1"
    _tallies(run, [wrong, *_lines(load)[1:]], load)
    assert _broken(run) == {MISSING: 1, WRONG: 1}


def test_a_seed_draws_the_same_schedule_and_the_same_records_again() -> None:
    drawn = [WorkerBounces().schedule(Run(seed, Path(), Path()).rng) for seed in (5, 5, 6)]
    assert drawn[0] == drawn[1] != drawn[2]
    first, second = Numbered(9, 3), Numbered(9, 3)
    assert [first.next()[0] for _ in range(20)] == [second.next()[0] for _ in range(20)]


def test_times_are_judged_as_promised_in_the_long_form_and_generously_in_the_short_one(tmp_path: Path) -> None:
    for strict, broken in ((True, 1), (False, 0)):
        judged = Run(1, tmp_path, tmp_path, strict=strict)
        judged.at_most("back after", 10, 12, "s")
        assert len(judged.broken()) == broken


def test_numbers_of_scenarios_can_be_changed_for_all_and_for_one_by_name() -> None:
    wires, stops = changed(BrokenWires(), ["rounds=3", "hurt_s=7"]), changed(CleanStops(), ["broken-wires.rounds=3"])
    assert (wires, stops) == (BrokenWires(rounds=3, hurt_s=7.0), CleanStops())
    for wrong in ("rounds=many", "broken-wires.twins=3"):
        with pytest.raises(ValueError, match=r"many|no 'twins'"):
            changed(BrokenWires(), [wrong])


def test_every_scenario_has_a_short_form_and_says_what_it_claims() -> None:
    assert {name_of(one) for one in LONG} == {name_of(one) for one in SHORT}
    assert all(claim_of(one).endswith(".") for one in LONG)
