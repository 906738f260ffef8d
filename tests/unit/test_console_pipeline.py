"""The drawing of a pipeline: no edge crosses a box."""

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from infra.console.pipeline_drawing import drawing
from infra.console.pipeline_graph import Node, nodes_of
from infra.console.pipeline_layout import GAP, laid_out
from schemas.definition_file import read_definition


@st.composite
def pipelines(draw: st.DrawFn) -> list[Node]:
    """Steps that take from some before them, and from later ones what was of the previous record."""
    count = draw(st.integers(1, 12))
    nodes = [Node("n0", "", "", "inputs")]
    for number in range(1, count):
        others = st.sampled_from([at for at in range(count) if at != number])
        needs: dict[int, bool] = draw(st.dictionaries(others, st.booleans()))
        node = Node(f"n{number}", "", "", "step", {f"n{at}": at > number or old for at, old in needs.items()})
        before = [nodes[at].column for at, old in needs.items() if at < number and not old]
        node.column = max(before, default=0) + 1
        nodes.append(node)
    return nodes


@given(pipelines())
def test_an_edge_over_several_columns_has_a_lane_of_its_own_between_the_boxes(nodes: list[Node]) -> None:
    layout = laid_out(nodes)
    for column in layout.columns:
        for above, below in pairwise(column):
            assert below.y - below.high / 2 >= above.y + above.high / 2 + GAP - 1e-9
    at = {spot: number for number, column in enumerate(layout.columns) for spot in column}
    for node in nodes:
        for name in node.needs:
            route = layout.routes[name, node.name]
            if route:
                assert [at[spot] for spot in route] == list(range(at[route[0]], node.column + 1))
                assert all(spot.node is None for spot in route[1:-1])
    drawing(nodes, "any")


def test_a_long_name_is_told_in_full_on_hover() -> None:
    name = "a_step_with_a_name_that_is_much_longer_than_any_box_can_be"
    svg = drawing([Node("inputs", "", "", "inputs"), Node(name, "file.py:f", "what", "step", column=1)], "a type").svg
    assert f"<title>{name}: what</title>" in svg
    assert "…</text>" in svg


def test_the_incubator_is_drawn_with_few_crossings() -> None:
    folder = Path(__file__).parents[2] / "examples" / "incubator"
    files = {file.name: file.read_bytes() for file in folder.glob("*.py")}
    layout = laid_out(nodes_of(read_definition((folder / "twin.yaml").read_text()), files))
    lines = [[(spot.y, after.y) for spot in column for after in spot.after] for column in layout.columns]
    crossed = sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for gap in lines for a in gap for b in gap) // 2
    assert crossed <= 8
