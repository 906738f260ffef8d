"""The freezer of `docs/write-a-twin.md`, taken from the page and run."""

import json
import re
from pathlib import Path

import pytest
from reference.plain_twin import EXAMPLES, PlainTwin
from support.guide import blocks, said
from typer.testing import CliRunner

from infra.cli.app import app
from twins.check import check_folder
from twins.functions.registry import BUILT_INS

PAGE = (EXAMPLES.parent / "docs" / "write-a-twin.md").read_text()
HOUR_NS = 3_600_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "freezer"
    found.mkdir()
    for block in blocks():
        if block.file.startswith("freezer/"):
            (tmp_path / block.file).write_text(block.text)
    return found


def test_the_folder_of_the_guide_passes_the_check(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["spoilage.py", "test_freezer.py", "twin.yaml"]
    assert check_folder(folder) == []


def test_the_freezer_of_the_guide_does_what_the_guide_says(folder: Path) -> None:
    twin = PlainTwin(folder)
    start_ns = 1_700_000_000 * 10**9
    outputs = [twin.step({"time": start_ns + hour * HOUR_NS, "temperature": -10.0}) for hour in range(3)]
    assert [step["warmth"] for step in outputs] == [0.0, 8.0, 16.0]
    assert [step["spoiled"] for step in outputs] == [False, False, True]
    assert outputs[-1]["compressor_on"]
    assert twin.request("restock", {}) == "too warm for new goods"
    twin.step({"time": start_ns + 4 * HOUR_NS, "temperature": -24.0})
    assert twin.request("restock", {}) is None
    assert twin.step({"time": start_ns + 5 * HOUR_NS, "temperature": -24.0})["warmth"] == 0.0


def test_the_snippets_of_the_guide_print_what_they_say(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    snippets = [block for block in blocks() if block.language == "python" and not block.file]
    assert len(snippets) >= 2
    monkeypatch.chdir(folder.parent)
    for snippet in snippets:
        exec(snippet.text, {})  # noqa: S102 - it stands in the guide
        assert capsys.readouterr().out.splitlines() == said(snippet)


def test_the_recording_of_the_guide_is_tried_as_it_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (recording,) = [block for block in blocks() if block.language == "csv"]
    (folder.parent / recording.file).write_text(recording.text)
    monkeypatch.chdir(folder.parent)
    trial = json.loads(CliRunner().invoke(app, ["try", "freezer", "freezer.csv", "--json"]).stdout)
    assert [(refusal["line"], refusal["reason"]) for refusal in trial["refusals"]] == [(5, "out_of_range")]
    assert (trial["accepted"], list(trial["commands"])) == (4, ["compressor"])
    assert (folder.parent / "freezer-freezer.svg").is_file()


def test_the_guide_names_every_built_in() -> None:
    named = set(re.findall(r"^\| `(\w+)` \| (?:`|the names)", PAGE, re.MULTILINE))
    assert set(BUILT_INS) <= named


@pytest.mark.slow
def test_the_filter_of_the_guide_finds_the_loss_of_a_room(tmp_path: Path) -> None:
    (model,) = [text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "def transition(" in text]
    (steps,) = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "extended_kalman_filter" in text]
    declared = (
        "name: room\nversion: 1.0.0\ninputs: {temperature: {}, power: {}}\nparameters: {capacity: {default: 50000.0}}\n"
    )
    (tmp_path / "twin.yaml").write_text(f"{declared}pipeline:\n{steps}outputs: {{timeseries: {{fields: [loss]}}}}\n")
    (tmp_path / "model.py").write_text(model)
    assert check_folder(tmp_path) == []
    twin = PlainTwin(tmp_path)
    for second in range(0, 6000, 10):
        step = twin.step({"time": second * 10**9, "temperature": 20.0 + second * (900.0 - 400.0) / 5e4, "power": 900.0})
    assert step["loss"] == pytest.approx(400.0, abs=2.0)
    assert not step["drifting"]
