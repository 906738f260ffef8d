"""Keeping the box at its temperature with bursts of heat and pauses between them.

    mode          tested in this order              then
    cooling down  T <= set-point - lower bound      heating, for at most the heating time
    heating       heating time over                 waiting, for the heating gap
                  else T > set-point                cooling down
    waiting       gap over and T <= set-point       heating, for at most the heating time
                  gap over and T > set-point        cooling down

At most one transition a record. The heater is on in the mode heating only.
"""

from twins.functions.built_in import State
from twins.functions.durations import to_ns

COOLING_DOWN = 0
HEATING = 1
WAITING = 2

OVERHEATED = 58.0
"""Box temperature in °C at which everything is switched off until a reset."""


def control(
    state: State,
    average_temperature: float,
    setpoint: float,
    lower_bound: float,
    heating_time: float,
    heating_gap: float,
    time_ns: int,
) -> tuple[bool, bool, bool]:
    """Decide on heater and fan.

    Args:
        state: `mode`; `next_ns`, the event time that ends it; `overheated`, whether all is off.
        average_temperature: Measured box temperature in °C.
        setpoint: Set-point in force in °C.
        lower_bound: How far below the set-point heating starts, in °C.
        heating_time: Longest burst in seconds.
        heating_gap: Pause after it in seconds.
        time_ns: Event time of the record.

    Returns:
        Whether the heater shall be on, whether the fan shall be on, and whether it was too hot.
    """
    if average_temperature >= OVERHEATED:
        state.overheated = True
    if state.overheated:
        return False, False, True
    if state.mode == HEATING:
        if time_ns >= state.next_ns:
            state.mode = WAITING
            state.next_ns = time_ns + to_ns(heating_gap)
        elif average_temperature > setpoint:
            state.mode = COOLING_DOWN
    elif state.mode == WAITING:
        if time_ns >= state.next_ns:
            if average_temperature <= setpoint:
                heat(state, time_ns, heating_time)
            else:
                state.mode = COOLING_DOWN
    elif average_temperature <= setpoint - lower_bound:
        heat(state, time_ns, heating_time)
    return state.mode == HEATING, True, False


def heat(state: State, time_ns: int, heating_time: float) -> None:
    """Start a burst of heat."""
    state.mode = HEATING
    state.next_ns = time_ns + to_ns(heating_time)
