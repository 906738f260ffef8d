"""Which sensors are in the box."""


def average(t1: float, t2: float, t3: float, room_sensor: int) -> tuple[float, float]:
    """Split three sensors into the box and the room.

    Args:
        t1: Temperature in °C.
        t2: Temperature in °C, always in the box.
        t3: Temperature in °C.
        room_sensor: 0 when `t1` is the room, 1 when `t3` is.

    Returns:
        Box temperature, the mean of its two sensors, and room temperature, both in °C.
    """
    if room_sensor == 0:
        return (t2 + t3) / 2.0, t1
    return (t1 + t2) / 2.0, t3
