"""The pinned packages against pyproject.toml: nothing forgotten, nothing without a hash, no address of anybody's."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

_ROOT = Path(__file__).parents[2]
_FILES = (
    "requirements.txt",
    "requirements-dev.txt",
    "infra/deploy/requirements.txt",
    "tests/servers/secantus-requirements.txt",
    "tests/servers/openapi-python-client-requirements.txt",
)
_ROOMS = ("schemas", "streams", "twins", "connectors", "infra")
_PIN = re.compile(
    r"^([A-Za-z0-9._-]+)==(\S+)(?: ; [^\\]+)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


def _pins(file: str) -> dict[str, Version]:
    return {name: Version(version) for name, version, _ in _PIN.findall((_ROOT / file).read_text("utf-8"))}


@pytest.mark.parametrize("file", _FILES)
def test_every_line_is_a_pin_with_hashes(file: str) -> None:
    assert _PIN.sub("", (_ROOT / file).read_text("utf-8")) == ""


@pytest.mark.parametrize(
    ("file", "extras"),
    [
        ("requirements.txt", ()),
        ("requirements-dev.txt", ("dev",)),
        ("infra/deploy/requirements.txt", ("traces",)),
    ],
)
def test_every_declared_package_is_pinned_within_its_range(file: str, extras: tuple[str, ...]) -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))
    declared = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for extra in extras:
        declared += project["project"]["optional-dependencies"][extra]
    pins = _pins(file)
    wrong = [
        requirement
        for requirement in map(Requirement, declared)
        if (pin := pins.get(canonicalize_name(requirement.name))) is None or pin not in requirement.specifier
    ]
    assert not wrong, "run scripts/lock python"


def test_tests_run_on_the_versions_that_users_get() -> None:
    image, tests = _pins("infra/deploy/requirements.txt"), _pins("requirements-dev.txt")
    assert _pins("requirements.txt").items() <= image.items() <= tests.items()


def _imported(folder: str) -> Iterator[str]:
    for file in (_ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module


@pytest.mark.parametrize("room", _ROOMS)
def test_every_package_that_is_imported_is_declared(room: str) -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    texts = [*project["dependencies"], *project["optional-dependencies"]["traces"]]
    declared = {canonicalize_name(Requirement(text).name) for text in texts}
    providers = packages_distributions()
    imported = {name.partition(".")[0] for name in _imported(room)} - sys.stdlib_module_names - {*_ROOMS}
    missing = {name for name in imported if not {canonicalize_name(p) for p in providers[name]} & declared}
    assert not missing
