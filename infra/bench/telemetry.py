"""The payload that every contestant decodes."""

import msgspec


class Telemetry(msgspec.Struct, gc=False):
    """One record's payload: flat JSON, about 100 bytes."""

    t1: float
    t2: float
    t3: float
    heater_on: bool
    fan_on: bool
    time: int
    seq: int
