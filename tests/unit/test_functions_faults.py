"""Where `check` finds the faults of a built-in's configuration."""

from pathlib import Path

from support.stepping import write_type

from twins.check import check_folder

DEFINITION = """\
name: faulty
version: 1.0.0
inputs:
  raw: {}
pipeline:
  - name: calibration
    step: linear_calibration
    inputs: {value: raw}
    outputs: [percent]
    config:
      points: [[4, 0], [4, 100]]
  - name: curve
    step: lookup_table
    inputs: {value: raw}
    outputs: [flow]
    config:
      points:
        - [0, 0]
        - [30, x]
      outside: no
  - name: total
    step: integrator
    inputs: {value: raw}
    outputs: [all]
    config: {initial: 3, upper: 1}
  - name: ramp
    step: rate_limiter
    inputs: {value: raw}
    outputs: [limited]
    config:
      falling_per_s: -1
  - name: recent
    step: window_statistics
    inputs: {value: raw}
    outputs: [least, most, mean, closed]
    config: {window_s: 5.0, hop_s: 2.0}
  - name: unwired
    step: integrator
    inputs: {value: raw}
    outputs: [part]
    config: {reset: true}
outputs:
  timeseries: {fields: [percent]}
"""


def test_faults_of_a_built_in_are_found_at_their_line_and_all_at_once(tmp_path: Path) -> None:
    problems = check_folder(write_type(tmp_path / "faulty", DEFINITION))
    assert [(problem.line, problem.path) for problem in problems] == [
        (11, "pipeline.0.config.points"),
        (19, "pipeline.1.config.points.1.1"),
        (20, "pipeline.1.config.outside"),
        (25, "pipeline.2.config.initial"),
        (30, "pipeline.3.config.rising_per_s"),
        (31, "pipeline.3.config.falling_per_s"),
        (36, "pipeline.4.config.window_s"),
        (39, "pipeline.5.inputs"),
    ]
    assert "initial (3.0) must lie between lower (-inf) and upper (1.0)" in problems[3].message
    assert "integrator takes reset" in problems[7].message


MODELS = """\
name: models
version: 1.0.0
inputs:
  raw: {unit: degC}
pipeline:
  - name: bare
    step: pid
    inputs: {value: raw, setpoint: raw}
    outputs: [p]
    config: {ki: 1, lower: 0, upper: 1}
  - name: mixed
    step: pid
    inputs: {value: raw, setpoint: raw}
    outputs: [q]
    config:
      kp: 1
      lower: 0
      upper: 1
      ti_s: 3
  - name: wired
    step: pid
    inputs: {value: raw, setpoint: raw, manual: raw, manual_output: raw}
    outputs: [r]
    config:
      lower: 0
      upper: 1
      manual: true
      wired: [kp]
  - name: misspelt
    step: unit_conversion
    inputs: {value: raw}
    outputs: [s]
    config:
      from: degCC
      to: K
  - name: unlike
    step: unit_conversion
    inputs: {value: raw}
    outputs: [t]
    config:
      from: degC
      to: bar
  - name: other
    step: unit_conversion
    inputs: {value: raw}
    outputs: {u: {unit: kPa}}
    config: {from: bar, to: Pa}
  - name: crooked
    step: state_space
    inputs: {u: raw}
    outputs: [v]
    config:
      time: continuous
      B: [[1], [2]]
      A: [[1, 2], [3]]
      inputs: [u]
  - name: nameless
    step: kalman_filter
    outputs: [w, x]
    config:
      F: [[1]]
      H: [[1]]
      Q: [[1]]
      R: [[1]]
      measurements: [level]
  - name: patient
    step: window_statistics
    inputs: {value: raw}
    outputs: {lo: {}, hi: {}, me: {}, cl: {type: bool}}
    config:
      window_s: 10
      hop_s: 1
      grace_s: 40
outputs:
  timeseries: {fields: [p]}
"""


def test_faults_of_controllers_and_models_are_found_at_their_line(tmp_path: Path) -> None:
    problems = check_folder(write_type(tmp_path / "models", MODELS))
    assert [(problem.line, problem.path) for problem in problems] == [
        (10, "pipeline.0.config"),
        (19, "pipeline.1.config.ti_s"),
        (22, "pipeline.2.inputs"),
        (28, "pipeline.2.config.wired"),
        (34, "pipeline.3.config.from"),
        (42, "pipeline.4.config.to"),
        (45, "pipeline.5.inputs.value"),
        (46, "pipeline.5.outputs.u.unit"),
        (55, "pipeline.6.config.A"),
        (65, "pipeline.7.config.measurements"),
        (73, "pipeline.8.config.grace_s"),
    ]
    said = [(problem.message, problem.remedy) for problem in problems]
    assert said[0][0] == "kp is missing: give a number, or name it under wired"
    assert said[2] == ("raw is float, not true or false", "compare it with something, or name a bool field")
    assert "pid takes kp, which is no field here" in said[3][0]
    assert "degC" in said[4][1]
    assert "to (bar) is no unit that degC can become" in said[5][0]


def test_an_output_of_a_built_in_is_not_cut_to_a_smaller_type(tmp_path: Path) -> None:
    definition = """\
name: cut
version: 1.0.0
inputs:
  raw: {}
pipeline:
  - name: average
    step: exponential_average
    inputs: {value: raw}
    config: {time_constant_s: 3}
    outputs:
      mean: {type: int}
  - name: machine
    step: state_machine
    config:
      states: [low, high]
      transitions: [{from: low, to: high, when: raw > 3}]
      values: {high: {lamp: true}}
    outputs:
      is_high: {type: bool}
      lamp: {}
"""
    (mean, state, lamp) = check_folder(write_type(tmp_path / "cut", definition))
    assert (mean.line, mean.path, mean.remedy) == (11, "pipeline.0.outputs.mean.type", "write type: float")
    assert mean.message == "exponential_average gives its average as float, which int can't hold"
    assert (state.line, state.path, state.remedy) == (19, "pipeline.1.outputs.is_high.type", "write type: int")
    assert (lamp.line, lamp.path, lamp.remedy) == (20, "pipeline.1.outputs.lamp.type", "write type: bool")
