"""Text that others wrote, where people and terminals see it."""

import io
import json
import sys
from collections.abc import Callable

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from infra.cli.output import as_text, fail, plain, show_json, show_json_line, show_table, show_tree
from infra.instance.console import Console
from infra.printable import json_line, printable

HOSTILE = "\x1b[2Ja\x9b31mb\u202ec\x00d\x7f\u200be\ud800"


@given(st.text(st.characters()))
def test_shown_text_is_one_printable_line(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(text) == text or not text.isprintable()


@given(st.recursive(st.text(st.characters()) | st.integers() | st.none(), st.lists))
def test_json_is_one_printable_line_and_says_the_same(value: object) -> None:
    assert json_line(value).isprintable()
    assert json.loads(json_line(value)) == value
    assert json.loads(json_line({"a": value}, indent=2)) == {"a": value}


@pytest.mark.parametrize(
    "show",
    [
        lambda: show_json({HOSTILE: [HOSTILE]}),
        lambda: show_json_line(HOSTILE),
        lambda: show_table(["a"], [[HOSTILE], [f"x{HOSTILE}"]], empty=""),
        lambda: show_tree({HOSTILE: HOSTILE, "b": {HOSTILE: [HOSTILE]}}),
        lambda: sys.stdout.write(plain({HOSTILE: HOSTILE})),
        lambda: sys.stdout.write(as_text(HOSTILE.encode(errors="replace"))),
        lambda: Console().say(HOSTILE),
        lambda: Console(as_json=True).say(HOSTILE),
        lambda: Console().url(HOSTILE, HOSTILE),
    ],
    ids=range(9),
)
def test_nothing_that_commands_show_commands_the_terminal(
    show: Callable[[], object], capsys: pytest.CaptureFixture[str]
) -> None:
    show()
    captured = capsys.readouterr().out
    assert captured
    assert all(line.isprintable() for line in captured.split("\n"))


def test_neither_does_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    told = io.StringIO()
    monkeypatch.setattr(sys, "stderr", told)
    with pytest.raises(typer.Exit):
        fail(f"twin {HOSTILE}\nsecond line")
    assert all(line.isprintable() for line in told.getvalue().split("\n"))
    assert told.getvalue().count("\n") == 2
