"""`twinstream try`: recorded values through the compiled steps, what is refused, and what is drawn."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from infra.authoring import trial as trial_module
from infra.authoring.folder import create
from infra.authoring.recording import Row
from infra.authoring.trial import PARTITIONS, Refusal, Trial, play
from infra.cli.app import app
from infra.cli.authoring import _notes
from schemas.bundle import read_folder
from schemas.clock import NS_PER_S, ManualClock
from twins.twin_type import TwinType

HEAD = "time,temperature\n"
BAD = HEAD + (
    "2026-01-01T12:00:00Z,20\n"
    "2026-01-01T12:00:10Z,abc\n"
    "2026-01-01T12:00:20Z,999\n"
    "\n"
    "yesterday,20.25\n"
    "2026-01-01T12:00:30Z,nan\n"
    "2026-01-01T12:00:40Z,true\n"
    "2026-01-01T12:00:50Z,\n"
    "2026-01-01T12:00:55Z\n"
    "2026-01-01T12:01:00Z,21\n"
    "2026-01-01T12:01:00Z,21\n"
    "2026-01-01T12:00:59Z,21\n"
)
REFUSED = [
    (3, "wrong_type", "2026-01-01T12:00:10Z,abc"),
    (4, "out_of_range", "2026-01-01T12:00:20Z,999"),
    (6, "invalid_time", "yesterday,20.25"),
    (7, "not_finite", "2026-01-01T12:00:30Z,nan"),
    (8, "wrong_type", "2026-01-01T12:00:40Z,true"),
    (9, "missing_field", "2026-01-01T12:00:50Z,"),
    (10, "undecodable", "2026-01-01T12:00:55Z"),
]
PASSED_OVER = [(12, "duplicate", "2026-01-01T12:01:00Z,21"), (13, "late", "2026-01-01T12:00:59Z,21")]


@pytest.fixture(scope="module")
def pump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("types")
    create("pump", parent)
    return parent / "pump"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keeps what is compiled, for all tests."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["twinstream"])


def _try(pump: Path, data_dir: Path, text: str, *words: str, code: int = 0) -> str:
    Path("data.csv").write_text(text)
    result = CliRunner().invoke(app, ["try", str(pump), "data.csv", "--data-dir", str(data_dir), *words])
    assert result.exit_code == code, result.output
    return result.output


def _recording(count: int) -> str:
    rows = (f"{1_767_268_800_000_000_000 + index * 10**10},{20 + index % 90}\n" for index in range(count))
    return HEAD + "".join(rows)


def test_each_refused_record_is_a_line_with_its_reason_and_raw_value_then_their_number(
    pump: Path, data_dir: Path
) -> None:
    lines = _try(pump, data_dir, BAD).splitlines()
    told = [re.fullmatch(r"line (\d+): (\w+): .*: (.*)", line) for line in lines[: len(REFUSED) + 2]]
    assert [(int(match[1]), match[2], match[3]) for match in told if match] == REFUSED + PASSED_OVER
    assert lines[len(REFUSED) + 2] == "7 of 11 records refused"
    assert "accepted 2, duplicate 1, late 1" in lines


def test_a_document_tells_the_same(pump: Path, data_dir: Path, tmp_path: Path) -> None:
    said = json.loads(_try(pump, data_dir, BAD, "--json"))
    assert [(item["line"], item["reason"], item["raw"]) for item in said["refusals"]] == REFUSED
    assert [(item["line"], item["reason"], item["raw"]) for item in said["passed_over"]] == PASSED_OVER
    counts = {name: said[name] for name in ("records", "accepted", "duplicate", "late", "refused", "simulated_s")}
    assert counts == {"records": 11, "accepted": 2, "duplicate": 1, "late": 1, "refused": 7, "simulated_s": 60.0}
    assert (said["type"], said["version"], said["svg"]) == ("pump", "1.0.0", str(tmp_path / "pump-data.svg"))


def test_stored_fields_are_drawn_on_the_terminal_and_into_the_current_folder(
    pump: Path, data_dir: Path, tmp_path: Path
) -> None:
    said = _try(pump, data_dir, _recording(500))
    for title in ("temperature [degC]", "smoothed [degC]", "too_hot"):
        assert f"\n{title}\n" in said
    assert re.search(r"^\d\S* s of computing per simulated hour", said, re.MULTILINE)
    assert re.search(r"^events \d+ \(too_hot \d+\)$", said, re.MULTILINE)
    assert [path.name for path in tmp_path.glob("*.svg")] == ["pump-data.svg"]
    picture = ET.parse(tmp_path / "pump-data.svg").getroot()  # noqa: S314 - our own
    assert len(picture.findall("{http://www.w3.org/2000/svg}polyline")) == 3


def test_seconds_since_1970_are_taken_as_the_nanoseconds_that_they_are_with_a_note(pump: Path, data_dir: Path) -> None:
    text = HEAD + "1767268800,20\n1767268801,21\n"
    (note,) = json.loads(_try(pump, data_dir, text, "--json"))["notes"]
    assert "look like seconds" in note


@pytest.mark.parametrize(
    ("trial", "notes"),
    [
        (
            Trial(records=2, refused=2, reasons={"invalid_time": (2, 2)}),
            ["no time could be read: write them as 2026-01"],
        ),
        (Trial(records=2, refused=1, reasons={"invalid_time": (2, 1)}), []),
        (
            Trial(records=9, refused=4, reasons={"step_failed": (5, 1), "quarantined": (6, 3)}),
            ["a step failed at line 5, and the 3 records behind it met a twin in quarantine"],
        ),
        (Trial(left_out={7: 100}), ["line 7: so long after the line before that 100 of the ticks in between were not"]),
    ],
)
def test_what_many_lines_have_in_common_is_noted_behind_them(trial: Trial, notes: list[str]) -> None:
    found = _notes(trial)
    assert len(found) == len(notes)
    assert all(one.startswith(expected) for one, expected in zip(found, notes, strict=True))


def test_a_trial_makes_no_data_directory_where_there_is_none(
    pump: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINSTREAM_CACHE", str(data_dir))  # where this is compiled already
    Path("data.csv").write_text(_recording(2))
    assert CliRunner().invoke(app, ["try", str(pump), "data.csv"]).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.csv", "pump-data.svg"]


def test_a_recording_of_which_all_is_refused_is_told_and_is_no_failure(pump: Path, data_dir: Path) -> None:
    said = _try(pump, data_dir, HEAD + "1,abc\n2,abc\n")
    assert "2 of 2 records refused\naccepted 0" in said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("time\n1\n", "no column temperature"),
        ("time,temperature,humidity\n1,1,1\n", "unknown column humidity"),
        (HEAD, "data.csv holds no record"),
    ],
)
def test_a_file_that_can_t_be_played_is_one_line(pump: Path, data_dir: Path, text: str, why: str) -> None:
    said = _try(pump, data_dir, text, code=1)
    assert said.startswith("twinstream: data.csv")
    assert why in said
    assert said.count("\n") == 1


def test_a_file_that_is_not_there_is_one_line(pump: Path, data_dir: Path) -> None:
    result = CliRunner().invoke(app, ["try", str(pump), "gone.csv", "--data-dir", str(data_dir)])
    assert result.exit_code == 1
    assert result.output == "twinstream: gone.csv can't be read: No such file or directory\n"


def test_faults_of_the_folder_are_told_as_check_tells_them(tmp_path: Path, data_dir: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "twin.yaml").write_text("name: bad\nversion: 1.0.0\ninputs: {t: {type: complex}}\n")
    said = _try(folder, data_dir, HEAD, code=1)
    assert said.startswith(f"twinstream: {folder}/twin.yaml:3: inputs.t.type: ")


def test_a_declared_type_has_its_twin(pump: Path, data_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "declared"
    folder.mkdir()
    for file in pump.glob("*.py"):
        (folder / file.name).write_text(file.read_text())
    (folder / "twin.yaml").write_text((pump / "twin.yaml").read_text() + "provision: declared\n")
    said = json.loads(_try(folder, data_dir, _recording(3), "--json"))
    assert (said["accepted"], said["refused"], said["events"]) == (3, 0, {})


def test_a_trial_does_not_depend_on_how_its_records_are_cut(
    pump: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = read_folder(pump)
    twin_type = TwinType.load(pump, bundle.definition(), bundle.hash, PARTITIONS, data_dir / "kernels")
    start_ns = 1_767_268_800_000_000_000
    rows = [
        Row(2 + n, "", start_ns + n * 10**9, b'{"time":%d,"temperature":%d}' % (start_ns + n * 10**9, n % 140), "")
        for n in range(1000)
    ]
    found = []
    for size in (1, 7, 2000):
        monkeypatch.setattr(trial_module, "_BLOCK_RECORDS", size)
        refused: list[Refusal] = []
        trial = play(twin_type, rows, refused.extend, clock=ManualClock())
        found.append((refused, trial.events, trial.accepted, trial.simulated_s, trial.curves["smoothed"].points()))
    assert found[0] == found[1] == found[2]
    assert len(found[0][0]) == 7 * 19


SILENT = """\
name: silent
version: 1.0.0
tick_s: 10
inputs: {x: {}}
pipeline:
  - name: silence
    step: staleness
    runs_on: both
    config: {max_age_s: 30, since: record}
    outputs: {silent: {type: bool}, silent_s: {unit: s}}
