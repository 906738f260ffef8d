"""Flat JSON telemetry straight into columns: a compiled pass over the bytes of a block, no Python object per record.

It understands what well-behaved devices send and gives exactly what the careful decoder would: one object of declared
fields, each at most once, plain names, numbers that a double holds exactly in digits and power of ten, booleans. Every
other payload it leaves alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.definition import Definition
from twins.flat_json_scan import BOOL, BOOT, FLOAT, INT, SEQ, TIME, scan
from twins.payloads import Payloads

_KINDS = {"float": FLOAT, "int": INT, "bool": BOOL}


@dataclass(slots=True)
class FlatColumns:
    """What n payloads say, where `understood`.

    Attributes:
        understood: (n,) bool.
        inputs: (n, inputs) float64, NaN where a field is missing.
        time_ns: (n,) int64, -1 for none.
        seq: (n,) int64, -1 for none.
        booted: Indices of the records that name their boot.
        boots: Boot of each of them.
    """

    understood: NDArray[np.bool_]
    inputs: NDArray[np.float64]
    time_ns: NDArray[np.int64]
    seq: NDArray[np.int64]
    booted: NDArray[np.int64]
    boots: list[str]


class FlatJsonDecoder:
    """Decodes the flat JSON of one type.

    Args:
        definition: Of the type.
    """

    def __init__(self, definition: Definition) -> None:
        inputs = list(definition.inputs.items())
        names = [name.encode() for name, _ in inputs] + [b"time", b"seq", b"boot"]
        self._inputs = len(inputs)
        self._missing_is_fine = definition.missing == "hold_last"
        self._kinds = np.array([*(_KINDS[declared.type] for _, declared in inputs), TIME, SEQ, BOOT], np.int64)
        self._names = np.frombuffer(b"".join(names), np.uint8)
        self._name_ends = np.cumsum([len(name) for name in names], dtype=np.int64)
        self.decode(Payloads.of([b"{}"]))  # compiles, where the event loop does not wait for it

    def decode(self, payloads: Payloads) -> FlatColumns:
        """Decode payloads; never raises for what is in them."""
        count = len(payloads)
        found = FlatColumns(
            np.zeros(count, np.bool_),
            np.empty((count, self._inputs)),
            np.empty(count, np.int64),
            np.empty(count, np.int64),
            np.zeros(0, np.int64),
            [],
        )
        boots = np.zeros((count, 2), np.int64)
        any_boot = scan(
            payloads.data,
            payloads.at,
            payloads.ends,
            self._names,
            self._name_ends,
            self._kinds,
            self._missing_is_fine,
            found.understood,
            found.inputs,
            found.time_ns,
            found.seq,
            boots,
        )
        if any_boot:
            found.booted = np.flatnonzero((boots[:, 1] > 0) & found.understood)
            places = boots[found.booted].tolist()
            found.boots = [payloads.data[start:end].tobytes().decode() for start, end in places]
        return found
