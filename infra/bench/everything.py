"""`twinstream bench all`: every measurement in one run, and one report of it."""

import asyncio
import math
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from infra.bench import document, machine, report
from infra.bench.document import Section
from infra.bench.parts import PARTS, Part, Span
from infra.bench.peers import ENVIRONMENTS, KAFKA_STREAMS, QUIX, install_all
from schemas.clock import SystemClock
from schemas.errors import SetupError

COLUMNS = report.COLUMNS
QUICK_S = 8.0 * 60.0
"""A quick run plans to end by then."""

_QUICK_LIMIT_S = QUICK_S + 30.0
"""Whatever it is at then is broken off."""

_INSTALL_QUICK_S = 150.0


@dataclass
class Everything:
    """What was measured so far.

    Attributes:
        machine: What on.
        versions: Of all that takes part.
        sections: In order.
        left_out: What could not be measured or installed, and why.
        broken: Parts that failed as a whole.
        seconds: How long it took.
    """

    machine: dict[str, Any]
    versions: dict[str, str] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether something of ours did not come to its end."""
        rows_failed = (row.failed and row.name.startswith(report.OURS) for one in self.sections for row in one.results)
        return bool(self.broken) or any(rows_failed)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return document.as_json(self.sections, self.machine, self.versions, self.seconds, self.left_out)

    def write(self, folder: Path) -> None:
        """Write the report as far as it is."""
        command = " ".join(["twinstream", *sys.argv[1:]])
        document.write(
            folder,
            self.sections,
            self.machine,
            self.versions,
            seconds=self.seconds,
            command=command,
            left_out=self.left_out,
        )


async def measure(*, quick: bool, install: bool, folder: Path, parts: Sequence[Part] = PARTS) -> Everything:
    """Measure everything; the report is written anew after each turn of each part, so that nothing is lost.

    What fails is left out and said, a contestant in its row and a part as a whole.

    Args:
        quick: Whether few records and rounds do, and what has no time left is left out.
        install: Whether peers that are missing are installed first; for a quick run those of the processor alone, and
            no longer than 150 s.
        folder: For the report.
        parts: To measure, in order.
    """
    clock, console = SystemClock(), Console(stderr=True)
    began_s = clock.monotonic_s()
    found = Everything(machine.machine())

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    if install:
        # Telegraf takes minutes to compile.
        chosen, budget_s = ((QUIX, KAFKA_STREAMS), _INSTALL_QUICK_S) if quick else (ENVIRONMENTS, math.inf)
        for number, reason in enumerate(await install_all(say, chosen, budget_s), 1):
            say(f"left out: {reason}")
            found.left_out[f"peer-{number}"] = reason
    found.versions = machine.versions()
    for part in parts:
        part_began_s = clock.monotonic_s()
        left_s = QUICK_S - (part_began_s - began_s)
        if quick and left_s < part.quick_s:
            found.left_out[part.name] = "a quick run has no time for it"
            continue
        say(part.name)
        before = list(found.sections)

        def told(section: Section, before: list[Section] = before, part_began_s: float = part_began_s) -> None:
            now_s = clock.monotonic_s()
            found.sections = [*before, replace(section, seconds=now_s - part_began_s)]
            found.seconds = now_s - began_s
            found.write(folder)

        try:
            async with asyncio.timeout(_QUICK_LIMIT_S - QUICK_S + left_s if quick else None):
                told(await part.run(Span(quick=quick, left_s=left_s, told=told)))
        except Exception as error:  # noqa: BLE001 - the report tells it, and so does the exit code
            if quick and isinstance(error, TimeoutError):
                found.left_out[part.name] = "broken off, there was no time left; what was measured until then stands"
                continue
            if not isinstance(error, SetupError):
                traceback.print_exception(error)
            say(f"{part.name} failed: {error}")
            found.left_out[part.name] = f"failed: {str(error) or repr(error)}"
            found.broken.append(part.name)
    found.seconds = clock.monotonic_s() - began_s
    found.write(folder)
    return found


def rows(section: Section) -> Iterator[tuple[str, ...]]:
    """Rows of a section under `COLUMNS`."""
    return report.as_rows(section.results)
