"""Rows: what they say, and what of them a changed definition takes over."""

from pathlib import Path
from typing import Any

import pytest
from support import stepping
from support.oracle import load_type
from support.stepping import TWINS, Stepping, put, reading

from schemas.definition_file import read_definition
from twins.layout import FINGERPRINT_BYTES, RowLayout
from twins.processor import TwinProcessor
from twins.row_format import RowFormat
from twins.twin_type import TwinType

TWIN = TWINS[0]
BEFORE = """\
name: probe
version: 1.0.0
inputs: {a: {}, b: {type: int}}
parameters:
  kept: {default: 1}
  untouched: {default: 2}
  gone: {default: 3}
pipeline:
  - name: sum
    step: steps.py:total
    state: {total: {}, ring: {shape: [3]}, flags: {type: bool, shape: [2]}, gone: {type: int}}
    outputs: {total: {}, big: {type: bool}}
outputs: {timeseries: {fields: [total]}, events: {grew: {when: big}}, commands: {valve: {field: big, type: bool}}}
"""
AFTER = """\
name: probe
version: 2.0.0
inputs: {b: {type: int}, a: {}, c: {type: bool}}
parameters:
  fresh: {default: 7}
  untouched: {default: 20}
  kept: {default: 10}
pipeline:
  - name: sum
    step: steps.py:total
    state: {ring: {shape: [4]}, total: {}, flags: {type: bool, shape: [2]}, more: {initial: 5}}
    outputs: {big: {type: bool}, total: {}}
outputs: {timeseries: {fields: [total]}, events: {grew: {when: big}}, commands: {valve: {field: big, type: bool}}}
missing: hold_last
"""
STEPS_BEFORE = (
    "def total(state, a, b):\n    state.total += a\n    state.ring[b] = a\n    state.flags[1] = True\n"
    "    return state.total, state.total > 5\n"
)
STEPS_AFTER = "def total(state, a):\n    state.total += a\n    return state.total > 5, state.total\n"


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> tuple[TwinType, TwinType]:
    cache = tmp_path_factory.mktemp("kernels")
    before = stepping.write_type(tmp_path_factory.mktemp("before"), BEFORE, steps=STEPS_BEFORE)
    after = stepping.write_type(tmp_path_factory.mktemp("after"), AFTER, steps=STEPS_AFTER)
    return load_type(before, "before", cache), load_type(after, "after", cache)


def test_a_changed_definition_takes_over_what_has_the_same_name_and_shape(types: tuple[TwinType, TwinType]) -> None:
    before, after = types
    engine = Stepping(before)
    engine.step(reading(TWIN, 0, a=4, b=1), put(TWIN, {"kept": 1.5, "gone": 9}, {"place": "hall"}))
    engine.step(reading(TWIN, 1, a=3, b=2))
    engine.switch(after)
    rewritten = engine.snapshot()
    assert set(rewritten) == {TWIN, b"#layout/" + after.layout.fingerprint.hex().encode()}
    state = engine.state(TWIN)
    assert state.version == "2.0.0"
    assert state.inputs == {"b": 2, "a": 3.0, "c": None}
    assert state.state == {"sum": {"ring": [0, 0, 0, 0], "total": 7.0, "flags": [0, 1], "more": 5.0}}
    assert state.outputs == {"big": True, "total": 7.0}
    # A parameter that somebody set stays; a new default holds for one that nobody set.
    assert state.parameters == {"fresh": 7.0, "untouched": 20.0, "kept": 1.5}
    assert (state.tags, state.revision, state.offset, state.parameter_revision) == ({"place": "hall"}, 3, 2, 1)


def test_after_the_change_the_twin_goes_on_without_repeating_events_or_commands(
    types: tuple[TwinType, TwinType],
) -> None:
    before, after = types
    engine = Stepping(before)
    engine.step(reading(TWIN, 0, a=6, b=0))
    engine.switch(after)
    run = engine.step(reading(TWIN, 1, a=1, b=0, c=True))
    assert len(run.messages("events")) == len(run.messages("commands")) == 1
    assert engine.state(TWIN).state["sum"]["total"] == 7.0


