"""What a run of the harness found, for people and for machines."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from faults.run import Figure

from infra.bench.machine import machine, versions


@dataclass(frozen=True)
class Outcome:
    """One scenario that was played.

    Attributes:
        seconds: That it took.
        error: Why nothing could be found out, `""` when it could.
    """

    name: str
    claim: str
    seed: int
    seconds: float
    figures: tuple[Figure, ...]
    error: str = ""

    @property
    def broken(self) -> bool:
        """Whether a promise was not held, or nothing could be found out."""
        return bool(self.error) or not all(figure.held for figure in self.figures)


def write(folder: Path, seed: int, outcomes: Sequence[Outcome]) -> str:
    """Write `report.md` and `report.json`; return the verdict, with how to replay what was broken."""
    folder.mkdir(parents=True, exist_ok=True)
    ground = {"seed": seed, "machine": machine(), "versions": versions()}
    (folder / "report.json").write_text(json.dumps({**ground, "items": [asdict(one) for one in outcomes]}, indent=2))
    (folder / "report.md").write_text(f"# Faults, seed {seed}\n\n" + "\n".join(map(_section, outcomes)))
    broken = [f"BROKEN: --seed {one.seed} --only {one.name}" for one in outcomes if one.broken]
    return "\n".join([f"{len(outcomes) - len(broken)} of {len(outcomes)} held, see {folder / 'report.md'}", *broken])


def _section(outcome: Outcome) -> str:
    rows = [
        f"| {figure.what} | {figure.value:g} {figure.unit} | {figure.promise} | {'yes' if figure.held else '**no**'} |"
        for figure in outcome.figures
    ]
    lines = [
        f"## {outcome.name}\n",
        f"{outcome.claim} Seed {outcome.seed}, {outcome.seconds:.0f} s.\n",
        "| figure | found | promised | held |\n|---|---|---|---|",
        *rows,
    ]
    if outcome.error:
        lines.append(f"\n```\n{outcome.error}```")
    return "\n".join(lines) + "\n"
