"""Definitions and bundles: every fault at once with its line, and the same files are the same bundle."""

import io
import lzma
import os
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import bundle as bundles
from schemas.bundle import CHUNK_BYTES, bundle_of, chunk_key, chunks_of, read_folder, unpack
from schemas.definition_file import examine, read_definition
from schemas.deployment import TYPE, key
from schemas.errors import DefinitionError
from schemas.quantity import Parameter, Quantity

GOOD = """\
name: probe
version: 1.0.0
inputs:
  t1: {type: float, unit: degC, range: [-40, 125]}
  hot: {type: bool}
parameters:
  limit: {default: 5, below: 45}
pipeline:
  - name: alarm
    step: steps.py:alarm
    outputs:
      high: {type: bool}
outputs:
  timeseries: {fields: [t1, high]}
  events:
    went_high: {when: high}
requests:
  limit:
    arguments: {limit: {below: 45}}
    sets: {limit: limit}
"""
FAULTY = """\
name: Probe
version: one
colour: red
inputs:
  t1: {type: flaot, range: [5, 1]}
  t-2: {}
parameters:
  limit: {default: x}
  level: {default: 50, range: [0, 10]}
pipeline:
  - name: alarm
    step: ../steps.py
    outputs: {high: {type: bool}}
provision: sometimes
"""


def _problems(text: str) -> list[tuple[int, str]]:
    with pytest.raises(DefinitionError) as caught:
        read_definition(text)
    assert all(problem.file == "twin.yaml" and problem.message for problem in caught.value.problems)
    return [(problem.line, problem.path) for problem in caught.value.problems]


def test_a_good_definition_is_read() -> None:
    definition = read_definition(GOOD)
    assert (str(definition.type_name), definition.unit_of("t1")) == ("probe", "degC")
    assert list(definition.fields()) == ["high"]
    assert definition.request("reset") is not None
    assert str(read_definition(GOOD + "project: plant\n").type_name) == "plant-probe"


def test_every_fault_is_reported_at_once_with_its_line() -> None:
    lines = [line for line, _ in _problems(FAULTY)]
    assert lines == sorted(lines)
    assert {1, 2, 3, 5, 6, 8, 9, 12, 14} <= set(lines)


