"""Where a process was when it ended or had to be: what Python's fault handler wrote into a file without a name."""

import os
import re
import signal
import time
from pathlib import Path

from twins.kernel.uncompiled import file_in

_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)
_PATIENCE_S = 0.1
_LOOK_S = 0.005
_MOST_BYTES = 1 << 16


def ask(handle: int, pid: int) -> None:
    """Have a process write where it is; wait a moment for that."""
    before = os.fstat(handle).st_size
    try:
        os.kill(pid, signal.SIGUSR1)
    except ProcessLookupError:
        return
    written = before
    for _ in range(round(_PATIENCE_S / _LOOK_S)):
        time.sleep(_LOOK_S)
        size = os.fstat(handle).st_size
        if size == written > before:
            return
        written = size


def place(handle: int, folder: Path) -> str:
    """The innermost line of a folder that was written, `FILE:LINE`, `""` for none."""
    text = os.pread(handle, _MOST_BYTES, 0).decode(errors="replace")
    for file, line, _ in _FRAME.findall(text):
        if Path(file).is_relative_to(folder):
            return f"{file_in(folder, file)}:{line}"
    return ""
