"""Contestants take turns, so that a busy spell of the machine hits all; one that fails spoils nothing of the others."""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from infra.bench.job import Finished
from infra.bench.report import Result
from infra.bench.stages import Stages
from schemas.clock import SystemClock

EachTurn = Callable[[Sequence[Result]], bool]
"""Called with what there is after each turn; whether that is enough."""


@dataclass(frozen=True)
class Turn:
    """One contestant at one job.

    Attributes:
        name: Of the contestant.
        label: What it is.
        job: What it does.
        run: Does it once.
    """

    name: str
    label: str
    job: str
    run: Callable[[], Awaitable[Finished]]


def never_enough(_results: Sequence[Result]) -> bool:
    """For all rounds."""
    return False


async def take_turns(
    turns: Sequence[Turn],
    repeat: int,
    shown: Stages,
    *,
    budget_s: float = math.inf,
    each_turn: EachTurn = never_enough,
) -> list[Result]:
    """Run every turn once a round; whose run fails takes no further turn, and its result says why.

    Args:
        turns: In their order.
        repeat: Rounds.
        shown: Tells the round.
        budget_s: No further round begins that would end later than this, as long as the one before it took.
        each_turn: Called after each turn.
    """
    clock = SystemClock()
    began_s = clock.monotonic_s()
    runs: list[list[Finished]] = [[] for _ in turns]
    failed = [""] * len(turns)

    def results() -> list[Result]:
        found = zip(turns, runs, failed, strict=True)
        return [Result(turn.name, turn.label, turn.job, tuple(done), why) for turn, done, why in found]

    for number in range(repeat):
        round_began_s = clock.monotonic_s()
        for place, turn in enumerate(turns):
            shown.round = f"{number * len(turns) + place + 1}/{repeat * len(turns)}"
            if failed[place]:
                continue
            try:
                runs[place].append(await turn.run())
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and others' figures stand
                failed[place] = str(error) or type(error).__name__
                shown.say(f"{turn.job}: {turn.name} failed: {failed[place]}")
            if each_turn(results()):
                return results()
        now_s = clock.monotonic_s()
        if now_s + (now_s - round_began_s) > began_s + budget_s:
            break
    return results()