outputs:
  timeseries: {fields: [silent, silent_s], when: both}
  events: {fell_silent: {when: silent}}
"""


def test_time_goes_by_between_the_rows_of_a_type_with_ticks_and_not_behind_the_last(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "silent"
    folder.mkdir()
    (folder / "twin.yaml").write_text(SILENT)
    definition = read_folder(folder).definition()
    twin_type = TwinType.load(folder, definition, "silent", PARTITIONS, data_dir / "kernels")
    start_ns = 1_767_268_800 * NS_PER_S
    rows = [
        Row(line, "", start_ns + s * NS_PER_S, b'{"time":%d,"x":1}' % (start_ns + s * NS_PER_S), "")
        for line, s in ((2, 0), (3, 5), (4, 62))
    ]
    found = []
    for size in (1, 3, 2000):
        monkeypatch.setattr(trial_module, "_BLOCK_RECORDS", size)
        trial = play(twin_type, rows, lambda _: None)
        found.append((trial.ticks, trial.records, trial.events, trial.curves["silent_s"].points()))
    assert found[0] == found[1] == found[2]
    assert found[0][:3] == (6, 3, {"fell_silent": 1})
    times_ns, silent_s = found[0][3]
    assert [(time_ns - start_ns) / NS_PER_S for time_ns in times_ns] == [0, 5, 10, 20, 30, 40, 50, 60, 62]
    assert silent_s == pytest.approx([0, 0, 5, 15, 25, 35, 45, 55, 0])


SLOW = """\
name: slow
version: 1.0.0
inputs: {x: {}}
pipeline:
  - {name: slow, step: slow.py:wait, compiled: false, limits: {time_s: 0.1}, outputs: [y]}
