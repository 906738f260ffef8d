"""Units by the names of pint: what is known, what is the same, what becomes what."""

import subprocess
import sys

import pytest

from schemas.units import Linear, UnknownUnitError, alike, check_unit, conversion, difference

KNOWN = ["", "1", "degC", "delta_degC", "m**3/s", "m^3/s", "W/(m**2*K)", "K*h", "%", "°C", "m³", "1/min", "kWh", "dBm"]
UNKNOWN = {
    "m**zz": "oz",
    "degc": "degC",
    "Watt": "watt",
    "kilometr": "kilometer",
    "Celcius": "celsius",
    "kPA": "kilopascal",
    "m3/h": "m**3",
    "kw": "kilowatt",
}
NO_UNITS = [
    "3 m",
    "(m",
    "m/",
    "  ",
    "€",
    "9**9**9",
    "m**99999999",
    "m" * 101,
    "m\0",
    "__class__",
    "m + s",
    "m if s",
]


@pytest.mark.parametrize("text", KNOWN)
def test_a_unit_of_pint_is_known(text: str) -> None:
    check_unit(text)


@pytest.mark.parametrize(("text", "nearest"), UNKNOWN.items())
def test_an_unknown_unit_names_the_nearest_that_is_known(text: str, nearest: str) -> None:
    with pytest.raises(UnknownUnitError) as caught:
        check_unit(text)
    assert f"the nearest that is known: {nearest};" in caught.value.remedy


@pytest.mark.parametrize("text", NO_UNITS)
def test_what_is_no_unit_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(UnknownUnitError) as caught:
        check_unit(text)
    assert "units are those of pint" in caught.value.remedy
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("source", "target", "linear"),
    [
        ("degC", "K", Linear(1.0, 273.15)),
        ("K", "degC", Linear(1.0, -273.15)),
        ("delta_degC", "K", Linear(1.0, 0.0)),
        ("min", "s", Linear(60.0, 0.0)),
        ("m**3/s", "l/min", Linear(60_000.0, 0.0)),
        ("bar", "Pa", Linear(1e5, 0.0)),
    ],
)
def test_a_conversion_is_a_factor_and_an_offset(source: str, target: str, linear: Linear) -> None:
    assert conversion(source, target) == linear


def test_a_conversion_of_fahrenheit_is_that_of_its_definition() -> None:
    linear = conversion("degF", "degC")
    assert linear is not None
    for fahrenheit in (-40.0, 32.0, 212.0):
        assert linear.factor * fahrenheit + linear.offset == pytest.approx((fahrenheit - 32) * 5 / 9, abs=1e-12)


@pytest.mark.parametrize(("source", "target"), [("degC", "m"), ("degC", "delta_degC"), ("dBm", "W"), ("s", "1/s")])
def test_what_is_of_another_kind_can_not_be_converted(source: str, target: str) -> None:
    assert conversion(source, target) is None
    assert not alike(source, target)


@pytest.mark.parametrize(
    ("one", "other"), [("W", "J/s"), ("K", "delta_degC"), ("m^3", "m**3"), ("", "degC"), ("s", "")]
)
def test_units_of_the_same_meaning_are_alike(one: str, other: str) -> None:
    assert alike(one, other)


@pytest.mark.parametrize(("text", "of_differences"), [("degC", "delta_degC"), ("K", "K"), ("m/s", "m/s"), ("", "")])
def test_differences_of_temperatures_have_a_unit_of_their_own(text: str, of_differences: str) -> None:
    assert difference(text) == of_differences


def test_what_only_moves_values_never_loads_pint() -> None:
    code = (
        "import sys; import infra.cli.app; import twins.wiring, twins.processor, infra.http.app;"
        "from pathlib import Path; from schemas.definition_file import read_definition;"
        "read_definition(Path('examples/incubator/twin.yaml').read_text());"
        "sys.exit('pint' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
