"""The course of a field in bounded memory, and its pictures."""

import random
from xml.etree import ElementTree as ET

import pytest

from infra.authoring.curve import Curve
from infra.authoring.panel import marks_between, panels_of
from infra.authoring.svg_plot import as_svg
from infra.authoring.terminal_plot import as_text
from schemas.definition_file import read_definition

DEFINITION = read_definition(
    'name: a\nversion: 1.0.0\ninputs: {x: {unit: "<&>"}, y: {}, z: {}}\noutputs: {timeseries: {fields: [y, x, z]}}\n'
)
START_NS = 1_700_000_000_000_000_000


def _curve(values: list[float], step_ns: int = 1_000_000_000) -> Curve:
    curve = Curve()
    for index, value in enumerate(values):
        curve.add(START_NS + index * step_ns, value)
    return curve


def test_a_short_course_is_kept_as_it_is() -> None:
    values = [3.0, 1.0, 2.0] * 600
    times_ns, kept = _curve(values, 1).points()
    assert kept == values
    assert times_ns == list(range(START_NS, START_NS + 1800))


def test_a_long_course_keeps_every_peak_in_bounded_memory() -> None:
    generator = random.Random(1)
    values = [generator.random() for _ in range(100_000)]
    for peak in (0, 12_345, 50_000, 99_999):
        values[peak] = 10.0 + peak
    times_ns, kept = _curve(values, 1).points()
    assert len(kept) <= 4096
    assert [value for value in kept if value >= 10.0] == [10.0, 12_355.0, 50_010.0, 100_009.0]
    assert times_ns == sorted(times_ns)
    assert min(kept) == min(values)
    halves = sum(time_ns < START_NS + 50_000 for time_ns in times_ns), len(times_ns)
    assert halves[0] / halves[1] == pytest.approx(0.5, abs=0.05), "as finely at the start as at the end"


def test_panels_are_in_the_definitions_order_and_fields_without_values_have_none() -> None:
    panels = panels_of(DEFINITION, {"x": _curve([1.0]), "y": _curve([2.0, 3.0])})
    assert [panel.title for panel in panels] == ["y", "x [<&>]"]
    assert all(panel.low < min(panel.values) <= max(panel.values) < panel.high for panel in panels)


def test_a_picture_has_a_line_for_every_field() -> None:
    panels = panels_of(DEFINITION, {"x": _curve([1.0]), "y": _curve([2.0, 3.0])})
    picture = ET.fromstring(as_svg("a <1>", panels))  # noqa: S314 - our own
    lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [2, 1]
    texts = [text.text for text in picture.findall("{http://www.w3.org/2000/svg}text")]
    assert {"a <1>", "y", "x [<&>]", "2023-11-14 22:13:20 UTC", "2023-11-14 22:13:21 UTC"} <= set(texts)


def test_a_picture_of_nothing_is_one_without_lines() -> None:
    picture = ET.fromstring(as_svg("nothing", []))  # noqa: S314 - our own
    assert picture.findall("{http://www.w3.org/2000/svg}polyline") == []


@pytest.mark.parametrize(("step_ns", "unit"), [(10**9, "s"), (10**11, "min"), (10**13, "h"), (10**14, "d")])
def test_a_terminal_shows_every_field_over_time_in_a_unit_that_reads_well(step_ns: int, unit: str) -> None:
    panels = panels_of(DEFINITION, {"x": _curve([1.0, 5.0, -3.0] * 4, step_ns), "y": _curve([0.0] * 12, step_ns)})
    text = as_text(panels, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith("y\n")
    assert "\nx [<&>]\n" in text
    assert f"time in {unit} since 2023-11-14 22:13:20 UTC" in text


STEPPED = read_definition(
    "name: a\nversion: 1.0.0\ninputs: {b: {type: bool}, n: {type: int}, flat: {}}\n"
    "outputs: {timeseries: {fields: [b, n, flat]}}\n"
)


def test_what_is_no_float_keeps_each_value_until_the_next() -> None:
    on, state, _ = panels_of(
        STEPPED, {"b": _curve([0.0, 1.0]), "n": _curve([0.0, 3.0, 3.0, 1.0]), "flat": _curve([1.0])}
    )
    assert on.marks == [(0.0, "false"), (1.0, "true")]
    assert list(zip(on.times_ns, on.values, strict=True)) == [
        (START_NS, 0.0),
        (START_NS + 10**9, 0.0),
        (START_NS + 10**9, 1.0),
    ]
    assert state.values == [0.0, 0.0, 3.0, 3.0, 3.0, 3.0, 1.0]
    assert [text for _, text in state.marks] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("value", [0.0, 22.5, -1e-9, 1e308, -5e-324])
def test_the_axis_of_a_constant_names_its_value_alone(value: float) -> None:
    (panel,) = panels_of(STEPPED, {"flat": _curve([value, value])})
    assert len(panel.marks) == 1
    assert panel.low < panel.values[0] < panel.high
    assert as_text([panel], 80).splitlines()[2].split("|")[0].strip() == panel.marks[0][1]
    ET.fromstring(as_svg("flat", [panel]))  # noqa: S314 - our own


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.0, 1.0, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (15.2, 25.0, ["16", "18", "20", "22", "24"]),
        (1013.25, 1013.26, ["1013.250", "1013.252", "1013.254", "1013.256", "1013.258", "1013.260"]),
        (-3e-5, 0.0, ["-0.00003", "-0.00002", "-0.00001", "0"]),
    ],
)
def test_marks_are_round_and_differ(low: float, high: float, texts: list[str]) -> None:
    assert [text for _, text in marks_between(low, high)] == texts


@pytest.mark.parametrize("values", [[1e308, -1e308], [0.0, 5e-324], [1e-300, 2e-300]])
def test_the_ends_of_what_a_number_can_be_are_drawn(values: list[float]) -> None:
    panels = panels_of(STEPPED, {"flat": _curve(values)})
    assert "nan" not in as_svg("wide", panels)
    assert as_text(panels, 80)


def test_states_of_a_machine_bear_their_names() -> None:
    definition = read_definition(
        "name: a\nversion: 1.0.0\ninputs: {x: {}}\npipeline:\n"
        "  - {name: m, step: state_machine, outputs: {s: {type: int}},\n"
        "     config: {states: [shut, opening_slowly, open]}}\n"
        "outputs: {timeseries: {fields: [s]}}\n"
    )
    (panel,) = panels_of(definition, {"s": _curve([0.0, 1.0])})
    assert panel.marks == [(0.0, "shut"), (1.0, "opening_sl")]
    (panel,) = panels_of(definition, {"s": _curve([2.0, 2.0])})
    assert panel.marks == [(2.0, "open")]
    assert panel.low < 2.0 < panel.high