@pytest.mark.parametrize(
    ("before", "after", "line", "path"),
    [
        ("  hot:", "  seq:", 5, "inputs.seq"),
        ("  hot:", "  dt_s:", 5, "inputs.dt_s"),
        ("  limit: {default", "  t1: {default", 7, "parameters.t1"),
        ("    went_high:", "    command_sent:", 16, "outputs.events.command_sent"),
        ("    went_high:", "    request_rejected:", 16, "outputs.events.request_rejected"),
        ("    went_high:", "    quarantined:", 16, "outputs.events.quarantined"),
        ("      high: {type: bool}", "      hot: {type: bool}", 12, "pipeline.0.outputs.hot"),
        ("fields: [t1, high]", "fields: [t1, low]", 14, "outputs.timeseries.fields.1"),
        ("when: high", "when: t1", 16, "outputs.events.went_high.when"),
        ("    sets: {limit: limit}", "    sets: {limits: limit}", 20, "requests.limit.sets.limits"),
        ("    sets: {limit: limit}", "    sets: {limit: limits}", 20, "requests.limit.sets.limit"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_faults_at_their_line(
    before: str, after: str, line: int, path: str
) -> None:
    assert (line, path) in _problems(GOOD.replace(before, after, 1))


def test_a_key_that_is_given_twice_is_a_fault_at_the_second() -> None:
    assert (6, "inputs.t1") in _problems(GOOD.replace("  hot:", "  hot: {type: bool}\n  t1:"))
    assert (21, "name") in _problems(GOOD + "name: other\n")


@pytest.mark.parametrize(
    ("before", "after", "line", "path", "message"),
    [
        ("  hot:", "  on:", 5, "inputs.on", 'on is a boolean in YAML, not a text (quote it: "on")'),
        (
            "  limit: {default",
            "  No: {default",
            7,
            "parameters.No",
            'No is a boolean in YAML, not a text (quote it: "No")',
        ),
        ("  limit:\n", "  off:\n", 18, "requests.off", 'off is a boolean in YAML, not a text (quote it: "off")'),
        (
            "[t1, high]",
            "[t1, yes]",
            14,
            "outputs.timeseries.fields.1",
            'yes is a boolean in YAML, not a text (quote it: "yes")',
        ),
        ("name: alarm", "name: on", 9, "pipeline.0.name", 'on is a boolean in YAML, not a text (quote it: "on")'),
        (
            "version: 1.0.0",
            "version: 1.0",
            2,
            "version",
            "1.0 is a number in YAML, not a text (write three numbers: 1.0.0)",
        ),
        ("name: probe", "on: probe", 1, "on", 'on is a boolean in YAML, not a text (quote it: "on")'),
    ],
)
def test_a_word_that_yaml_takes_for_something_else_is_to_be_quoted(
    before: str, after: str, line: int, path: str, message: str
) -> None:
    with pytest.raises(DefinitionError) as caught:
        read_definition(GOOD.replace(before, after, 1))
    assert f"twin.yaml:{line}: {path}: {message}" in map(str, caught.value.problems)
    assert not any("valid string" in str(problem) or "be strings" in str(problem) for problem in caught.value.problems)


def test_quoted_words_are_names() -> None:
    assert "on" in read_definition(GOOD.replace("  hot:", '  "on":', 1)).inputs


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "[]",
        "a: [",
        "a: b: c",
        "\x00",
        "a: &a [*a]",
        "a: &a {b: *a}",
        "? [1]\n: 2",
        "!!python/object:os.system {}",
        "a: *b",
        "\t- x",
        "[" * 3000,
    ],
)
def test_what_is_no_definition_is_a_fault_and_never_another_error(text: str) -> None:
    assert _problems(text)


@given(st.text(max_size=80))
def test_no_text_leads_to_any_other_error(text: str) -> None:
    with pytest.raises(DefinitionError):
        read_definition(text)


@pytest.mark.parametrize(
    ("declared", "value", "fine"),
    [
        ({}, 1, True),
        ({}, 1.5, True),
        ({}, True, False),
        ({}, "1", False),
        ({}, float("nan"), False),
        ({}, float("inf"), False),
        ({}, 10**400, False),
        ({}, None, False),
        ({"type": "int"}, 1, True),
        ({"type": "int"}, 1.0, False),
        ({"type": "bool"}, False, True),
        ({"type": "bool"}, 0, False),
        ({"type": "string", "choices": ["a", "b"]}, "b", True),
        ({"type": "string", "choices": ["a", "b"]}, "c", False),
        ({"type": "string", "choices": ["a", "b"]}, ["a"], False),
        ({"range": [0, 10]}, 0, True),
        ({"range": [0, 10]}, 10, True),
        ({"range": [0, 10]}, 10.000001, False),
        ({"below": 45}, 45, False),
        ({"below": 45}, 44.999999, True),
        ({"above": 0}, 0, False),
        ({"above": 0}, 5e-324, True),
    ],
)
def test_a_quantity_permits_what_it_declares(declared: dict[str, object], value: object, fine: bool) -> None:  # noqa: FBT001
    quantity = Quantity.model_validate(declared)
    assert (quantity.refusal(value) == "") == fine
    assert quantity.refusal(value).isascii()


def test_a_refusal_shows_text_as_it_was_written_and_obeys_no_control_character() -> None:
    quantity = Quantity.model_validate({"type": "string", "choices": ["Nord"]})
    assert quantity.refusal("S\xfcd\x1b\u202e\udc80").endswith("got 'S\xfcd\\x1b\\u202e\\udc80'")


@pytest.mark.parametrize(
    ("declaration", "value", "told"),
    [
        ({"above": 0}, -1, "-1 J/K is not above 0.0"),
        ({"above": 0, "below": 9}, 9, "9 J/K is not below 9.0"),
        ({"range": [-5, 5]}, 6, "6 J/K is not in [-5.0, 5.0]"),
    ],
)
def test_a_limit_is_told_as_it_was_declared(declaration: dict[str, Any], value: float, told: str) -> None:
    assert Quantity.model_validate({"unit": "J/K"} | declaration).refusal(value) == told


@given(st.sampled_from(["float", "int", "bool", "string"]), st.data())
def test_an_encoded_value_decodes_to_itself(kind: str, data: st.DataObject) -> None:
    values: dict[str, st.SearchStrategy[Any]] = {
        "float": st.floats(allow_nan=False, allow_infinity=False),
        "int": st.integers(-(2**53), 2**53),
        "bool": st.booleans(),
        "string": st.sampled_from(["a", "b", "c"]),
    }
    value = data.draw(values[kind])
    choices = ["a", "b", "c"] if kind == "string" else []
    declared = Parameter.model_validate({"type": kind, "choices": choices, "default": value})
    found = declared.decode(declared.encode(value))
    assert found == value
    assert type(found) is type(value)


# -- bundles ----------------------------------------------------------------------------------------------------------

contents = st.dictionaries(
    st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5}){0,2}\.(py|csv)", fullmatch=True), st.binary(max_size=200), max_size=4
)