outputs: {timeseries: {fields: [y]}}
"""
WAITING = """\
import time


def wait(x):
    if x == 3.0:
        time.sleep(60)
    return x
"""


def test_a_step_that_does_not_end_is_told_with_its_row(data_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "twin.yaml").write_text(SLOW)
    (folder / "slow.py").write_text(WAITING)
    rows = "\n".join(f"{n * NS_PER_S},{n}" for n in range(1, 6))
    (tmp_path / "rows.csv").write_text(f"time,x\n{rows}\n")
    done = CliRunner().invoke(
        app, ["try", str(folder), str(tmp_path / "rows.csv"), "--data-dir", str(data_dir), "--json"]
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["accepted"], told["refused"]) == (2, 3)
    assert [refusal["line"] for refusal in told["refusals"]] == [4, 5, 6]
    assert told["refusals"][0]["detail"].startswith("step slow took longer than its limit of 0.1 s")
    assert told["refusals"][0]["detail"].endswith("(slow.py:6)")


def test_a_step_in_plain_python_is_called_once_for_each_row(tmp_path: Path) -> None:
    (tmp_path / "twin.yaml").write_text("""\
name: counter
version: 1.0.0
inputs: {temperature: {}}
pipeline:
  - {name: one, step: "steps.py:one", compiled: false, outputs: [y]}
outputs: {timeseries: {fields: [y]}}
""")
    (tmp_path / "steps.py").write_text(
        "CALLS = []\n\n\ndef one(temperature):\n    CALLS.append(1)\n    return len(CALLS)\n"
    )
    bundle = read_folder(tmp_path)
    twin_type = TwinType.load(tmp_path, bundle.definition(), bundle.hash, PARTITIONS, tmp_path / "cache")
    twin_type.warm_up()
    rows = [Row(n, "", n * NS_PER_S, b'{"time":%d,"temperature":20}' % (n * NS_PER_S), "") for n in (2, 3)]
    assert play(twin_type, rows, lambda _: None).curves["y"].points()[1] == [1.0, 2.0]