def test_the_mark_of_a_parameter_that_was_set_follows_its_name_when_parameters_move(
    types: tuple[TwinType, TwinType],
) -> None:
    before, after = types
    engine = Stepping(before)
    engine.step(put(TWIN, {"untouched": 2.0}), put(TWINS[1], {"kept": 1.0}))
    engine.switch(after)
    assert engine.state(TWIN).parameters == {"fresh": 7.0, "untouched": 2.0, "kept": 10.0}
    assert engine.state(TWINS[1]).parameters == {"fresh": 7.0, "untouched": 20.0, "kept": 1.0}


def test_a_changed_default_holds_after_a_restart_for_twins_that_never_set_it(tmp_path: Path) -> None:
    folders = [stepping.probe_type(tmp_path / name) for name in ("one", "two")]
    text = (folders[1] / "twin.yaml").read_text()
    (folders[1] / "twin.yaml").write_text(text.replace("default: 50.0", "default: 5.0"))
    one, two = (load_type(folder, folder.name, tmp_path / "cache") for folder in folders)
    assert one.layout.fingerprint == two.layout.fingerprint
    engine = Stepping(one)
    engine.step(put(TWIN, {"limit": 50.0}), reading(TWINS[1], 0, a=1, b=1, c=True))
    engine.switch(two)
    assert [engine.state(twin).parameters["limit"] for twin in TWINS[:2]] == [50.0, 5.0]


def test_a_new_definition_tells_the_documents_of_idle_twins_anew_and_once(types: tuple[TwinType, TwinType]) -> None:
    before, after = types
    engine = Stepping(before)
    engine.step(put(TWIN, {"kept": 1.5}, {"place": "hall"}), reading(TWINS[1], 0, a=4, b=1))
    told = len(engine.run.messages("metadata"))
    engine.restart()
    assert len(engine.run.messages("metadata")) == told
    engine.switch(after)
    documents = engine.run.messages("metadata")[told:]
    assert [(document["id"], document["version"], document["parameters"]) for document in documents] == [
        (TWIN.decode(), "2.0.0", {"fresh": 7.0, "untouched": 20.0, "kept": 1.5}),
        (TWINS[1].decode(), "2.0.0", {"fresh": 7.0, "untouched": 20.0, "kept": 10.0}),
    ]
    assert [document["definition"] for document in documents] == ["after", "after"]
    assert [document["revision"] for document in documents] == [1, 1]
    engine.switch(after)
    assert engine.run.messages("metadata")[told:] == documents


@pytest.mark.parametrize(
    ("choices", "default", "expected"),
    [
        ("[slow, fast]", "slow", ["fast", "slow"]),
        ("[off, slow, fast]", "slow", ["fast", "slow"]),
        ("[fast, slow]", "fast", ["fast", "fast"]),
        ("[slow, quick]", "quick", ["quick", "quick"]),
        ("[a, b, c]", "b", ["b", "b"]),
    ],
)
def test_a_text_stays_the_same_text_when_its_choices_change(
    tmp_path: Path, choices: str, default: str, expected: list[str]
) -> None:
    folders = [stepping.probe_type(tmp_path / name) for name in ("one", "two")]
    text = (folders[1] / "twin.yaml").read_text()
    declared = "mode: {type: string, choices: [slow, fast], default: slow}"
    assert declared in text
    changed = declared.replace("[slow, fast]", choices.replace("off", '"off"')).replace(
        "default: slow", f"default: {default}"
    )
    (folders[1] / "twin.yaml").write_text(text.replace(declared, changed))
    one, two = (load_type(folder, folder.name, tmp_path / "cache") for folder in folders)
    engine = Stepping(one)
    engine.step(put(TWIN, {"mode": "fast"}), reading(TWINS[1], 0, a=1, b=1, c=True))
    engine.switch(two)
    assert [engine.state(twin).parameters["mode"] for twin in TWINS[:2]] == expected
    engine.switch(two)
    assert [engine.state(twin).parameters["mode"] for twin in TWINS[:2]] == expected