@given(contents)
def test_a_bundle_unpacks_to_itself_and_depends_on_nothing_but_its_files(files: dict[str, bytes]) -> None:
    one = bundle_of(files)
    other = bundle_of(dict(reversed(files.items())))
    assert one.hash == other.hash
    assert one.pack() == other.pack()
    assert unpack(b"".join(chunks_of(one.pack())), one.hash).files == files


@given(contents, contents)
def test_other_files_have_another_hash(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert (bundle_of(one).hash == bundle_of(other).hash) == (one == other)


def test_a_byte_that_moves_between_files_changes_the_hash() -> None:
    assert bundle_of({"a": b"xy", "b": b"z"}).hash != bundle_of({"a": b"x", "b": b"yz"}).hash


def test_a_change_of_what_no_step_reads_is_no_other_version(tmp_path: Path) -> None:
    text = GOOD.replace("steps.py:alarm", "test_alarm.py:alarm")
    for name in ("steps.py", "data/a.csv", "test_alarm.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "twin.yaml").write_text(text)
    before = read_folder(tmp_path)
    assert set(before.files) == {"twin.yaml", "steps.py", "data/a.csv", "test_alarm.py"}
    for name in (
        "README.md",
        "probe-a.svg",
        "test_probe.py",
        "probe_test.py",
        "conftest.py",
        "steps.pyc",
        ".gitignore",
    ):
        (tmp_path / name).touch()
    assert read_folder(tmp_path) == before
    (tmp_path / "data/a.csv").write_text("1")
    assert read_folder(tmp_path).hash != before.hash


def test_a_folder_is_read_without_caches_and_written_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "type"
    for name, text in {
        "twin.yaml": GOOD,
        "steps.py": "x",
        "data/a.csv": "1",
        "__pycache__/steps.pyc": "no",
        ".git/config": "no",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    found = read_folder(folder)
    assert set(found.files) == {"twin.yaml", "steps.py", "data/a.csv"}
    assert found.definition().name == "probe"
    found.write(tmp_path / "copy")
    assert read_folder(tmp_path / "copy") == found


def test_a_folder_without_a_definition_with_links_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DefinitionError, match="not found"):
        read_folder(tmp_path)
    (tmp_path / "twin.yaml").write_text(GOOD)
    (tmp_path / "link.py").symlink_to("/etc/passwd")
    with pytest.raises(DefinitionError, match="is a link"):
        read_folder(tmp_path)
    (tmp_path / "link.py").unlink()
    monkeypatch.setattr(bundles, "BUNDLE_LIMIT_BYTES", 1 << 20)
    (tmp_path / "large.bin").write_bytes(bytes(1 << 20))
    with pytest.raises(DefinitionError, match="more than 1 MiB"):
        read_folder(tmp_path)


def test_a_definition_that_is_no_utf_8_is_a_fault() -> None:
    with pytest.raises(DefinitionError, match="UTF-8"):
        bundle_of({"twin.yaml": b"name: \xff"}).definition()


def _archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil", "a/../../evil", ".."])
def test_a_path_that_leads_outside_is_refused_in_archives_and_when_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"unsafe|no plain file"):
        unpack(_archive((tarfile.TarInfo(name), b"x")), bundle_of({name: b"x"}).hash)
    with pytest.raises(ValueError, match="unsafe"):
        bundle_of({name: b"x"}).write(tmp_path / "inner")
    assert list(tmp_path.rglob("evil*")) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_links_and_folders_in_an_archive_are_refused(kind: bytes) -> None:
    member = tarfile.TarInfo("a.py")
    member.type, member.linkname = kind, "/etc/passwd"
    with pytest.raises(ValueError, match="no plain file"):
        unpack(_archive((member, b"")), "0" * 64)


def test_a_few_bytes_that_swell_to_many_are_refused_before_they_do() -> None:
    # The header of one file may carry any amount of remarks, which count as no file.
    remarks = tarfile.TarInfo("a.py")
    remarks.type, remarks.size = tarfile.XHDTYPE, 100 << 20
    packed = lzma.compress(remarks.tobuf(tarfile.USTAR_FORMAT) + bytes(remarks.size), preset=1)
    assert len(packed) < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="too large"):
            unpack(packed, "0" * 64)
        assert tracemalloc.get_traced_memory()[1] < 80 << 20
    finally:
        tracemalloc.stop()


