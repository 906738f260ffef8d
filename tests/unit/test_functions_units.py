"""Unit conversion against exact fractions, and back again."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from twins.functions.registry import BUILT_INS

EXACT = {
    ("degC", "K"): (Fraction(1), Fraction(5463, 20)),
    ("degF", "degC"): (Fraction(5, 9), Fraction(-160, 9)),
    ("delta_degF", "K"): (Fraction(5, 9), Fraction(0)),
    ("km/h", "m/s"): (Fraction(5, 18), Fraction(0)),
    ("m**3/h", "l/min"): (Fraction(50, 3), Fraction(0)),
    ("bar", "Pa"): (Fraction(100_000), Fraction(0)),
    ("kWh", "J"): (Fraction(3_600_000), Fraction(0)),
    ("inch", "mm"): (Fraction(127, 5), Fraction(0)),
}
VALUES = st.floats(-1e12, 1e12)


def _convert(source: str, to: str, value: float) -> float:
    bound = BUILT_INS["unit_conversion"].bind({"from": source, "to": to})
    assert bound.units == {"value": source, "converted": to}
    result: float = bound.function(value, *bound.constants.values())
    return result


@given(st.sampled_from(sorted(EXACT)), VALUES)
def test_a_conversion_is_that_of_exact_fractions(pair: tuple[str, str], value: float) -> None:
    factor, offset = EXACT[pair]
    expected = float(factor * Fraction(value) + offset)
    assert _convert(*pair, value) == pytest.approx(expected, rel=1e-14, abs=1e-12)


@given(st.sampled_from(sorted(EXACT)), VALUES)
def test_there_and_back_is_the_same_value(pair: tuple[str, str], value: float) -> None:
    source, to = pair
    assert _convert(to, source, _convert(source, to, value)) == pytest.approx(value, rel=1e-12, abs=1e-9)


@given(st.sampled_from(sorted(EXACT)), VALUES, VALUES)
def test_a_conversion_keeps_the_order(pair: tuple[str, str], one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert _convert(*pair, low) <= _convert(*pair, high)


def test_known_temperatures() -> None:
    assert _convert("degC", "K", 20.0) == 293.15
    assert _convert("degF", "degC", 212.0) == pytest.approx(100.0, abs=1e-12)
    assert _convert("degC", "degF", -40.0) == pytest.approx(-40.0, abs=1e-12)


@pytest.mark.parametrize(
    ("source", "to", "place"),
    [
        ("degC", "m", ()),
        ("degC", "delta_degC", ()),
        ("dBm", "mW", ()),
        ("celsius_", "K", ("from",)),
        ("K", "", ("to",)),
    ],
)
def test_units_that_are_none_or_of_two_kinds_are_faults(source: str, to: str, place: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as refused:
        BUILT_INS["unit_conversion"].bind({"from": source, "to": to})
    assert [error["loc"] for error in refused.value.errors()] == [place]
