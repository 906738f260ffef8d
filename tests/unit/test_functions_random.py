"""Random numbers of steps: the published generator, evenly and normally distributed, the same at every replay."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.jitted import jitted
from support import stepping
from support.oracle import load_type
from support.stepping import TWINS, Stepping, reading, request, stepped

from twins.functions.random import normal, philox, seed_of, uniform
from twins.twin_type import TwinType

DRAWS = 20_000
compiled_philox, compiled_uniform = jitted(philox), jitted(uniform)
compiled_normal, compiled_seed_of = jitted(normal), jitted(seed_of)
whole = st.integers(-(2**63), 2**63 - 1)

DEFINITION = """\
name: noisy
version: 1.0.0
inputs: {a: {}}
pipeline:
  - name: first
    step: steps.py:draw
    state: {last: {type: int}}
    outputs: {u: {}, n: {}}
    requests: {roll: "steps.py:roll"}
  - {name: second, step: "steps.py:again", compiled: false, outputs: {v: {}, m: {}}}
requests: {roll: {}}
outputs: {timeseries: {fields: [u, n, v, m]}}
"""
STEPS = """\
from twins.functions.random import normal, uniform


def draw(state, a, random_seed):
    state.last = random_seed
    return uniform(random_seed, 0), normal(random_seed, 1)


def again(a, random_seed):
    return uniform(random_seed, 0), normal(random_seed, 1)


def roll(state, random_seed):
    state.last = random_seed
"""


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> TwinType:
    folder = stepping.write_type(tmp_path_factory.mktemp("noisy"), DEFINITION, steps=STEPS)
    return load_type(folder, "noisy", tmp_path_factory.mktemp("kernels"))


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_the_generator_gives_the_published_words(
    counter: tuple[int, ...], key: tuple[int, ...], words: tuple[int, ...]
) -> None:
    assert philox(*counter, *key) == words
    assert compiled_philox(*counter, *key) == words


@given(whole, whole, st.integers(0, 2**32 - 1))
def test_compiled_and_plain_draws_are_the_same_bits(seed: int, k: int, salt: int) -> None:
    assert compiled_uniform(seed, k) == uniform(seed, k)
    assert compiled_normal(seed, k) == normal(seed, k)
    drawn = seed_of(seed, k, salt)
    assert compiled_seed_of(seed, k, salt) == drawn
    assert 0 <= drawn < 2**63


def _draws(over: str) -> np.ndarray:
    """Draws of one seed, or first draws of the seeds of one twin's records."""
    seeds = [seed_of(1234567, offset, 99) if over == "records" else 42 for offset in range(DRAWS)]
    return np.array([compiled_uniform(seed, 0 if over == "records" else k) for k, seed in enumerate(seeds)])


@pytest.mark.parametrize("over", ["draws", "records"])
def test_uniform_numbers_fill_the_interval_evenly_without_memory(over: str) -> None:
    drawn = _draws(over)
    assert ((drawn >= 0.0) & (drawn < 1.0)).all()
    # Kolmogorov and Smirnov: beyond 1.95 / sqrt(n) one in a thousand samples lies.
    steps = np.arange(1, DRAWS + 1) / DRAWS
    distance = np.abs(np.sort(drawn) - steps).max()
    assert distance < 1.95 / math.sqrt(DRAWS)
    counts = np.bincount((drawn * 64).astype(int), minlength=64)
    chi_square = ((counts - DRAWS / 64) ** 2 / (DRAWS / 64)).sum()
    assert 63 - 4 * math.sqrt(126) < chi_square < 63 + 4 * math.sqrt(126)
    for lag in (1, 2, 7):
        correlation = np.corrcoef(drawn[:-lag], drawn[lag:])[0, 1]
        assert abs(correlation) < 4 / math.sqrt(DRAWS)


def test_normal_numbers_have_the_moments_and_the_tails_of_the_normal_distribution() -> None:
    drawn = np.array([compiled_normal(7, k) for k in range(DRAWS)])
    assert abs(drawn.mean()) < 4 / math.sqrt(DRAWS)
    assert abs(drawn.var() - 1.0) < 4 * math.sqrt(2 / DRAWS)
    assert abs((drawn**3).mean()) < 4 * math.sqrt(15 / DRAWS)
    assert abs((drawn**4).mean() - 3.0) < 4 * math.sqrt(96 / DRAWS)
    distribution = np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in np.sort(drawn)])
    assert np.abs(distribution - np.arange(1, DRAWS + 1) / DRAWS).max() < 1.95 / math.sqrt(DRAWS)


def test_draws_of_twins_steps_and_records_all_differ() -> None:
    seeds = {seed_of(twin, offset, salt) for twin in range(20) for offset in range(20) for salt in range(20)}
    assert len(seeds) == 8000


@pytest.mark.slow
def test_a_replay_and_a_restart_draw_the_same_numbers_and_another_twin_others(noisy: TwinType) -> None:
    made = [reading(twin, at_s, a=1.0) for at_s in range(6) for twin in TWINS[:2]]
    made = [item._replace(offset=5 * index) for index, item in enumerate(made)]
    whole = stepped(noisy, made)
    assert stepped(noisy, made, [(3, True), (7, False), (9, True)]).lines() == whole.lines()
    values = [line.split(" ")[1] for line in whole.lines()]
    assert len(set(values)) == len(values) == 12
    # Neither do steps of one record draw the same.
    assert all(fields.split(",")[0][2:] != fields.split(",")[2][2:] for fields in values)
    numbers = [dict(pair.split("=") for pair in fields.split(",")) for fields in values]
    assert all(0.0 <= float(fields["u"]) < 1.0 and abs(float(fields["n"])) < 6.0 for fields in numbers)


def test_a_handler_draws_by_the_request_that_it_carries_out(noisy: TwinType) -> None:
    engine = Stepping(noisy)
    engine.step(reading(TWINS[0], 0, a=1.0), request(TWINS[0], "roll"))
    once = engine.state(TWINS[0]).state["first"]["last"]
    engine.step(request(TWINS[0], "roll"))
    twice = engine.state(TWINS[0]).state["first"]["last"]
    assert once != twice
    again = Stepping(noisy)
    again.step(reading(TWINS[0], 0, a=1.0))
    again.step(request(TWINS[0], "roll"))
    assert again.state(TWINS[0]).state["first"]["last"] == once


def test_an_author_calls_the_same_function_in_a_test(tmp_path: Path) -> None:
    from twins.functions.testing import load_step  # noqa: PLC0415

    draw, state = load_step(stepping.write_type(tmp_path, DEFINITION, steps=STEPS), "first")
    assert draw(state, 1.0, 17) == (uniform(17, 0), normal(17, 1))
    assert state.last == 17
