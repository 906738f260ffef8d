"""The course of a field in bounded memory, and its pictures."""

import random
from xml.etree import ElementTree as ET

import pytest

from infra.authoring.curve import Curve
from infra.authoring.panel import panels_of
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
