# ruff: noqa: N806, PLR0912, PLR0915, C901  # one long loop with the letters of the formulas, to be read beside them
"""The incubator twin once more, in NumPy and one loop, from the description of the device and not from the steps.

Estimates of the product are compared with these.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

PLANT_2023 = {
    "C_air": 267.55929458,
    "G_box": 0.5763498,
    "C_heater": 329.25376821,
    "G_heater": 1.67053237,
    "V_heater": 12.15579391,
    "I_heater": 1.53551347,
}
PLANT_2021 = {
    "C_air": 177.62927865,
    "G_box": 0.77307655,
    "C_heater": 239.61236331,
    "G_heater": 2.31872819,
    "V_heater": 12.16,
    "I_heater": 10.45,
}
DEFAULTS: dict[str, Any] = {
    **PLANT_2023,
    "room_sensor": "t3",
    "step_s": 3.0,
    "noise": 0.001,
    "x0_heater": 21.0,
    "x0_air": 21.0,
    "temperature_desired": 35.0,
    "lower_bound": 5.0,
    "heating_time": 20.0,
    "heating_gap": 30.0,
    "lid_threshold": 1.0,
    "settle_records": 60,
}
FIELDS = (
    "average_temperature",
    "T_air",
    "T_heater",
    "prediction_error",
    "lid_open",
    "heater_command",
    "fan_command",
    "overheated",
)

Request = tuple[int, str, Mapping[str, Any]]
"""Index of the record before which it comes, name, arguments."""


def matrices(p: Mapping[str, Any], h: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """F and G of the plant, by backward difference with step h."""
    A = np.array(
        [
            [-p["G_heater"] / p["C_heater"], p["G_heater"] / p["C_heater"]],
            [p["G_heater"] / p["C_air"], -(p["G_heater"] + p["G_box"]) / p["C_air"]],
        ]
    )
    B = np.array([[p["V_heater"] * p["I_heater"] / p["C_heater"], 0.0], [0.0, p["G_box"] / p["C_air"]]])
    inverse: NDArray[np.float64] = np.linalg.inv(np.eye(2) - h * A).astype(np.float64)
    return inverse, inverse @ (h * B)


def replay(
    rows: Sequence[Mapping[str, Any]],
    parameters: Mapping[str, Any] | None = None,
    requests: Sequence[Request] = (),
) -> dict[str, NDArray[Any]]:
    """Outputs for each of `rows` (`time` in ns, t1, t2, t3, heater_on), as arrays by the names in `FIELDS`.

    Args:
        rows: Accepted records in order.
        parameters: Those that differ from `DEFAULTS`.
        requests: `temperature_desired`, `parameters`, `energy_saver` and `reset`, in order.
    """
    p = {**DEFAULTS, **(parameters or {})}
    pending = list(requests)
    out: dict[str, list[Any]] = {name: [] for name in FIELDS}
    H = np.array([[0.0, 1.0]])
    x = P = None
    since_start = 0
    saving = dead = False
    mode, next_ns = "CoolingDown", -1
    last_T, last_ns = None, None

    for i, row in enumerate(rows):
        while pending and pending[0][0] <= i:
            _, name, arguments = pending.pop(0)
            if name == "temperature_desired":
                if arguments["temperature_desired"] < 45:
                    p["temperature_desired"] = arguments["temperature_desired"]
            elif name == "energy_saver":
                saving = arguments["enabled"]
            elif name == "parameters":
                p.update(arguments)
                if x is not None:
                    x = np.array([[x[0, 0]], [last_T]])
                    P = np.diag([0.001, 0.001])
                    since_start = 0
            elif name == "reset":
                x = P = None
                since_start = 0
                saving = dead = False
                mode, next_ns = "CoolingDown", -1
            else:
                raise ValueError(name)

        box = ("t2", "t3") if p["room_sensor"] == "t1" else ("t1", "t2")
        T = (row[box[0]] + row[box[1]]) / 2
        t = row["time"]

        if x is None or P is None:
            x = np.array([[p["x0_heater"]], [p["x0_air"]]], dtype=float)
            P = np.diag([0.001, 0.001])
        h = p["step_s"] or (0.0 if last_ns is None else (t - last_ns) / 1e9)
        F, G = matrices(p, h)
        s = p["noise"]
        Q = s**2 * np.array([[h**4 / 4, h**3 / 2], [h**3 / 2, h**2]])
        u = np.array([[1.0 if row["heater_on"] else 0.0], [row[p["room_sensor"]]]])
        x = F @ x + G @ u
        P = F @ P @ F.T + Q
        S = H @ P @ H.T + np.array([[s]])
        K = P @ H.T @ np.linalg.inv(S)
        x = x + K @ (np.array([[T]]) - H @ x)
        P = (np.eye(2) - K @ H) @ P
        since_start += 1
        error = T - x[1, 0]
        last_T, last_ns = T, t

        desired = p["temperature_desired"] * (0.6 if saving and abs(error) > 1.0 else 1.0)
        if T >= 58:
            dead = True
        if not dead:
            if mode == "CoolingDown":
                if desired - p["lower_bound"] >= T:
                    mode, next_ns = "Heating", t + round(p["heating_time"] * 1e9)
            elif mode == "Heating":
                if next_ns > 0 and t >= next_ns:
                    mode, next_ns = "Waiting", t + round(p["heating_gap"] * 1e9)
                elif desired < T:
                    mode, next_ns = "CoolingDown", -1
            elif t >= next_ns:
                if desired >= T:
                    mode, next_ns = "Heating", t + round(p["heating_time"] * 1e9)
                else:
                    mode, next_ns = "CoolingDown", -1

        out["average_temperature"].append(T)
        out["T_air"].append(x[1, 0])
        out["T_heater"].append(x[0, 0])
        out["prediction_error"].append(error)
        out["lid_open"].append(since_start >= p["settle_records"] and abs(error) > p["lid_threshold"])
        out["heater_command"].append(mode == "Heating" and not dead)
        out["fan_command"].append(not dead)
        out["overheated"].append(dead)
    return {name: np.array(values) for name, values in out.items()}
