"""The compiled line writer against a naive formatter and against the parser."""

import math

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from schemas.line_protocol import escape_measurement, escape_tag, parse_line
from twins.lines import BLOCK_BYTES, LineWriter

RECORD_LIMIT_BYTES = 512 * 1024
text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
field = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,8}", fullmatch=True)
value = st.floats(allow_infinity=False) | st.sampled_from([0.0, -0.0, 1.0, 1e300, 5e-324, 0.1, 123456789.123456789])
switch = st.sampled_from([0.0, 1.0, math.nan])


def _naive(measurement: str, twin: str, tags: dict[str, str], fields: dict[str, float], time_ns: int) -> str:
    present = [
        f"{escape_tag(name)}={orjson.dumps(number).decode()}"
        for name, number in fields.items()
        if not math.isnan(number)
    ]
    head = [escape_measurement(measurement), f"twin={escape_tag(twin)}"]
    head += [f"{escape_tag(key)}={escape_tag(tags[key])}" for key in sorted(tags) if tags[key]]
    return f"{','.join(head)} {','.join(present)} {time_ns}\n" if present else ""


@given(
    fields=st.lists(field, min_size=1, max_size=4, unique=True),
    twins=st.lists(st.tuples(text, st.dictionaries(field, text, max_size=2)), min_size=1, max_size=3),
    data=st.data(),
)
def test_lines_equal_those_of_a_naive_formatter(
    fields: list[str], twins: list[tuple[str, dict[str, str]]], data: st.DataObject
) -> None:
    booleans = [name for name in fields if data.draw(st.booleans())]
    writer = LineWriter("my type,x", tuple(fields), booleans)
    for slot, (twin, tags) in enumerate(twins):
        writer.prefixes.set(slot, twin, tags)
    count = data.draw(st.integers(0, 8))
    slots = data.draw(st.lists(st.integers(0, len(twins) - 1), min_size=count, max_size=count))
    times = data.draw(st.lists(st.integers(0, 2**63 - 1), min_size=count, max_size=count))
    row = st.tuples(*(switch if name in booleans else value for name in fields))
    rows = data.draw(st.lists(row, min_size=count, max_size=count))
    values = np.array(rows, np.float64).reshape(count, len(fields))
    found = b"".join(
        text for text, _ in writer.write(np.array(slots, np.int64), np.array(times, np.int64), values)
    ).decode()
    expected = [
        _naive("my type,x", *twins[slot], dict(zip(fields, row, strict=True)), time_ns)
        for slot, row, time_ns in zip(slots, rows, times, strict=True)
    ]
    assert found == "".join(expected)


def test_tags_that_change_again_and_again_take_no_more_and_more_memory() -> None:
    writer = LineWriter("m", ("a",))
    values, times = np.ones((3, 1)), np.full(3, 5, np.int64)
    rounds = 3000
    for turn in range(rounds):
        for slot in range(3):
            writer.prefixes.set(slot, f"twin-{slot}", {"place": "x" * (turn * (slot + 1) % 200)})
    assert len(writer.prefixes.text) < rounds * 100
    ((block, _),) = writer.write(np.arange(3), times, values)
    tags = ["x" * ((rounds - 1) * (slot + 1) % 200) for slot in range(3)]
    assert block.decode().splitlines() == [f"m,twin=twin-{s},place={tag} a=1.0 5" for s, tag in enumerate(tags)]


@given(twin=text, tag=text, number=st.floats(allow_nan=False, allow_infinity=False), time_ns=st.integers(0, 2**63 - 1))
def test_a_line_says_what_was_written_whatever_the_names(twin: str, tag: str, number: float, time_ns: int) -> None:
    plain_twin, plain_tag = (name.replace("\\", "/").replace("\n", "_").replace("\r", "_") for name in (twin, tag))
    writer = LineWriter("m", ("f",))
    writer.prefixes.set(0, plain_twin or "t", {"k": plain_tag})
    ((block, _),) = writer.write(np.zeros(1, np.int64), np.array([time_ns]), np.array([[number]]))
    assert block.count(b"\n") == 1
    point = parse_line(block.decode().rstrip("\n"))
    assert (point.fields, point.time_ns) == ({"f": number}, time_ns)
    assert point.tags == {"twin": plain_twin or "t"} | ({"k": plain_tag} if plain_tag else {})


def test_a_record_without_any_value_is_no_line() -> None:
    writer = LineWriter("m", ("a", "b"))
    writer.prefixes.set(0, "t", {})
    values = np.array([[1.0, math.nan], [math.nan, math.nan], [math.nan, 2.0]])
    assert writer.write(np.zeros(3, np.int64), np.arange(3), values) == [(b"m,twin=t a=1.0 0\nm,twin=t b=2.0 2\n", 3)]


def test_nothing_to_write_is_no_block() -> None:
    none = np.zeros(0, np.int64)
    assert LineWriter("m", ("a",)).write(none, none, np.zeros((0, 1))) == []
    assert LineWriter("m", ()).write(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros((1, 0))) == []


def test_a_changed_tag_holds_from_then_on_and_for_its_twin_only() -> None:
    writer = LineWriter("m", ("a",))
    writer.prefixes.set(0, "t", {})
    writer.prefixes.set(1, "u", {})
    writer.prefixes.set(0, "t", {"place": "hall"})
    ((block, _),) = writer.write(np.array([0, 1]), np.array([1, 2]), np.ones((2, 1)))
    assert block == b"m,twin=t,place=hall a=1.0 1\nm,twin=u a=1.0 2\n"


def test_blocks_are_cut_between_lines_below_the_limit_and_lose_nothing() -> None:
    writer = LineWriter("measurement", ("temperature", "pressure"))
    count = 30_000
    for slot in range(500):
        writer.prefixes.set(slot, f"twin-{slot}", {"place": "hall " * (slot % 7)})
    rng = np.random.default_rng(1)
    slots, values = rng.integers(0, 500, count), rng.normal(size=(count, 2))
    values[rng.random((count, 2)) < 0.3] = math.nan
    found = writer.write(slots, np.arange(count), values)
    blocks = [text for text, _ in found]
    assert len(blocks) > 3
    assert all(len(block) <= BLOCK_BYTES < RECORD_LIMIT_BYTES and block.endswith(b"\n") for block in blocks)
    # No block is small for no reason: the next line would not have fitted.
    assert all(len(block) > BLOCK_BYTES - 500 for block in blocks[:-1])
    lines = b"".join(blocks).splitlines()
    kept = np.flatnonzero(~np.isnan(values).all(axis=1))
    assert [int(line.rpartition(b" ")[2]) for line in lines] == kept.tolist()
    for text, last in found:
        assert int(text.split()[-1]) == kept[kept < last][-1]


def test_new_rows_begin_their_lines_as_rows_without_tags_do() -> None:
    one_by_one, together = LineWriter("my type,x", ("a",)), LineWriter("my type,x", ("a",))
    for first, twins in ((0, ["a", "B-2"]), (2, ["c_3"]), (1, ["d", "e", "f"])):  # the last ones in others' places
        for slot, twin in enumerate(twins, first):
            one_by_one.prefixes.set(slot, twin, {})
        together.prefixes.add_all(first, [twin.encode() for twin in twins])
    slots, times, values = np.arange(4), np.full(4, 5, np.int64), np.ones((4, 1))
    assert together.write(slots, times, values) == one_by_one.write(slots, times, values)
