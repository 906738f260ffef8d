"""Become a server that ends when its owner does; run by path, imports nothing of ours.

Usage: `python -I -S launch.py ARGV…`, with the read end of a pipe as standard input whose write end only the owner
holds. A small forked watcher waits for the end of that pipe, on every system alike: however the owner dies, SIGKILL
included, the kernel closes the pipe. This process itself then becomes ARGV, so that its pid is the server's.
"""

import os
import select
import signal
import sys
import time

_POLL_S = 1.0
_GRACE_S = 10.0
_NOT_FOUND = 127


def _watch(owner: int, server: int) -> None:
    """Return when the server is gone; make it go when the owner is."""
    while os.getppid() == server:
        readable, _, _ = select.select([owner], [], [], _POLL_S)
        if readable and not os.read(owner, 1):
            break
    deadline_s = time.monotonic() + _GRACE_S
    wanted = signal.SIGTERM
    while os.getppid() == server:
        os.kill(server, wanted)
        while os.getppid() == server and time.monotonic() < deadline_s:
            time.sleep(0.05)
        wanted = signal.SIGKILL


def main() -> None:
    """Fork the watcher, then become the server."""
    owner = os.dup(0)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    server = os.getpid()
    if os.fork() == 0:
        os.dup2(null, 1)
        os.dup2(null, 2)
        # Signals to the group are meant for the server.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _watch(owner, server)
        os._exit(0)
    # Python ignores these two, and an ignored signal stays ignored across exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - a shell would be in the way
    except OSError as error:
        sys.stderr.write(f"{error}: {sys.argv[1]}\n")
        sys.exit(_NOT_FOUND)


main()
