"""One run of a scenario: its seed, its folder, what it says while it goes on, and the figures that it found."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

GENEROUS = 5.0
"""In the short form, on a machine that does other things too, times and sizes may be this much worse."""


@dataclass(frozen=True)
class Figure:
    """What was found, beside what was promised.

    Attributes:
        what: What was counted or measured.
        value: How much it was.
        promise: What it had to be, in words.
        held: Whether it was.
    """

    what: str
    value: float
    unit: str
    promise: str
    held: bool


class Scenario(Protocol):
    """What happens, and what must be true afterwards: a frozen dataclass whose defaults are the long form.

    The first line of its docstring is what it claims.
    """

    async def play(self, run: "Run") -> None:
        """Do it. Raise only where nothing could be found out."""


class Run:
    """The surroundings of one scenario, while entered; what it starts ends with it.

    Args:
        seed: Of everything that is drawn.
        folder: For everything that is written.
        cache: Compiled kernels, which runs share.
        strict: Whether times and sizes are judged as promised, or generously.
        say: Receives a line about each thing that happens.
    """

    def __init__(
        self, seed: int, folder: Path, cache: Path, *, strict: bool = False, say: Callable[[str], None] = print
    ) -> None:
        self.seed, self.folder, self.cache, self.strict = seed, folder, cache, strict
        self.rng = random.Random(seed)
        self.figures: list[Figure] = []
        self.stack = AsyncExitStack()
        self._say = say
        self._began_s = time.monotonic()

    async def __aenter__(self) -> Self:
        await self.stack.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stack.__aexit__(kind, error, trace)

    def say(self, text: str) -> None:
        """Tell what happens."""
        self._say(f"{time.monotonic() - self._began_s:6.1f} s  {text}")

    def exactly(self, what: str, wanted: int, found: int) -> None:
        """A count that is right or wrong, on whatever machine."""
        self._note(Figure(what, found, "", f"= {wanted}", held=found == wanted))

    def at_least(self, what: str, wanted: int, found: int) -> None:
        """A count that shows that something was tried at all."""
        self._note(Figure(what, found, "", f">= {wanted}", held=found >= wanted))

    def no_more(self, what: str, limit: int, found: int) -> None:
        """A count that is bounded on whatever machine."""
        self._note(Figure(what, found, "", f"<= {limit}", held=found <= limit))

    def at_most(self, what: str, limit: float, found: float, unit: str) -> None:
        """A time, a size or a ratio: judged as promised in the long form, generously in the short one."""
        allowed = limit if self.strict else limit * GENEROUS
        self._note(Figure(what, round(found, 3), unit, f"<= {limit:g}", held=found <= allowed))

    def broken(self) -> list[Figure]:
        """Promises that were not held."""
        return [figure for figure in self.figures if not figure.held]

    def _note(self, figure: Figure) -> None:
        self.figures.append(figure)
        verdict = "" if figure.held else "   BROKEN"
        self.say(f"{figure.what}: {figure.value:g} {figure.unit} ({figure.promise}){verdict}")


async def until(condition: Callable[[], bool], what: str, timeout_s: float = 120.0) -> float:
    """Wait until `condition` holds; return after how many seconds it did."""
    began_s = time.monotonic()
    while not condition():
        if time.monotonic() - began_s > timeout_s:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        await asyncio.sleep(0.05)
    return time.monotonic() - began_s
