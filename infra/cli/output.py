"""What commands show: tables and lines for people, JSON for machines, errors without traces."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

import typer

from infra.printable import json_line, printable

FAILED = 1
JSON_OPTION = "--json"


def show_json(value: object) -> None:
    """One JSON document."""
    sys.stdout.write(json_line(value, indent=2 if sys.stdout.isatty() else None) + "\n")


def show_json_line(value: object) -> None:
    """One JSON document of many, at once."""
    sys.stdout.write(json_line(value) + "\n")
    sys.stdout.flush()


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table, or `empty` when there are no rows; cells that are too wide for a terminal wrap."""
    found = [[plain(cell.strip() if isinstance(cell, str) else cell) for cell in row] for row in rows]
    if not found:
        typer.echo(empty)
        return
    if not sys.stdout.isatty():
        # For grep and awk: no frame, nothing cut.
        widths = [max(len(line[index]) for line in [list(columns), *found]) for index in range(len(columns))]
        for line in [[column.upper() for column in columns], *found]:
            typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        return
    from rich.console import Console  # noqa: PLC0415 - only for people at a terminal
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for line in found:
        table.add_row(*map(Text, line))
    Console().print(table)


def show_tree(values: Mapping[str, Any], indent: int = 0) -> None:
    """Nested values, one a line."""
    width = max((len(key) for key in values), default=0)
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            typer.echo(f"{' ' * indent}{printable(key)}:")
            show_tree(value, indent + 2)
        else:
            typer.echo(f"{' ' * indent}{printable(key).ljust(width)}  {plain(value)}")


def plain(value: object) -> str:
    """A value as people read it; control characters of hostile text are shown, not obeyed."""
    if value is None or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return printable(value if isinstance(value, str) else json_line(value))


def as_text(raw: bytes) -> str:
    """Bytes for a terminal: text as it is, without control characters, else hexadecimal."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return f"0x{raw[:256].hex()}{'…' if len(raw) > 256 else ''}"  # noqa: PLR2004 - a terminal's worth
    return "\n".join(plain(line) for line in text.splitlines())


def local_time(time_ns: int) -> str:
    """A time as people here write it, to the second."""
    return str(datetime.fromtimestamp(time_ns // 10**9, UTC).astimezone())


def end_process(message: str) -> NoReturn:
    """End as `fail` does, but at once and from any thread, whatever else goes on in this process."""
    try:
        fail(message)
    except typer.Exit:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(FAILED)


def fail(message: str, problems: Sequence[Mapping[str, object]] = ()) -> NoReturn:
    """End with exit code 1 and say why: one line or several on standard error, an object with `--json`.

    Raises:
        typer.Exit: always.
    """
    if JSON_OPTION in sys.argv:
        show_json_line({"error": message} | ({"problems": list(problems)} if problems else {}))
    else:
        for line in message.splitlines():
            typer.echo(f"twinstream: {printable(line)}", err=True)
    raise typer.Exit(FAILED)
