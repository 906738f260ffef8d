import zipfile
from pathlib import Path

import pytest

from infra.console import deploying
from infra.console.deploying import RefusedError, deploy_files
from infra.console.letter_dialog import payload_text
from infra.console.log_lines import LogLines
from infra.console.pipeline_drawing import drawing
from infra.console.pipeline_graph import nodes_of
from infra.console.receiving import _safe
from infra.settings import Settings
from schemas.definition_file import read_definition
from streams.log.record import LogRecord


async def _refusal(folder: Path, *names: str) -> str:
    with pytest.raises(RefusedError) as raised:
        await deploy_files(Settings(), folder, [folder / name for name in names], lambda _: None)
    return str(raised.value)


@pytest.mark.parametrize("name", ["../a", "/etc/a", "a/../../b", "", "a\0b", "x" * 501])
def test_a_dropped_file_can_t_leave_its_folder(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a file"):
        _safe(name)


async def test_a_zip_that_names_a_file_outside_of_its_folder_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../../twin.yaml", "name: a")
    assert "outside of its folder" in await _refusal(tmp_path, "a.zip")
    assert not (tmp_path.parent / "twin.yaml").exists()


async def test_a_zip_that_swells_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploying, "BUNDLE_LIMIT_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("twin.yaml", "x" * 1001)
    assert "at most" in await _refusal(tmp_path, "a.zip")


async def test_what_is_no_zip_and_a_folder_without_a_definition_are_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("nothing")
    assert "can't be read" in await _refusal(tmp_path, "a.zip")
    assert "there is no twin.yaml" in await _refusal(tmp_path)


def test_a_payload_is_shown_as_json_as_text_or_as_digits() -> None:
    assert payload_text(b'{"a":1}') == '{\n  "a": 1\n}'
    assert payload_text(b"warm\x07") == "warm\N{REPLACEMENT CHARACTER}"
    assert payload_text(b"\xff\x00") == "ff 00"
    assert payload_text(b"") == "(empty)"


def test_log_lines_are_chosen_by_role_level_and_words_and_no_trace_is_shown_whole() -> None:
    lines = LogLines()
    texts = (
        b'{"event": "ready", "role": "api", "level": "info"}',
        b'{"event": "failed", "role": "worker", "level": "error", "exception": "Traceback\\n  line\\nOSError: disk"}',
        b"no json",
    )
    lines.apply(LogRecord("twinstream.logs", 0, at, at, b"k", text, ()) for at, text in enumerate(texts))
    assert [line["text"] for line in lines.newest(10, level="error")] == ["failed OSError: disk"]
    assert [line["role"] for line in lines.newest(10, role="api")] == ["api"]
    assert len(lines.newest(10)) == 3
    assert lines.newest(10, words="DISK")[0]["role"] == "worker"


def test_a_pipeline_is_drawn_from_inputs_to_outputs_and_hides_nothing_of_an_author_in_markup() -> None:
    text = """
name: box
version: 1.0.0
inputs: {t: {}}
pipeline:
  - {name: first, step: "a.py:one", outputs: {u: {}}}
  - {name: second, step: "a.py:two", inputs: {old: {previous: w}}, outputs: {w: {}, v: {}}}
outputs: {timeseries: {fields: [v]}}
"""
    files = {"a.py": b"def one(t): ...\ndef two(u, old): ..."}
    nodes = {node.name: node for node in nodes_of(read_definition(text), files)}
    assert nodes["first"].needs == {"inputs": False}
    assert nodes["second"].needs == {"first": False}
    assert nodes["time series"].needs == {"second": False}
    assert [nodes[name].column for name in ("inputs", "first", "second", "time series")] == [0, 1, 2, 3]
    assert "<script" not in drawing(list(nodes.values()), '"><script>').svg
