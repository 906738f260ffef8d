"""Simulated time outlives the plant."""

from pathlib import Path

from infra.plant.clock_file import ClockFile


def test_a_restarted_plant_goes_on_where_simulated_time_got_to(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    ahead_ns = 20_000_000_000
    clock = ClockFile(file, ahead_ns)
    assert clock.start_ns(1000) == 1000
    clock.reach(5000)
    killed = ClockFile(file, ahead_ns).start_ns(1000)
    assert killed == 5000 + ahead_ns
    clock.reach(6000, last=True)
    assert ClockFile(file, ahead_ns).start_ns(1000) == 6000
    assert ClockFile(file, ahead_ns).start_ns(9000) == 9000
    assert ClockFile(None, ahead_ns).start_ns(9000) == 9000
