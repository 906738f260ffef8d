import pytest

from infra.console.asking import bounds_of, refusal_of, refusals_of, value_of
from infra.console.frames import told
from infra.console.panels import panels_of
from infra.console.units import shown
from infra.http.feed import frame
from schemas.definition_file import read_definition
from schemas.quantity import Quantity


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        ("degC", "°C"),
        ("delta_degC", "Δ°C"),
        ("W/K", "W/K"),
        ("m**3/s", "m³/s"),
        ("m / s ** 2", "m / s²"),
        ("K*s", "K·s"),
        ("h**2/m**5", "h²/m⁵"),
        ("1/min", "1/min"),
        ("1", ""),
        ("", ""),
    ],
)
def test_units_are_shown_as_people_write_them(unit: str, text: str) -> None:
    assert shown(unit) == text


def test_bounds_are_told_in_a_few_characters() -> None:
    assert bounds_of(Quantity(range=(0, 1_000_000))) == "0 … 1000000"
    assert bounds_of(Quantity(above=0)) == "> 0"
    assert bounds_of(Quantity(range=(-40, 45), below=45)) == "-40 … < 45"
    assert bounds_of(Quantity()) == ""


def test_a_refusal_names_value_bounds_and_unit_as_the_page_does() -> None:
    desired = Quantity(unit="degC", range=(-40, 45), below=45)
    said = refusals_of({"temperature_desired": desired}, {"temperature_desired": 50.0})
    assert said == "temperature desired: 50 °C is not permitted; it must be -40 … < 45 °C"
    assert refusals_of({"temperature_desired": desired}, {"temperature_desired": 44.0}) == ""
    assert refusal_of(Quantity(type="int", range=(0, 9)), 6.5) == "6.5 is not a whole number"
    assert refusal_of(desired, "warm") == "'warm' is not a number"
    assert refusal_of(Quantity(), float("inf")) == "inf is not finite"


def test_what_is_entered_becomes_the_declared_type_or_stays_for_the_check() -> None:
    assert value_of(Quantity(), "1e-3") == 0.001
    assert value_of(Quantity(type="int"), "60") == 60
    assert value_of(Quantity(type="int"), "6.5") == 6.5
    assert value_of(Quantity(), "warm") == "warm"


def test_frames_of_the_feed_are_read_back() -> None:
    frames = (
        b"retry: 1\n: connected\n\n"
        + frame("event", b'{"name":"a"}')
        + frame("command", b'{"name":"b"}')
        + b": heartbeat\n\n"
    )
    assert list(told(frames)) == [("event", {"name": "a"}), ("command", {"name": "b"})]


def test_curves_of_one_unit_share_a_panel_and_switches_stand_below() -> None:
    text = """
name: box
version: 1.0.0
inputs: {t: {unit: degC}, lid: {type: bool}}
pipeline:
  - {name: a, step: "a.py:a", outputs: {est: {unit: degC}, error: {unit: delta_degC}, open: {type: bool}}}
outputs: {timeseries: {fields: [t, open, est, error, lid]}}
"""
    panels = panels_of(read_definition(text))
    assert [(panel["title"], [one["field"] for one in panel["series"]]) for panel in panels] == [
        ("°C", ["t", "est"]),
        ("Δ°C", ["error"]),
        ("Switches", ["open", "lid"]),
    ]
