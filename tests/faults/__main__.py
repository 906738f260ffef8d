"""`scripts/faults`: break things for some minutes, and report what was found beside what is promised."""

import argparse
import asyncio
import logging
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import structlog
from faults.catalogue import LONG, SHORT, claim_of, name_of
from faults.report import Outcome, write
from faults.run import Run, Scenario
from faults.scenarios.soak import Soak

from infra.embedded.cache import cache_dir

ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenarios; 0 when all promises were held."""
    options = _options(arguments)
    chosen = [scenario for scenario in (SHORT if options.short else LONG) if _is_wanted(scenario, options.only)]
    try:
        chosen = [changed(scenario, options.let) for scenario in chosen]
    except ValueError as error:
        _say(f"--let: {error}")
        return 2
    if options.list or not chosen:
        for scenario in SHORT if options.short else LONG:
            _say(f"{name_of(scenario):24} {claim_of(scenario)}")
        return 0 if options.list else 2
    _quiet()
    _say(f"seed {options.seed}")
    outcomes: list[Outcome] = []
    verdict = ""
    deadline_s = time.monotonic() + 60 * options.minutes
    for seed, scenario in _turns(chosen, options.seed, deadline_s):
        _say(f"── {name_of(scenario)}, seed {seed}: {claim_of(scenario)}\n   {scenario}")
        outcomes.append(asyncio.run(_play(scenario, seed, strict=not options.short)))
        # After each: whoever is interrupted has what was found until then.
        verdict = write(options.report, options.seed, outcomes)
    _say(f"── {verdict}")
    return int(any(outcome.broken for outcome in outcomes))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/faults", description=(__doc__ or "").split(": ", 1)[1])
    parser.add_argument("--minutes", type=float, default=0.0, help="go on with further seeds, and soak, for so long")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of what is drawn")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this scenario; may be repeated")
    parser.add_argument("--let", action="append", default=[], metavar="FIELD=VALUE", help="of scenarios that have it")
    parser.add_argument("--short", action="store_true", help="smaller numbers, times judged generously")
    parser.add_argument("--list", action="store_true", help="name the scenarios and what each claims")
    parser.add_argument("--report", type=Path, default=ROOT / ".faults", help="folder for report.md and report.json")
    return parser.parse_args(arguments)


def _is_wanted(scenario: Scenario, only: list[str] | None) -> bool:
    return not only or name_of(scenario) in only


def changed(scenario: Scenario, settings: Sequence[str]) -> Scenario:
    """A scenario with other numbers, such as `rounds=3` or `broken-wires.rounds=3`, where it has such a field.

    Raises:
        ValueError: that is no number, or no field of the named scenario.
    """
    assert is_dataclass(scenario)
    for setting in settings:
        place, _, text = setting.partition("=")
        name, _, key = place.rpartition(".")
        kinds = {one.name: type(getattr(scenario, one.name)) for one in fields(scenario)}
        if name in {"", name_of(scenario)} and key in kinds:
            scenario = replace(scenario, **{key: kinds[key](text)})
        elif name == name_of(scenario):
            message = f"{name} has no {key!r}, it has {', '.join(kinds)}"
            raise ValueError(message)
    return scenario


def _turns(chosen: Sequence[Scenario], seed: int, deadline_s: float) -> Iterator[tuple[int, Scenario]]:
    """All of them once, then again with the next seeds while there is time."""
    while True:
        for scenario in chosen:
            yield seed, _bounded(scenario, deadline_s)
        seed += 1
        if time.monotonic() > deadline_s:
            return


def _bounded(scenario: Scenario, deadline_s: float) -> Scenario:
    """A soak lasts as long as there is time, and at least a minute."""
    if not isinstance(scenario, Soak):
        return scenario
    left_minutes = max(1.0, (deadline_s - time.monotonic()) / 60)
    return replace(scenario, minutes=min(scenario.minutes, left_minutes))


async def _play(scenario: Scenario, seed: int, *, strict: bool) -> Outcome:
    began_s, error = time.monotonic(), ""
    cache = cache_dir() / "kernels"
    cache.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="twinstream-faults-"))
    async with Run(seed, folder, cache, strict=strict, say=_say) as run:
        try:
            await scenario.play(run)
        except Exception:  # noqa: BLE001 - told, and the next scenario is played
            error = traceback.format_exc()
            _say(error)
    if error or run.broken():
        _say(f"logs of all processes are kept in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return Outcome(name_of(scenario), claim_of(scenario), seed, time.monotonic() - began_s, tuple(run.figures), error)


def _quiet() -> None:
    """Clients of servers that are away say so at every attempt; here that is what is wanted."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
