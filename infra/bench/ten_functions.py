"""A type of ten built-in functions over the benchmark's telemetry."""

from pathlib import Path

from schemas.definition_file import FILE

DEFINITION = """\
name: ten_functions
version: 1.0.0
description: Ten built-in functions over the telemetry of an incubator.
inputs:
  t1: {unit: degC, range: [-40, 125]}
  t2: {unit: degC, range: [-40, 125]}
  t3: {unit: degC, range: [-40, 125]}
  heater_on: {type: bool}
  fan_on: {type: bool}
parameters:
  setpoint: {unit: degC, default: 35}
pipeline:
  - name: calibrated
    step: linear_calibration
    inputs: {value: t1}
    config: {gain: 1.01, offset: -0.2}
    outputs: [warm]
  - {name: averaged, step: weighted_average, config: {weights: {warm: 1, t2: 1}}, outputs: [average]}
  - name: smoothed
    step: exponential_average
    inputs: {value: average}
    config: {time_constant_s: 60}
    outputs: [smooth]
  - {name: rate, step: rate_of_change, inputs: {value: smooth}, outputs: [rate]}
  - {name: statistics, step: running_statistics, inputs: {value: average}, outputs: [count, mean, variance]}
  - name: windows
    step: window_statistics
    inputs: {value: t3}
    config: {window_s: 60, hop_s: 30}
    outputs: {lowest: {}, highest: {}, middle: {}, closed: {type: bool}}
  - name: band
    step: dead_band
    inputs: {value: average}
    config: {band: 0.5}
    outputs: {passed: {}, moved: {type: bool}}
  - name: hot
    step: threshold
    inputs: {value: smooth}
    config: {above: 45, below: 44, hold_s: 6}
    outputs: {hot: {type: bool}}
  - {name: heat, step: integrator, inputs: {value: rate}, config: {lower: -100, upper: 100}, outputs: [heat]}
  - name: control
    step: on_off_controller
    inputs: {value: average, setpoint: setpoint}
    config: {action: raises, below: 1.0, above: 1.0, minimum_on_s: 6, minimum_off_s: 6}
    outputs: {heating: {type: bool}}
outputs:
  timeseries: {fields: [average, smooth, rate, variance, highest, passed, heat]}
  events: {hot: {when: hot, data: [average]}}
  commands: {heater: {field: heating, type: bool, refresh_s: 30}}
"""


def write(folder: Path) -> Path:
    """Make the type's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(DEFINITION, encoding="utf-8")
    return folder
