"""A role that freezes itself at a named point of its work: `python -m faults.freezing FILE ARGUMENTS…`.

Whenever FILE names a point, the next passage through it stops the whole process as SIGSTOP does and removes FILE. No
signal from outside could be as exact.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from infra.cli import main
from streams.partition import PartitionRows

POINTS = ("inside a block", "inside a transaction", "between its offsets and its commit")
"""Rows are stepped and not flushed; records are written and the offsets are not; the offsets are, the commit is not."""


def _freeze_at(point: str, file: Path) -> None:
    if file.exists() and file.read_text() == point:
        file.unlink()
        os.kill(os.getpid(), signal.SIGSTOP)


def lay_traps(file: Path) -> None:
    """Look at the file at every point."""
    process = PartitionRows.process
    send_offsets, commit = AIOKafkaProducer.send_offsets_to_transaction, AIOKafkaProducer.commit_transaction

    def processed(rows: PartitionRows, *arguments: Any) -> Any:
        outcome = process(rows, *arguments)
        _freeze_at(POINTS[0], file)
        return outcome

    async def sent(producer: Any, *arguments: Any) -> Any:
        _freeze_at(POINTS[1], file)
        return await send_offsets(producer, *arguments)

    async def committed(producer: Any) -> Any:
        _freeze_at(POINTS[2], file)
        return await commit(producer)

    PartitionRows.process = processed  # type: ignore[method-assign, assignment]
    AIOKafkaProducer.send_offsets_to_transaction, AIOKafkaProducer.commit_transaction = sent, committed


if __name__ == "__main__":
    lay_traps(Path(sys.argv.pop(1)))
    main()
