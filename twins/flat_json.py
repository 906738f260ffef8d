"""Flat JSON telemetry straight into columns: a compiled pass over the bytes of a block, no Python object per record.

It understands what well-behaved devices send and gives exactly what the careful decoder would: one object of fields,
each at most once, plain names, numbers that a double holds exactly in digits and power of ten, booleans, and where
undeclared fields are ignored, some with any number, boolean or plain text. Every other payload it leaves alone.
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
        boots: (n, 2) int64, first byte of each one's boot, and the byte after its last; None where nobody names one.
        extra: How many undeclared fields were passed over.
    """

    understood: NDArray[np.bool_]
    inputs: NDArray[np.float64]
    time_ns: NDArray[np.int64]
    seq: NDArray[np.int64]
    boots: NDArray[np.int64] | None
    extra: int = 0


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
        self._extra_is_fine = definition.extra != "deadletter"
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
            None,
        )
        boots = np.zeros((count, 2), np.int64)
        any_boot, found.extra = scan(
            payloads.data,
            payloads.at,
            payloads.ends,
            self._names,
            self._name_ends,
            self._kinds,
            self._missing_is_fine,
            self._extra_is_fine,
            found.understood,
            found.inputs,
            found.time_ns,
            found.seq,
            boots,
        )
        if any_boot:
            boots[~found.understood] = 0
            found.boots = boots
        return found
