"""`check` as a process: its author's code may do what it likes, and every fault is one line with its place."""

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from infra.authoring.checking import check_apart, end_checks, examine_apart
from infra.cli.app import app
from schemas.bundle import read_folder
from twins.authored import AuthoredCode

ROOT = Path(__file__).parents[2]
DEFINITION = """\
name: pump
version: 1.0.0
inputs: {flow: {unit: m}}
pipeline:
  - {name: double, step: "steps.py:double", outputs: {twice: {unit: m}}}
outputs: {timeseries: {fields: [twice]}}
"""
STEPS = "\n\ndef double(flow):\n    return flow + flow\n"
LINE = re.compile(r"[^:]+/(?P<file>[\w.]+):(?P<line>[1-9]\d*): (?P<path>[\w.]+): (?P<message>.+) \((?P<remedy>.+)\)")


def _write(folder: Path, definition: str = DEFINITION, steps: str = STEPS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "twin.yaml").write_text(definition)
    (folder / "steps.py").write_text(steps)
    return folder


def _check(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra", "check", *words],
        cwd=cwd,
        env={
            "PYTHONPATH": str(ROOT),
            "PATH": "/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TWINSTREAM_CACHE": str(cwd / ".cache"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_fault_is_a_line_with_its_place_and_the_process_ends_with_1(tmp_path: Path) -> None:
    _write(tmp_path / "units", DEFINITION.replace("{unit: m}", "{unit: m**zz}", 1))
    _write(tmp_path / "syntax", DEFINITION.replace("{unit: m}", "{unit: m", 1))
    _write(tmp_path / "twice", f"{DEFINITION}name: other\n")
    _write(tmp_path / "many", DEFINITION.replace("[twice]", "[once]"), STEPS.replace("flow + flow", "flow + flaw"))
    _write(tmp_path / "compiled", steps=STEPS.replace("flow + flow", "flow.real_part"))
    done = _check("units", "syntax", "twice", "many", "compiled", "nowhere", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    *lines, last = done.stdout.splitlines()
    found = [match for line in lines if (match := LINE.fullmatch(line))]
    assert len(found) == len(lines), lines
    assert [
        (line.partition("/")[0], match["file"], int(match["line"]), match["path"])
        for line, match in zip(lines, found, strict=True)
    ] == [
        ("units", "twin.yaml", 3, "inputs.flow.unit"),
        ("syntax", "twin.yaml", 3, "file"),
        ("twice", "twin.yaml", 7, "name"),
        ("many", "twin.yaml", 6, "outputs.timeseries.fields.0"),
        ("many", "steps.py", 4, "double"),
        ("compiled", "steps.py", 4, "double"),
        ("nowhere", "twin.yaml", 1, "file"),
    ]
    assert last.startswith("7 problems in ")


def test_without_a_path_the_folder_itself_is_checked(tmp_path: Path) -> None:
    _write(tmp_path, DEFINITION.replace("pump", "Pump"))
    done = _check(cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("twin.yaml:1: name: ")


@pytest.mark.parametrize(
    ("before", "problem"),
    [
        ("print('{}')\nimport atexit\natexit.register(print, '[]')\n", None),
        ("import sys\nsys.stdout and sys.stdout.close()\nsys.stdout = None\n", None),
        ("import warnings\nwarnings.warn('careful')\n", None),
        ("import sys\nsys.exit(0)\n", ("steps.py", 2, "file", "import failed: SystemExit")),
        ("import os\nos._exit(3)\n", ("twin.yaml", 1, "file", "checking it ended its process with exit code 3")),
        (
            "import ctypes\nctypes.string_at(0)\n",
            ("steps.py", 2, "import", "checking it ended its process with exit code"),
        ),
        ("\nwhile True:\n    pass\n", ("steps.py", 3, "import", "import takes more than 2 s")),
        ("def f():\n    while True: pass\nf()\n", ("steps.py", 2, "f", "import takes more than 2 s")),
    ],
    ids=["prints", "closes", "warns", "exits", "exits at once", "crashes", "hangs", "hangs below"],
)
def test_whatever_a_module_does_when_it_is_imported_is_no_trace(
    tmp_path: Path, before: str, problem: tuple[str, int, str, str] | None
) -> None:
    found = check_apart(_write(tmp_path / "pump", steps=before + STEPS), import_limit_s=2.0)
    assert bool(found) == bool(problem), found
    if problem:
        file, line, path, message = problem
        assert (found[0].file, found[0].path) == (file, path)
        assert message in found[0].message
        assert found[0].line in {line, line - 1, line + 1} if "takes" in message else found[0].line == line


def test_checking_lets_whatever_else_runs_go_first(tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    steps = f"import os\nimport pathlib\n\npathlib.Path({str(noted)!r}).write_text(str(os.nice(0)))\n{STEPS}"
    assert check_apart(_write(tmp_path / "pump", steps=steps)) == []
    assert int(noted.read_text()) > os.nice(0)


def test_an_author_s_code_sees_none_of_our_variables_while_it_is_checked_or_stepped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TWINSTREAM_TIMESERIES__TOKEN", "twinstream_kafka__password", "TWINSTREAM_CONFIG"):
        monkeypatch.setenv(name, "pl4nted")
    monkeypatch.setenv("PLANT", "north")
    noted = tmp_path / "noted"
    steps = "import os\nimport pathlib\n\n"
    steps += f"with pathlib.Path({str(noted)!r}).open('a') as file:\n    print(dict(os.environ), file=file)\n{STEPS}"
    plain = DEFINITION.replace('step: "steps.py:double"', 'step: "steps.py:double", compiled: false')
    examine_apart(_write(tmp_path / "pump", plain, steps), costs=True)
    seen = noted.read_text().splitlines()
    assert len(seen) > 1
    assert all("'PLANT': 'north'" in one and "pl4nted" not in one for one in seen)


def test_a_check_whose_answer_nobody_waits_for_any_more_is_ended_and_nothing_else_is() -> None:
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen([*sleeping, "check-folder"]) as check, subprocess.Popen(sleeping) as other:
        end_checks()
        assert check.wait(10) == -9
        assert other.poll() is None
        other.kill()


def test_what_a_module_starts_ends_with_the_check(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    starting = "import pathlib, subprocess, sys\nsleeping = subprocess.Popen(['sleep', '600'])\n"
    starting += f"pathlib.Path({str(begun)!r}).write_text(str(sleeping.pid))\n"
    assert check_apart(_write(tmp_path / "pump", steps=starting + STEPS)) == []
    with contextlib.suppress(psutil.NoSuchProcess):
        # Nobody may be there to reap it.
        deadline_s = time.monotonic() + 5
        while psutil.Process(int(begun.read_text())).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)


def test_what_is_not_deployed_can_t_be_imported_by_a_step(tmp_path: Path) -> None:
    folder = _write(tmp_path / "pump", steps=f"\nimport test_tools  # noqa: F401\n{STEPS}")
    (folder / "test_tools.py").write_text("TWO = 2\n")
    (problem,) = check_apart(folder)
    assert (problem.file, problem.line) == ("steps.py", 2)
    assert problem.message == "imports test_tools.py, which is not deployed"
    (folder / "test_tools.py").rename(folder / "tools.py")
    (folder / "steps.py").write_text(f"import tools  # noqa: F401\n{STEPS}")
    assert check_apart(folder) == []


def test_a_library_that_is_installed_inside_the_folder_is_not_the_author_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _write(tmp_path / "pump", steps=f"import littlelib\n{STEPS}")
    packages = folder / ".venv" / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "littlelib.py").write_text("def two(): return 2\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(packages)])
    code = AuthoredCode(folder)
    try:
        library = code.function("steps.py:double").__globals__["littlelib"]
        assert sys.modules["littlelib"] is library
        assert not code.owns(library.two)
    finally:
        sys.modules.pop("littlelib", None)


def test_what_the_prose_of_a_definition_names_is_not_deployed_for_that(tmp_path: Path) -> None:
    words = "name: pump\ndescription: See README.md and test_a.py, picture.svg\n"
    folder = _write(tmp_path / "pump", DEFINITION.replace("name: pump\n", words).replace("steps.py", "odd/test_b.py"))
    (folder / "odd").mkdir()
    for name in ("README.md", "test_a.py", "picture.svg", "odd/test_b.py"):
        (folder / name).touch()
    assert sorted(read_folder(folder).files) == ["odd/test_b.py", "steps.py", "twin.yaml"]


def test_a_check_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    steps = f"import os, pathlib\npathlib.Path({str(begun)!r}).write_text(str(os.getpid()))\nwhile True: pass\n"
    folder = _write(tmp_path / "pump", steps=steps)
    asking = "import sys; from pathlib import Path; from infra.authoring.checking import check_apart\n"
    asking += "check_apart(Path(sys.argv[1]))"
    with subprocess.Popen([sys.executable, "-c", asking, str(folder)], cwd=ROOT) as asks:
        while not (begun.exists() and begun.read_text()):
            time.sleep(0.02)
        asks.kill()
    check = psutil.Process(int(begun.read_text()))
    with contextlib.suppress(psutil.NoSuchProcess):
        # Nobody may be there to reap it.
        deadline_s = time.monotonic() + 5
        while check.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)


def test_what_check_compiled_is_there_for_the_next_who_need_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _write(tmp_path / "pump")
    monkeypatch.setenv("TWINSTREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["check", str(folder)]).exit_code == 0
    kept = {path for path in (tmp_path / "cache").rglob("*") if path.suffix in {".nbi", ".nbc"}}
    assert kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "pump"]
