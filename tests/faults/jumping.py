"""A role whose host's clock jumps: `python -m faults.jumping FILE ARGUMENTS…`.

FILE holds by how many seconds the clock of the day is ahead of the true one; the monotonic clock goes on as it does.
"""

import os
import sys
import time
from pathlib import Path

NS_PER_S = 1_000_000_000
JUMPED = "the clock of the day jumped"
"""What is printed whenever somebody has looked at it and it had."""


def hold_clock(file: Path) -> None:
    """Let the clock of the day follow the file, which is looked at every tenth of a second."""
    true_s, true_ns, running_s = time.time, time.time_ns, time.monotonic
    looked_s, ahead_s = float("-inf"), 0

    def ahead() -> int:
        nonlocal looked_s, ahead_s
        if running_s() - looked_s > 0.1:
            looked_s = running_s()
            before, ahead_s = ahead_s, int(file.read_text()) if file.exists() else 0
            if ahead_s != before:
                os.write(2, b"%s by %d s\n" % (JUMPED.encode(), ahead_s - before))
        return ahead_s

    time.time = lambda: true_s() + ahead()
    time.time_ns = lambda: true_ns() + ahead() * NS_PER_S


if __name__ == "__main__":
    hold_clock(Path(sys.argv.pop(1)))
    from infra.cli import main  # only now: what is imported takes the clock with it

    main()
