"""The files of a new twin type, as they are written: `NAME` stands for the type's name, `TITLE` for it in prose."""

DEFINITION = """\
# yaml-language-server: $schema=.twin.schema.json
name: QUOTED
version: 1.0.0
description: Say in a sentence what this is the twin of.

inputs:
  temperature: {unit: degC, range: [-40, 120], description: What the device measures}

parameters:
  time_constant: {unit: s, above: 0, default: 60, description: How slowly the average follows}
  limit: {unit: degC, range: [-40, 120], default: 80, description: What is too hot}

pipeline:
  - name: smoothing
    step: NAME_step.py:smooth
    state:
      average: {unit: degC, description: The average so far}
    outputs:
      smoothed: {unit: degC, description: The temperature without its noise}
      too_hot: {type: bool}

outputs:
  timeseries: {fields: [temperature, smoothed, too_hot]}
  events:
    too_hot: {when: too_hot, severity: warning, data: [smoothed]}
"""

STEP = '''\
"""The step of the twin type NAME: plain Python of one device, which is compiled for all of them."""

import math


def smooth(state, temperature, time_constant, limit, dt_s, records):
    """Average exponentially; arguments are inputs, parameters and names such as `dt_s`, wired by their names."""
    if records == 1:
        state.average = temperature
    share = 1.0 - math.exp(-dt_s / time_constant)
    state.average += share * (temperature - state.average)
    return state.average, state.average > limit
'''

TEST = '''\
"""The step of the twin type NAME, called as the plain function that it is."""

from pathlib import Path

from twins.functions.testing import load_step

FOLDER = Path(__file__).parent


def test_the_first_record_is_its_own_average():
    smooth, state = load_step(FOLDER, "smoothing")
    assert smooth(state, 20.0, 60.0, 80.0, 0.0, 1) == (20.0, False)


def test_the_average_follows_within_a_few_time_constants():
    smooth, state = load_step(FOLDER, "smoothing")
    smooth(state, 20.0, 60.0, 80.0, 0.0, 1)
    average, too_hot = smooth(state, 100.0, 60.0, 80.0, 60.0, 2)
    assert 70.0 < average < 71.0
    assert not too_hot
    average, too_hot = smooth(state, 100.0, 60.0, 80.0, 300.0, 3)
    assert average > 99.0
    assert too_hot
'''

README = """\
# TITLE

A twin type: `twin.yaml` says what comes in and what goes out, `NAME_step.py` is what happens to each record, and
`test_NAME.py` tests it. With twinstream's environment active (`. .venv/bin/activate` in its folder):

```
python -m pytest NAME               # the step as a plain function
twinstream try NAME data.csv        # recorded values through it: a plot, and what would be refused
twinstream check NAME               # every fault at once
twinstream deploy NAME              # into the running system
```

`data.csv` has a column `time` (RFC 3339, or integer nanoseconds) and one for each input:

```
time,temperature
2026-01-01T12:00:00Z,21.5
2026-01-01T12:00:10Z,22.0
```
"""

PYTEST = """\
[pytest]
# With a file of its own this folder's tests run alike everywhere, whatever a folder above sets.
addopts = -p no:asyncio
"""

FILES = {
    "twin.yaml": DEFINITION,
    "NAME_step.py": STEP,
    "test_NAME.py": TEST,
    "README.md": README,
    ".pytest.ini": PYTEST,
}
"""Text by file name."""