def test_a_text_that_became_a_number_and_the_other_way_round_take_their_defaults(tmp_path: Path) -> None:
    folders = [stepping.probe_type(tmp_path / name) for name in ("one", "two")]
    text = (folders[1] / "twin.yaml").read_text()
    text = text.replace("mode: {type: string, choices: [slow, fast], default: slow}", "mode: {type: int, default: 7}")
    text = text.replace(
        "divisor: {type: float, default: 2.0}", "divisor: {type: string, choices: [x, y, z], default: z}"
    )
    (folders[1] / "twin.yaml").write_text(text)
    one, two = (load_type(folder, folder.name, tmp_path / "cache") for folder in folders)
    engine = Stepping(one)
    engine.step(put(TWIN, {"mode": "fast", "divisor": 1.0}))
    engine.switch(two)
    assert engine.state(TWIN).parameters == {"divisor": "z", "limit": 50.0, "mode": 7, "steps": 1}


def test_a_deleted_twin_does_not_come_back_with_a_changed_definition(types: tuple[TwinType, TwinType]) -> None:
    before, after = types
    engine = Stepping(before)
    engine.step(reading(TWIN, 0, a=4, b=1), reading(TWINS[1], 0, a=4, b=1))
    engine.snapshot()
    processor = TwinProcessor.of(after, stepping.LINEAGE)
    processor.restore(stepping.changelog([*engine.run.changelog.items(), (TWIN, None)]))
    processor.restored()
    assert {key for key, _ in processor.snapshot() if not key.startswith(b"#")} == {TWINS[1]}


def test_a_row_of_a_layout_that_nobody_described_is_an_error(types: tuple[TwinType, TwinType]) -> None:
    before, after = types
    engine = Stepping(before)
    engine.step(reading(TWIN, 0, a=4, b=1))
    rows = [(key, value) for key, value in engine.snapshot().items() if not key.startswith(b"#")]
    with pytest.raises(ValueError, match="unknown layout"):
        TwinProcessor.of(after, stepping.LINEAGE).restore(stepping.changelog(rows))
    with pytest.raises(ValueError, match="not"):
        after.layout.describe(rows[0][1] or b"")


@pytest.mark.parametrize("text", [BEFORE, AFTER])
def test_a_layout_is_its_description_and_nothing_else(text: str) -> None:
    layout = RowLayout.of(read_definition(text))
    assert RowFormat.read(layout.description) == layout.format
    assert RowFormat.read(layout.description).describe() == layout.description
    assert len(layout.fingerprint) == FINGERPRINT_BYTES
    assert RowLayout.of(read_definition(text.replace("kept", "kep"))).fingerprint != layout.fingerprint


@pytest.mark.parametrize("text", [BEFORE, AFTER, stepping.PROBE])
def test_a_row_has_no_gaps_that_could_hold_anything(text: str) -> None:
    def covered(dtype: Any, base: int) -> set[int]:
        found: set[int] = set()
        for field, offset, *_ in (dtype.fields or {}).values():
            inner = (
                covered(field, base + offset)
                if field.fields
                else set(range(base + offset, base + offset + field.itemsize))
            )
            assert not found & inner
            found |= inner
        return found

    dtype = RowLayout.of(read_definition(text)).dtype
    assert covered(dtype, 0) == set(range(dtype.itemsize))


def test_a_new_twin_knows_nothing_but_its_defaults() -> None:
    layout = RowLayout.of(read_definition(AFTER))
    state = layout.describe(layout.encode(layout.new_row().tobytes(), b""))
    assert set(state.inputs.values()) | set(state.outputs.values()) == {None}
    assert state.parameters == {"fresh": 7.0, "untouched": 20.0, "kept": 10.0}
    assert state.state["sum"]["more"] == 5.0
    assert (state.status, state.revision, state.tags) == ("ok", 0, {})
