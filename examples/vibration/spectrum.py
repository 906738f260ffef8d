"""What a machine's vibration is made of: a spectrum over a sliding window, with NumPy as it is."""

import numpy as np
from numpy.typing import NDArray

from twins.functions.built_in import State

RATE_HZ = 50.0
HOP = 50
"""Records from one spectrum to the next."""
HALF_WIDTH = 2
"""Bins on either side that belong to a line: those of the main lobe of the Hann window."""


def analyse(
    state: State, acceleration: float, speed: float, bearing_order: float
) -> tuple[float, float, float, float, float, int]:
    """Put a sample into the window, and look at its spectrum now and then.

    One-sided amplitude spectrum of the samples, less their mean, weighted by a Hann window w:

        a_k = 2 · |FFT(w · x)|_k / Σ w      the amplitude of a line at bin k
        e_k = 2 · |FFT(w · x)|²_k / (N · Σ w²)   what bin k adds to the mean square

    Source: G. Heinzel, A. Rüdiger, R. Schilling, Spectrum and spectral density estimation by the Discrete Fourier
    transform, Max-Planck-Institut für Gravitationsphysik (2002), sections 8 and 9.

    Args:
        state: Ring of the last `samples`, their `count` so far, the sum of speeds since the last spectrum, `turns`, and
            the last `results`.
        acceleration: Sample in m/s², one of 50 a second.
        speed: Of the shaft in rpm.
        bearing_order: Frequency of the bearing's outer ring by that of the shaft.

    Returns:
        Effective acceleration, frequency and amplitude of the strongest line, effective accelerations at the
        frequencies of the shaft and of the bearing's outer ring, all of the last spectrum and 0 before the first; and
        the number of spectra so far.
    """
    size = state.samples.size
    state.samples[divmod(state.count % size, state.samples.shape[1])] = acceleration
    state.count += 1
    state.turns += speed
    if state.count >= size and state.count % HOP == 0:
        # From the oldest to the newest.
        window = np.roll(state.samples.reshape(-1), -(state.count % size))
        state.results[:] = lines(window, state.turns / HOP / 60.0, bearing_order)
    if state.count % HOP == 0:
        state.turns = 0.0
    rms, frequency, amplitude, shaft, bearing = (float(value) for value in state.results)
    return rms, frequency, amplitude, shaft, bearing, max(0, state.count // HOP - size // HOP)


def lines(
    window: NDArray[np.float64], shaft_hz: float, bearing_order: float
) -> tuple[float, float, float, float, float]:
    """Results of one window.

    Args:
        window: Samples, in order, in m/s².
        shaft_hz: Turns per second.
        bearing_order: Frequency of the bearing's outer ring by that of the shaft.

    Returns:
        As those of `analyse`.
    """
    centred = window - window.mean()
    weights = np.hanning(len(window) + 1)[:-1]
    magnitudes = np.abs(np.fft.rfft(weights * centred))
    frequencies = np.fft.rfftfreq(len(window), 1.0 / RATE_HZ)
    peak = int(np.argmax(magnitudes))
    squares = 2.0 * magnitudes**2 / (len(window) * np.sum(weights**2))

    def effective(frequency: float) -> float:
        near = np.abs(frequencies - frequency) <= (HALF_WIDTH + 0.5) * frequencies[1]
        return float(np.sqrt(squares[near].sum()))

    return (
        float(np.sqrt(np.mean(centred**2))),
        float(frequencies[peak]),
        float(2.0 * magnitudes[peak] / weights.sum()),
        effective(shaft_hz),
        effective(shaft_hz * bearing_order),
    )
