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
