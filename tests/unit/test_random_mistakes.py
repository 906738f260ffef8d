"""Right folders with random mistakes, several at once: a check ends in faults with their places, never in a trace."""

import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.wrong_definitions import KINDS

from twins.check import check_folder
from twins.kernel.trial_faults import Tried

ROOT = Path(__file__).parents[2]
FOLDERS = [*sorted((ROOT / "examples").glob("*/")), ROOT / "tests" / "types" / "everything"]
FOLDERS = [folder for folder in FOLDERS if (folder / "twin.yaml").is_file()]
LINE = re.compile(r"[^:]+:[1-9]\d*: [^ ]([^:]|:(?! ))*: .+ \(.+\)")
VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, float("nan"), "", "x", "a b", "a > 3", "1.0", [], [1], ["a", "a"], {}, {1: 2}
]  # fmt: skip
LIMITED = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=12)


@pytest.fixture(autouse=True)
def _without_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes seconds."""
    monkeypatch.setattr("twins.check.compile_faults", lambda *_: [])
    monkeypatch.setattr("twins.check._compiled", lambda *_: Tried())


def _mutated(text: str, chance: random.Random) -> str:
    """A definition with one mistake more."""
    wrongs = list(chance.choice(KINDS)(text))
    return chance.choice(wrongs).text if wrongs else text


def _replaced(text: str, chance: random.Random) -> str:
    """A definition with any value in any place, any key moved, or something missing."""
    try:
        whole = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text
    part: Any = whole
    while isinstance(part, dict | list) and part:
        key = chance.choice(list(part) if isinstance(part, dict) else range(len(part)))
        if chance.random() < 0.3 or not isinstance(part[key], dict | list) or not part[key]:
            kind = chance.randrange(3)
            if kind == 0:
                del part[key]
            elif kind == 1 and isinstance(part, dict):
                part[chance.choice(["x", "inputs", "outputs", 3])] = part.pop(key)
            else:
                part[key] = chance.choice(VALUES)
            break
        part = part[key]
    return yaml.safe_dump(whole, sort_keys=False)


def _cut(text: str, chance: random.Random) -> str:
    """A text with some of its letters gone, doubled, or elsewhere."""
    first, last = sorted(chance.randrange(len(text) + 1) for _ in range(2))
    last = min(last, first + 20)
    return chance.choice(
        [text[:first] + text[last:], text[:last] + text[first:], text[:first] + text[last:] + text[first:last]]
    )


def _made(folder: Path, source: Path, chance: random.Random) -> None:
    for file in source.glob("*.py"):
        code = file.read_text()
        (folder / file.name).write_text(_cut(code, chance) if chance.random() < 0.2 else code)
    definition = (source / "twin.yaml").read_text()
    for _ in range(chance.randint(1, 4)):
        if not definition:
            break
        change = chance.choice([_mutated, _mutated, _replaced, _replaced, _cut])
        try:
            definition = change(definition, chance)
        except (yaml.YAMLError, RecursionError):
            definition = _cut(definition, chance)
    (folder / "twin.yaml").write_text(definition)


def _is_told(folder: Path, source: Path, chance: random.Random) -> None:
    _made(folder, source, chance)
    problems = check_folder(folder)
    lines = [str(problem) for problem in problems]
    assert len(lines) == len(set(lines))
    for line in lines:
        assert LINE.fullmatch(line), line
        assert "Traceback" not in line
        assert len(line) < 800, line


@LIMITED
@given(source=st.sampled_from(FOLDERS), chance=st.randoms(use_true_random=False))
def test_random_mistakes_are_told_with_their_places(
    tmp_path_factory: pytest.TempPathFactory, source: Path, chance: random.Random
) -> None:
    _is_told(tmp_path_factory.mktemp("type"), source, chance)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(LIMITED, max_examples=100)
@given(source=st.sampled_from(FOLDERS), chance=st.randoms(use_true_random=False))
def test_many_random_mistakes_are_told_with_their_places(
    tmp_path_factory: pytest.TempPathFactory, source: Path, chance: random.Random
) -> None:
    _is_told(tmp_path_factory.mktemp("type"), source, chance)
