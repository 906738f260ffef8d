"""`twinstream bench processor`: this engine, its peers and bare consuming, side by side."""

import logging
import math
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from infra.bench.contest import Contest
from infra.bench.jobs import Contestant
from infra.bench.report import Result
from infra.bench.stages import Stages
from infra.bench.turns import EachTurn, Turn, never_enough, take_turns
from infra.bench.workload import Workload
from infra.embedded.kafka import EmbeddedKafka
from streams.log.client import KafkaOptions


async def measure(
    contestants: Sequence[Contestant],
    jobs: Sequence[str],
    workload: Workload,
    *,
    repeat: int,
    headers: bool = False,
    share: float = 1.0,
    budget_s: float = math.inf,
    each_turn: EachTurn = never_enough,
    folder: Path | None = None,
) -> list[Result]:
    """Run the contest.

    Args:
        contestants: Who takes part; they take turns.
        jobs: What they do.
        workload: What everybody reads.
        repeat: Runs of each.
        headers: Whether records carry the two headers that a bridge adds.
        share: Of the records that slow contestants get.
        budget_s: No further round begins that would end later than this, as long as the one before it took.
        each_turn: Called after each turn.
        folder: For everything that is written; a temporary one when None.

    Raises:
        SetupError: Kafka can't be had.
    """
    # It notes each look at a topic that was made a moment ago.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twinstream-bench-")))
        shown = stack.enter_context(Stages())
        shown.begin("embedded Kafka", 1)
        async with EmbeddedKafka(folder, port=0) as kafka:
            options = KafkaOptions(kafka.bootstrap_servers)
            contest = Contest(options, workload, headers, folder / "runs", shown.begin, share)
            turns = [
                Turn(one.name, one.label, job, partial(contest.run, one, job))
                for job in jobs
                for one in contestants
                if job in one.jobs
            ]
            return await take_turns(turns, repeat, shown, budget_s=budget_s, each_turn=each_turn)
