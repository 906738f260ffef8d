"""What the state of every twin has to be after a workload, worked out for all twins at once."""

import numpy as np
from numpy.typing import NDArray

from infra.bench.contestants import steps
from infra.bench.workload import Workload


def expected(kind: str, workload: Workload) -> NDArray[np.float64]:
    """The states that `kind` leads to, (twins, k).

    Args:
        kind: `statistics`: number of records, then means, sums of squared deviations and moving averages of the three
            values. `incubator`: estimated temperatures of heater and air.
        workload: What was read, from the first record to the last.
    """
    return _statistics(workload) if kind == "statistics" else _estimates(workload)


def _statistics(workload: Workload) -> NDArray[np.float64]:
    n = np.zeros((workload.twins, 1))
    mean, m2, average = (np.zeros((workload.twins, 3)) for _ in range(3))
    for twins, *columns in workload.columns():
        values = np.stack(columns[:3], axis=1)
        n[twins] += 1.0
        off = values - mean[twins]
        mean[twins] += off / n[twins]
        m2[twins] += off * (values - mean[twins])
        smooth = average[twins] + steps.WEIGHT * (values - average[twins])
        average[twins] = np.where(n[twins] == 1.0, values, smooth)
    return np.concatenate([n, mean, m2, average], axis=1)


def _estimates(workload: Workload) -> NDArray[np.float64]:
    model = steps.MODEL
    transition = np.array([[model.f00, model.f01], [model.f10, model.f11]])
    noise = np.array([[model.q00, model.q01], [model.q01, model.q11]])
    x = np.full((workload.twins, 2), 21.0)
    covariance = np.tile(steps.NOISE * np.eye(2), (workload.twins, 1, 1))
    for twins, t1, t2, t3, heater_on, _ in workload.columns():
        drive = np.stack([np.where(heater_on, model.heating, 0.0), model.room * t3], axis=1)
        ahead = (x[twins] + drive) @ transition.T
        p = transition @ covariance[twins] @ transition.T + noise
        s = p[:, 1, 1] + steps.NOISE
        gain = p[:, :, 1] / s[:, None]
        x[twins] = ahead + gain * ((t1 + t2) / 2.0 - ahead[:, 1])[:, None]
        covariance[twins] = p - gain[:, :, None] * p[:, 1:2, :]
    return x
