"""Warnings of what a command uses do not stand among its results."""

import contextlib
import io
import subprocess
import sys

import structlog
from typer.testing import CliRunner

from infra.cli.app import app

_CODE = """
import structlog
from typer.testing import CliRunner
from infra.cli.app import app

@app.command()
def noisy() -> None:
    structlog.get_logger("x").warning("kafka is slow")
    print('{"result": 1}')

app(["noisy"])
"""


def test_log_lines_of_a_command_go_to_standard_error() -> None:
    ran = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == '{"result": 1}\n'
    assert "kafka is slow" in ran.stderr


def test_lines_after_a_command_are_not_written_to_the_standard_error_it_had() -> None:
    CliRunner().invoke(app, ["types", "--help"])
    now = io.StringIO()
    with contextlib.redirect_stderr(now):
        structlog.get_logger("x").warning("still there")
    assert "still there" in now.getvalue()
