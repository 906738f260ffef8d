"""Reading blocks into columns."""

from hypothesis import given
from hypothesis import strategies as st

from connectors.duckdb.columns import ColumnReader, Columns
from connectors.lines import LineError, parse_line
from connectors.series import TIME_MAX_NS, TIME_MIN_NS
from connectors.stores import Block, LogPosition

Read = dict[int, tuple[str, dict[str, str], dict[str, float], int]]


def block(*lines: str, offset: int = 0) -> Block:
    return Block(LogPosition("t", 0, offset), "\n".join(lines).encode())


def rows_of(columns: list[Columns]) -> Read:
    rows: Read = {}
    for batch in columns:
        for at, number in enumerate(batch.number.tolist()):
            tags = {tag: column[at] for tag, column in zip(batch.shape.tags, batch.tags, strict=True)}
            fields = {name: float(column[at]) for name, column in zip(batch.shape.fields, batch.fields, strict=True)}
            rows[number] = (batch.shape.measurement, tags, fields, int(batch.time_ns[at]))
    return rows


_PIECES = (
    *("m", "n\\ x", ",twin=a", ",twin=b-2", ',r=5"', ",twin=", " ", "  ", "f=1", "f=-0.5e3", ",g=2", ",f=1e999", "="),
    *("f=nan", "f=1i", " 12", " -9223372036854775806", " 9223372036854775807", "\\", "é", "#", "\t"),
)
_broken = st.lists(st.sampled_from(_PIECES), min_size=1, max_size=8).map("".join)
_sound = st.builds(
    "{},twin={} {}={!r} {}".format,
    st.sampled_from(["m", "n"]),
    st.sampled_from(["a", "b-2", "c\\ d"]),
    st.sampled_from(["f", "g"]),
    st.floats(allow_nan=False),
    st.integers(TIME_MIN_NS - 1, TIME_MAX_NS + 1),
)


@given(st.lists(st.one_of(_sound, _sound, _broken), max_size=30), st.integers(1, 30))
def test_patterns_read_exactly_what_the_general_rules_read(lines: list[str], cut: int) -> None:
    lines = [line for line in lines if line.strip(" \t\r") and not line.strip(" \t\r").startswith("#")]
    expected: Read = {}
    bad = []
    for number, line in enumerate(lines):
        try:
            parsed = parse_line(line.strip(" \t\r"))
            expected[number] = (parsed.measurement, parsed.tags, parsed.fields, parsed.time_ns)
        except LineError:
            bad.append(line.encode())
    reader = ColumnReader()
    for _ in range(2):  # with patterns still unknown, and known
        columns, refusals = reader.read([block(*lines[at : at + cut]) for at in range(0, len(lines), cut)])
        assert rows_of(columns) == expected
        assert [refusal.raw for refusal in refusals] == bad


def test_a_refusal_names_the_block_it_came_with() -> None:
    _, refusals = ColumnReader().read([block("m f=1 1", offset=7), block("bad", "m f=1 1", "m f=1e999 1", offset=8)])
    assert [(refusal.position.offset, refusal.raw) for refusal in refusals] == [(8, b"bad"), (8, b"m f=1e999 1")]


def test_more_shapes_than_are_remembered_are_read_all_the_same() -> None:
    lines = [f"m f{number}={number} {number}" for number in range(600)]
    columns, refusals = ColumnReader().read([block(*lines, *lines)])
    assert not refusals
    assert len(rows_of(columns)) == 1200
