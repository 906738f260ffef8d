"""Notices a step that does not come to an end: nothing could stop it, so that somebody has to be told at which row."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LIMIT_S = 15.0
"""How long one record may take, what is compiled at the first one included."""


@contextmanager
def watched(progress: Callable[[], object], stuck: Callable[[], None], limit_s: float = LIMIT_S) -> Iterator[None]:
    """Look from another thread whether something goes on.

    Args:
        progress: How far it is; asked from that thread.
        stuck: Called once by that thread, when for `limit_s` nothing has gone on.
        limit_s: Patience.
    """
    ended = threading.Event()

    def look() -> None:
        at, stood_s, pause_s = progress(), 0.0, limit_s / 20
        while not ended.wait(pause_s):
            now = progress()
            stood_s = stood_s + pause_s if now == at else 0.0
            at = now
            if stood_s >= limit_s:
                stuck()
                return

    watching = threading.Thread(target=look, name="endless", daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()


def place_in(folder: Path) -> str:
    """Where the main thread is in plain Python below `folder`, `FILE:LINE, in FUNCTION`; empty when it is in none."""
    main = threading.main_thread().ident
    frame = sys._current_frames().get(main) if main is not None else None  # noqa: SLF001 - there is no other way
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(folder.resolve()):
            return f"{file.relative_to(folder.resolve())}:{frame.f_lineno}, in {frame.f_code.co_name}"
        frame = frame.f_back
    return ""
