"""A report as a folder: `report.md`, `report.json` and a chart for each figure of each job."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.bench import report
from infra.bench.report import OURS, Result, Spread
from infra.bench.svg import Bar, bars

Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Heading, columns, rows."""


@dataclass(frozen=True)
class Section:
    """One measurement.

    Attributes:
        name: Of the sub-command.
        title: Its heading.
        says: What was measured and how, in a paragraph.
        seconds: How long it took.
        results: Rows of the common form.
        tables: Further tables.
        detail: What machines get beside the rows.
    """

    name: str
    title: str
    says: str
    seconds: float
    results: Sequence[Result] = ()
    tables: Sequence[Table] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def jobs(self) -> list[str]:
        """Jobs of its results, in their order."""
        return list(dict.fromkeys(result.job for result in self.results))


def as_json(
    sections: Sequence[Section],
    machine: Mapping[str, Any],
    versions: Mapping[str, str],
    seconds: float,
    left_out: Mapping[str, str],
) -> dict[str, Any]:
    """The report for machines; `results` has the rows of all sections."""
    rows = report.as_json([result for section in sections for result in section.results], machine, versions)
    sections_json = [
        {"name": section.name, "seconds": round(section.seconds, 1), **section.detail} for section in sections
    ]
    return rows | {"sections": sections_json, "seconds": round(seconds, 1), "left_out": dict(left_out)}


def write(
    folder: Path,
    sections: Sequence[Section],
    machine: Mapping[str, Any],
    versions: Mapping[str, str],
    *,
    seconds: float,
    command: str,
    left_out: Mapping[str, str],
) -> None:
    """Write the report.

    Args:
        folder: Where to; made if need be, and files of an earlier report replaced.
        sections: What was measured, in order.
        machine: What on.
        versions: Of all that took part.
        seconds: How long all of it took.
        command: That repeats it.
        left_out: What could not be measured, and why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = as_json(sections, machine, versions, seconds, left_out)
    (folder / "report.json").write_text(json.dumps(found, indent=2) + "\n")
    lines = ["# Benchmarks of twinstream\n", f"Measured by `{command}` in {seconds / 60:.1f} minutes.\n"]
    lines += ["| machine | |", "|---|---|", *(f"| {name} | {value} |" for name, value in machine.items()), ""]
    lines += [", ".join(f"{name} {value}" for name, value in versions.items()) + ".\n"]
    for section in sections:
        lines += _section(folder, section)
    if left_out:
        lines += ["## Left out\n", *(f"- {name}: {' '.join(why.split())}" for name, why in left_out.items()), ""]
    (folder / "report.md").write_text("\n".join(lines))


def _section(folder: Path, section: Section) -> list[str]:
    lines = [f"## {section.title}\n", f"{section.says} It took {section.seconds:.0f} s.\n"]
    for job in section.jobs:
        rows = [result for result in section.results if result.job == job]
        lines += [f"### {job}\n", *_table(report.COLUMNS[1:], [row[1:] for row in report.as_rows(rows)]), ""]
        for name, text in _charts(section, job, [result for result in rows if result.runs]):
            (folder / name).write_text(text)
            lines.append(f"![{job}]({name})\n")
    for heading, columns, rows_of_text in section.tables:
        lines += [f"### {heading}\n", *_table(columns, rows_of_text), ""]
    return lines


def _charts(section: Section, job: str, rows: Sequence[Result]) -> list[tuple[str, str]]:
    if not rows:
        return []

    def chart(values: Sequence[Spread], title: str, subtitle: str, digits: int) -> str:
        each = zip(rows, values, strict=True)
        drawn = [Bar(row.name, one.median, one.minimum, one.maximum, ours=row.name == OURS) for row, one in each]
        return bars(title, subtitle, drawn, digits)

    rates = chart([row.records_per_second for row in rows], f"{job}: rate", "records per second; more is better", 0)
    costs = [row.cpu_seconds_per_million for row in rows]
    cost = chart(costs, f"{job}: cost", "CPU seconds per million records; less is better", 2)
    stem = f"{section.name}-{job}"
    return [(f"{stem}-rate.svg", rates), (f"{stem}-cpu.svg", cost)]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    line = "|".join("---" for _ in columns)
    return [f"| {' | '.join(columns)} |", f"|{line}|", *(f"| {' | '.join(row)} |" for row in rows)]
