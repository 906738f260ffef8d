"""JSON telemetry of a whole block decoded in one call, where all payloads are what their type declares."""

import math
import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.definition import Definition
from schemas.nesting import may_be_deep
from twins.boots import BootHashes
from twins.columns import NO_SEQ, Columns, payload_hash

_TYPES: dict[str, Any] = {"float": float, "int": int, "bool": bool}


class BulkJsonDecoder:
    """Decodes the flat JSON of one type, with undeclared fields where they are ignored."""

    def __init__(self, definition: Definition, boots: BootHashes) -> None:
        self._names = tuple(definition.inputs)
        self._hold = definition.missing == "hold_last"
        self._refuses_extra = definition.extra == "deadletter"
        self._boots = boots
        fields: list[Any] = []
        for name, declared in definition.inputs.items():
            kind = _TYPES[declared.type]
            fields.append((name, kind | None, None) if self._hold else (name, kind))
        # Fields with defaults come last; `fields` tells an Influx point, which is decoded by hand.
        fields += [("time", int | str | None, None), ("seq", int | None, None), ("boot", str, "")]
        strict = msgspec.defstruct("Strict", fields, gc=False, forbid_unknown_fields=True, kw_only=True)
        lenient_fields = [*fields, ("fields", msgspec.Raw, msgspec.Raw())]
        if "fields" in self._names:
            lenient_fields = fields
        lenient = msgspec.defstruct("Lenient", lenient_fields, gc=False, kw_only=True)
        self._strict = msgspec.json.Decoder(list[strict | int])  # type: ignore[valid-type]
        self._lenient = msgspec.json.Decoder(list[lenient | int])  # type: ignore[valid-type]
        # Of every value, undeclared ones too: what is skipped is not checked, and the careful decoder checks all of it.
        self._whole = msgspec.json.Decoder(list[dict[str, Any] | int])
        self._known = {*self._names, "time", "seq", "boot"}

    def decode(self, payloads: Sequence[bytes], received_ns: NDArray[np.int64]) -> Columns | None:
        """Decode payloads; None where that takes more care."""
        # Between two payloads stands a number that nobody can foresee: payloads that are JSON only together, or that
        # smuggle in a further record, would put one twin's values into another's row.
        nonce = secrets.randbits(52)
        joined = b"[" + (b",%d," % nonce).join(payloads) + b"]"
        keys: list[Any] = []
        try:
            try:
                decoded: list[Any] = self._strict.decode(joined)
            except msgspec.ValidationError:
                if self._refuses_extra or any(map(may_be_deep, payloads)):
                    return None
                decoded = self._lenient.decode(joined)
                keys = self._whole.decode(joined)[::2]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        records = decoded[::2]
        if (
            len(decoded) != 2 * len(payloads) - 1
            or decoded[1::2].count(nonce) != len(payloads) - 1
            or int in map(type, records)
        ):
            return None
        if "fields" not in self._known and any("fields" in record for record in keys):
            return None
        extra = sum(len(record.keys() - self._known) for record in keys)
        return self._columns(records, payloads, received_ns, extra)

    def _columns(
        self, records: list[Any], payloads: Sequence[bytes], received_ns: NDArray[np.int64], extra: int
    ) -> Columns | None:
        count = len(records)
        inputs = np.empty((count, len(self._names)))
        try:
            for index, name in enumerate(self._names):
                column = [getattr(record, name) for record in records]
                inputs[:, index] = np.array(column, np.float64) if not self._hold else _with_nan(column)
        except OverflowError:
            return None
        times = [record.time for record in records]
        seqs = [record.seq for record in records]
        try:
            seq = np.array([NO_SEQ if value is None else value for value in seqs], np.int64)
            timed = None not in times
            time_ns = np.array(times, np.int64) if timed else received_ns.copy()
        except (OverflowError, ValueError, TypeError):
            return None
        if not timed and any(value is not None for value in times):
            return None
        # NumPy would take the digits of a string for a number, which the careful decoder refuses.
        if str in map(type, times):
            return None
        if any(value is not None and value < 0 for value in seqs) or (timed and bool((time_ns < 0).any())):
            return None
        boot = np.array([self._boots.of(record.boot) for record in records], np.int64)
        payload = np.zeros(count, np.int64)
        if timed and bool((seq == NO_SEQ).any()):
            payload[:] = [payload_hash(raw) if value is None else 0 for raw, value in zip(payloads, seqs, strict=True)]
        return Columns(inputs, time_ns, seq, boot, payload, {}, extra)


def _with_nan(column: list[Any]) -> NDArray[np.float64]:
    return np.array([math.nan if value is None else value for value in column], np.float64)
