"""What sinks are given to store: points of the incubator type, and documents of its twins."""

from collections.abc import Iterator

from infra.bench.workload import Workload
from schemas.messages import TwinDocument, encode

FIELDS = (
    "average_temperature",
    "T_air",
    "T_heater",
    "prediction_error",
    "lid_open",
    "heater_command",
    "fan_command",
)
"""Of the incubator type's time series, as floating-point numbers."""

TYPE = "incubator"


def values_of(lines: int, twins: int) -> Iterator[tuple[str, tuple[float, ...], int]]:
    """Points: twin, values of `FIELDS`, and time in ns."""
    workload = Workload(lines, twins, 1)
    names = [key.decode() for key in workload.keys]
    for columns in workload.columns():
        for twin, t1, t2, t3, heater_on, time_ns in zip(*(column.tolist() for column in columns), strict=True):
            mean = (t1 + t2) / 2.0
            yield names[twin], (mean, t1, t2, t3 - mean, 0.0, float(heater_on), 1.0), time_ns


def blocks_of(lines: int, twins: int, block_lines: int) -> Iterator[bytes]:
    """The same points as blocks of line protocol, as workers write them."""
    block: list[str] = []
    for twin, values, time_ns in values_of(lines, twins):
        fields = ",".join(f"{name}={value!r}" for name, value in zip(FIELDS, values, strict=True))
        block.append(f"{TYPE},twin={twin} {fields} {time_ns}\n")
        if len(block) == block_lines:
            yield "".join(block).encode()
            block.clear()
    if block:
        yield "".join(block).encode()


def documents_of(count: int, twins: int) -> Iterator[tuple[str, bytes]]:
    """Documents of twins in turns, each later than the one before of its twin: id and JSON."""
    for number in range(count):
        twin = f"box-{number % twins:05d}"
        document = TwinDocument(
            id=twin,
            type=TYPE,
            project="main",
            version="1.0.0",
            revision=1 + number // twins,
            parameters={"room_sensor": "t3", "temperature_desired": 35.0, "lower_bound": 5.0, "step_s": 3.0},
            tags={"site": f"hall-{number % 7}", "owner": "bench"},
            definition="0" * 64,
            created_ns=1_700_000_000_000_000_000,
            updated_ns=1_700_000_000_000_000_000 + number,
            status="ok",
        )
        yield twin, encode(document)
