"""The documentation as a site: links lead somewhere, pages are in the navigation, nothing asks another host."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

_ROOT = Path(__file__).parents[2]
_FETCHED = re.compile(
    r"""<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href)=["'](?P<address>(?:https?:)?//[^"']+)"""
)


def _build(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("zensical")
    return subprocess.run(
        [str(program), "build", "--strict", "--config-file", str(folder / "mkdocs.yml")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "NO_COLOR": "1"},
        check=False,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(_ROOT / "docs", folder / "docs")
    shutil.copy(_ROOT / "mkdocs.yml", folder)
    done = _build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _named(entry: object) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, list):
        for one in entry:
            yield from _named(one)
    elif isinstance(entry, dict):
        for one in entry.values():
            yield from _named(one)


def test_every_page_is_in_the_navigation() -> None:
    named = set(_named(yaml.safe_load((_ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]))
    assert named == {file.name for file in (_ROOT / "docs").glob("*.md")} | {"adr/README.md"}


def test_pages_fetch_nothing_from_another_host(built: Path) -> None:
    pages = list((built / ".site").rglob("*.html"))
    assert len(pages) > 20
    fetched = {
        (page.name, found["address"])
        for page in pages
        for found in _FETCHED.finditer(page.read_text("utf-8"))
        if 'rel="canonical"' not in found[0]
    }
    assert not fetched


def test_a_link_that_leads_nowhere_fails(built: Path) -> None:
    page = built / "docs" / "index.md"
    page.write_text(page.read_text("utf-8") + "\n[nowhere](nowhere.md)\n", "utf-8")
    assert _build(built).returncode != 0
