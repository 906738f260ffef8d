"""What a process has once it works is there to stay: modules, compiled code, clients."""

import gc


def settle_heap() -> None:
    """Leave what is there now out of all later garbage collections; does nothing when that was done before.

    A full collection looks at every object. Half a million of them, most from modules, hold a process up for 0.2 to
    0.4 s, every few seconds where objects come and go: long enough to be seen in the latency of what waits for it.
    """
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()