def test_files_whose_names_or_number_no_bundle_can_hold_are_located(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "twin.yaml").write_text("")
    (tmp_path / ("a" * 150)).write_text("")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.py")).write_text("")
    with pytest.raises(DefinitionError) as refused:
        read_folder(tmp_path)
    assert [problem.message for problem in refused.value.problems] == [
        "its path is too long",
        "its name is not UTF-8",
    ]
    str(refused.value).encode()
    for path in set(tmp_path.iterdir()) - {tmp_path / "twin.yaml"}:
        path.unlink()
    (tmp_path / "b").write_text("")
    monkeypatch.setattr(bundles, "FILES_LIMIT", 1)
    with pytest.raises(DefinitionError, match="more than 1 files"):
        read_folder(tmp_path)


def test_a_bundle_that_is_laid_out_again_leaves_what_is_there_to_those_who_read_it(tmp_path: Path) -> None:
    one = bundle_of({"a/b.py": b"x = 1\n", "twin.yaml": b""})
    one.write(tmp_path)
    before = (tmp_path / "a/b.py").stat()
    (tmp_path / "twin.yaml").write_text("half of")
    reader = (tmp_path / "twin.yaml").open()
    one.write(tmp_path)
    after = (tmp_path / "a/b.py").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    with reader:
        assert reader.read() == "half of", "no file is cut while somebody reads it"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b.py", "twin.yaml"]


def test_an_archive_that_is_too_large_damaged_or_another_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one = bundle_of({"a.py": bytes(100_000)})
    packed = one.pack()
    with pytest.raises(ValueError, match="has the hash"):
        unpack(packed, "0" * 64)
    for damaged in (packed[: len(packed) // 2], b"", b"nonsense", packed[:20] + packed[20:60][::-1] + packed[60:]):
        with pytest.raises(ValueError, match="damaged"):
            unpack(damaged, one.hash)
    monkeypatch.setattr(bundles, "BUNDLE_LIMIT_BYTES", 50_000)
    with pytest.raises(ValueError, match="too large"):
        unpack(packed, one.hash)


def test_chunks_fit_and_join_to_the_whole() -> None:
    data = bytes(range(256)) * 5000
    chunks = chunks_of(data)
    assert b"".join(chunks) == data
    assert len(chunks) == 3
    assert max(map(len, chunks)) == CHUNK_BYTES == 524_288
    assert chunks_of(b"") == [b""]
    assert (chunk_key("ab", 3), key(TYPE, "plant-tank")) == (b"bundle/ab/3", b"type/plant-tank")


@pytest.mark.parametrize(
    ("outputs", "message"),
    [("[[]]", "a list of outputs is one of names"), ("[b, a, b, a]", "a, b named twice"), ("[a, 5]", "one of names")],
)
def test_a_list_of_outputs_is_one_of_different_names(outputs: str, message: str) -> None:
    text = (
        f"name: x\nversion: 1.0.0\ninputs: {{x: {{}}}}\npipeline: [{{name: s, step: threshold, outputs: {outputs}}}]\n"
    )
    assert [message in problem.message for problem in examine(text).problems] == [True]


@pytest.mark.parametrize("junk", ["5", "null", "[]", "[1]", "{a: 1}", "{5: 5}", '"x y"', "[[]]"])
@pytest.mark.parametrize("place", ["name", "version", "description", "inputs", "parameters", "pipeline", "outputs"])
def test_whatever_stands_in_a_definition_the_rest_is_still_read(place: str, junk: str) -> None:
    parts = {
        "name": "x",
        "version": "1.0.0",
        "inputs": "{x: {}}",
        "pipeline": "[{name: s, step: threshold, outputs: [y]}]",
        "outputs": "{timeseries: {fields: [nothing]}}",
    } | {place: junk}
    reading = examine("".join(f"{key}: {value}\n" for key, value in parts.items()))
    assert reading.problems
    if place in {"name", "version", "description"}:
        assert "no field nothing" in [problem.message for problem in reading.problems]


@pytest.mark.parametrize("value", [".inf", ".nan", "-1.0"])
@pytest.mark.parametrize("key", ["max_ahead_s", "refresh_s", "expires_s"])
def test_a_time_in_a_definition_is_a_finite_number(key: str, value: str) -> None:
    command = f"outputs: {{commands: {{heat: {{field: x, {key}: {value}}}}}}}\n"
    text = "name: x\nversion: 1.0.0\ninputs: {x: {}}\n"
    (problem,) = examine(text + (f"{key}: {value}\n" if key == "max_ahead_s" else command)).problems
    assert problem.path.endswith(key)
