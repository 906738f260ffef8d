"""The vibrating machine: its recording, its spectrum step as the plain function that it is, and machines that obey."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from reference.plain_twin import PlainTwin, load
from scipy import signal
from support.played import Played, columns, played

from twins.check import check_folder
from twins.functions.testing import load_step

FOLDER = Path(__file__).parent
FILE = FOLDER / "vibration.csv"
RATE_HZ, WINDOW, HOP = 50.0, 256, 50
SHAFT_HZ, BEARING_HZ = 5.0, 16.0


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def recorded(cache: Path) -> Played:
    return played(FOLDER, FILE, cache)


def test_the_folder_has_no_faults(cache: Path) -> None:
    assert check_folder(FOLDER, cache) == []


def test_the_recording_is_what_its_script_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, FOLDER / "make_data.py", tmp_path / "again.csv"], check=True, timeout=60)
    assert (tmp_path / "again.csv").read_bytes() == FILE.read_bytes()


def test_3000_samples_are_60_stored_lines(recorded: Played) -> None:
    assert recorded.trial.accepted == 3000
    assert len(recorded.series("rms")[0]) == 60


def test_spectra_are_those_of_scipy(recorded: Played) -> None:
    samples = columns(FILE)["acceleration"]
    compared = 0
    for second in range(10, 60):
        # The last spectrum up to the stored record, which is the first one of its second.
        last = second * HOP
        window = samples[last - WINDOW : last]
        frequencies, amplitudes = signal.periodogram(window, RATE_HZ, "hann", scaling="spectrum")
        peak = np.argmax(amplitudes)
        assert recorded.at("rms", second) == pytest.approx(np.std(window), rel=1e-9)
        assert recorded.at("peak_frequency", second) == pytest.approx(frequencies[peak], rel=1e-12)
        assert recorded.at("peak_amplitude", second) == pytest.approx(math.sqrt(2.0 * amplitudes[peak]), rel=1e-9)
        frequencies, density = signal.periodogram(window, RATE_HZ, "hann", scaling="density")
        for name, centre in (("shaft_rms", SHAFT_HZ), ("bearing_rms", BEARING_HZ)):
            band = np.abs(frequencies - centre) <= 2.5 * RATE_HZ / WINDOW
            assert recorded.at(name, second) == pytest.approx(
                math.sqrt(density[band].sum() * RATE_HZ / WINDOW), rel=1e-9
            )
            compared += 1
    assert compared == 100


def test_the_fault_is_told_once_within_15_s_of_the_first_damage(recorded: Played) -> None:
    assert recorded.trial.events["bearing_fault"] == 1
    times, condition = recorded.series("condition")
    assert 33 < times[np.argmax(condition == 2)] < 45
    assert condition[-1] == 2


@pytest.mark.parametrize(("frequency", "amplitude"), [(5.0, 1.0), (11.1328125, 0.3), (20.0, 2.5)])
def test_a_tone_is_found_with_its_amplitude_and_effective_value(frequency: float, amplitude: float) -> None:
    analyse, state = load_step(FOLDER, "spectrum")
    for index in range(300):
        found = analyse(state, 3.0 + amplitude * math.sin(2 * math.pi * frequency * index / RATE_HZ), 300.0, 3.2)
    rms, peak_hz, peak, _, _, spectra = found
    assert spectra == 1
    assert rms == pytest.approx(amplitude / math.sqrt(2), rel=0.01)
    assert abs(peak_hz - frequency) <= RATE_HZ / WINDOW / 2
    assert peak == pytest.approx(amplitude, rel=0.16)  # the most that a Hann window loses between two bins


def test_there_is_no_spectrum_before_the_window_is_full() -> None:
    analyse, state = load_step(FOLDER, "spectrum")
    found = [analyse(state, 1.0, 300.0, 3.2)[5] for _ in range(400)]
    assert (found.index(1), found.index(2), found.index(3)) == (299, 349, 399)


def test_a_machine_with_a_damaged_bearing_is_slowed_down_and_its_neighbour_is_not() -> None:
    machine_of = load(FOLDER, "plant.py:Machine")
    for damaged_s, last_rpm in ((20.0, 180.0), (math.inf, 300.0)):
        machine, twin = machine_of(1_700_000_000 * 10**9, 3, "boot", damaged_s), PlainTwin(FOLDER)
        for _ in range(60 * 50):
            outputs = twin.step(machine.cycle())
            assert machine.obey("speed", outputs["speed_wanted"])
        assert machine.speed_rpm == pytest.approx(last_rpm)
        assert outputs["faulty"] == (damaged_s < math.inf)
    assert not machine.obey("brake", value=True)
