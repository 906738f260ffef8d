"""A type whose steps have every fault that there is, each brought by a value of its input."""

DEFINITION = """\
name: faulty
version: 1.0.0
inputs: {a: {}}
pipeline:
  - {name: before, step: "steps.py:before", outputs: [b]}
  - name: s
    step: steps.py:step
    compiled: false
    limits: {time_s: 0.15, memory_mb: 64}
    state: {total: {}, v: {shape: [2]}, n: {type: int}}
    outputs: {y: {}, whole: {type: int}, odd: {type: bool}}
  - {name: after, step: "steps.py:after", outputs: [z]}
outputs: {timeseries: {fields: [y, z]}}
"""
STEPS = """\
import ctypes
import math
import os
import subprocess
import sys
import threading
import time
import numpy as np
from twins.functions.random import uniform

kept = []
lock = threading.Lock()


def before(a):
    while a < -99.5:
        a += 0.0
    return 2.0 * a


def step(state, b, random_seed, records):
    a = 0.5 * b
    if a == -1.0:
        raise ValueError("negative")
    if a == -2.0:
        while True:
            pass
    if a == -3.0:
        time.sleep(60)
    if a == -4.0:
        os._exit(7)
    if a == -5.0:
        ctypes.string_at(0)
    if a == -6.0:
        eaten = []
        while True:
            eaten.append(bytearray(1 << 20))
    if a == -7.0:
        import no_such_module
    if a == -8.0:
        return math.nan, 0, False
    if a == -9.0:
        sum(range(10**15))
    if a == -10.0:
        subprocess.Popen(["sleep", "600"])
        os._exit(0)
    if a == -11.0:
        kept.append(np.ones(1 << 20))
    if a == -12.0:
        print("it", "prints")
        print("and complains", file=sys.stderr)
        os.write(1, b"and writes\\n")
    if a == -13.0:
        os.closerange(3, 100)
        time.sleep(60)
    if a == -14.0:
        time.sleep(0.3)
    if a == -15.0:
        threading.Thread(target=lambda: (time.sleep(0.05), os._exit(3))).start()
    if a == -16.0:
        lock.acquire()
    if a == -17.0:
        time.sleep(0.1)
    if a == -18.0:
        lock.acquire()
        lock.release()
    if a == -19.0:
        code = "import os, subprocess; os.fork() and os._exit(0); os.setsid(); subprocess.run(['sleep', '601'])"
        subprocess.run([sys.executable, "-c", code])
        os._exit(0)
    if a == -20.0:
        kept.append(np.ones(6 << 20))
    if a == -21.0:
        kept.append(np.ones(3 << 20))
        kept.pop()
    if a == -22.0:
        subprocess.Popen(["sleep", "602"], env={}, start_new_session=True)
        time.sleep(60)
    state.total += a
    state.v[1] = uniform(random_seed, 1)
    state.n += 1
    return state.total + state.v[1], records, state.n % 2 == 1


def after(y):
    return y + 1.0
"""


FAULTY = STEPS[STEPS.index("    if a == -1.0") : STEPS.index("    state.total += a")]
"""What of `step` is faulty."""
HARMLESS = STEPS.replace(FAULTY, "    if a < 0.0:\n        raise ValueError\n").replace(
    "    while a < -99.5:\n        a += 0.0\n", "    if a < -99.5:\n        raise ValueError\n"
)
"""The same steps, which merely raise."""


def line_of(text: str) -> int:
    """The first line of the steps that a text is in."""
    return STEPS[: STEPS.index(text)].count("\n") + 1
