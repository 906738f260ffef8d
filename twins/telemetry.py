"""Decodes the telemetry of a type: by a compiled pass, all payloads at once, or with care one by one."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.definition import Definition
from schemas.errors import PayloadError
from schemas.quantity import Input
from schemas.reasons import Reason
from schemas.telemetry import Reading, parse_telemetry
from twins.bulk_json import BulkJsonDecoder
from twins.columns import NO_SEQ, BootHashes, Columns, payload_hash
from twins.flat_json import FlatJsonDecoder
from twins.payloads import Payloads

_CAREFUL_SHARE = 0.05
"""Where more than this share of a block is not plain, decoding it at once is faster."""


class TelemetryDecoder:
    """Decodes the telemetry of one type."""

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._names = tuple(definition.inputs)
        self._declared = tuple(definition.inputs.values())
        self._hold = definition.missing == "hold_last"
        self._known = {*self._names, "time", "seq", "boot"}
        self._boots = BootHashes()
        self._flat_json = FlatJsonDecoder(definition)
        self._bulk_json = BulkJsonDecoder(definition, self._boots)

    def decode(self, payloads: Payloads, received_ns: NDArray[np.int64]) -> Columns:
        """Decode payloads; never raises for what is in them."""
        columns = self._flat(payloads, received_ns)
        if columns is None:
            listed = list(payloads)
            columns = self._bulk_json.decode(listed, received_ns) or self._one_by_one(listed, received_ns)
        self._check_ranges(columns)
        self._check_future(columns, received_ns)
        return columns

    def _flat(self, payloads: Payloads, received_ns: NDArray[np.int64]) -> Columns | None:
        """By the compiled parser, and with care what it leaves alone; None when that is much."""
        found = self._flat_json.decode(payloads)
        left = np.flatnonzero(~found.understood)
        if len(left) > len(payloads) * _CAREFUL_SHARE:
            return None
        count = len(payloads)
        time_ns = np.where(found.time_ns < 0, received_ns, found.time_ns)
        columns = Columns(found.inputs, time_ns, found.seq, np.zeros(count, np.int64), np.zeros(count, np.int64))
        columns.boot[found.booted] = list(map(self._boots.of, found.boots))
        for index in np.flatnonzero(found.understood & (found.time_ns >= 0) & (found.seq == NO_SEQ)).tolist():
            columns.payload[index] = payload_hash(payloads[index])
        columns.time_ns[left], columns.seq[left] = received_ns[left], NO_SEQ
        self._carefully(columns, payloads, left.tolist())
        return columns

    def _one_by_one(self, payloads: Sequence[bytes], received_ns: NDArray[np.int64]) -> Columns:
        count = len(payloads)
        columns = Columns(
            np.zeros((count, len(self._names))),
            received_ns.copy(),
            np.full(count, NO_SEQ, np.int64),
            np.zeros(count, np.int64),
            np.zeros(count, np.int64),
        )
        self._carefully(columns, payloads, range(count))
        return columns

    def _carefully(self, columns: Columns, payloads: Sequence[bytes], indices: Iterable[int]) -> None:
        for index in indices:
            raw = payloads[index]
            try:
                reading = parse_telemetry(raw)
                self._take(columns, index, reading)
            except PayloadError as error:
                columns.refused[index] = (error.reason, error.detail)
                continue
            if reading.time_ns is not None and reading.seq is None:
                columns.payload[index] = payload_hash(raw)

    def _take(self, columns: Columns, index: int, reading: Reading) -> None:
        values = reading.values
        undeclared = values.keys() - self._known
        if undeclared and self._definition.extra == "deadletter":
            raise PayloadError(Reason.EXTRA_FIELD, f"undeclared field {ascii(min(undeclared))[:80]}")
        for position, (name, declared) in enumerate(zip(self._names, self._declared, strict=True)):
            value = values.get(name)
            if value is None and (name not in values or self._hold):
                if not self._hold:
                    raise PayloadError(Reason.MISSING_FIELD, f"no field {name}")
                columns.inputs[index, position] = math.nan
            else:
                columns.inputs[index, position] = _number(name, value, declared)
        columns.extra += len(undeclared)
        columns.seq[index] = NO_SEQ if reading.seq is None else reading.seq
        columns.boot[index] = self._boots.of(reading.boot)
        if reading.time_ns is not None:
            columns.time_ns[index] = reading.time_ns

    def _check_ranges(self, columns: Columns) -> None:
        for position, (name, declared) in enumerate(zip(self._names, self._declared, strict=True)):
            if declared.type == "bool" or declared.outside != "refuse":
                continue
            low, high = declared.bounds()
            column = columns.inputs[:, position]
            for index in np.flatnonzero((column < low) | (column > high)).tolist():
                if index not in columns.refused:
                    detail = f"{name}: {declared.refusal(declared.decode(float(column[index])))}"
                    columns.refused[index] = (Reason.OUT_OF_RANGE, detail)

    def _check_future(self, columns: Columns, received_ns: NDArray[np.int64]) -> None:
        limit_ns = round(self._definition.max_ahead_s * 1e9)
        if not limit_ns:
            return
        for index in np.flatnonzero(columns.time_ns - received_ns > limit_ns).tolist():
            if index not in columns.refused:
                ahead_s = int(columns.time_ns[index] - received_ns[index]) / 1e9
                detail = f"event time is {ahead_s:.0f} s ahead of arrival, more than {self._definition.max_ahead_s:g} s"
                columns.refused[index] = (Reason.FUTURE_TIME, detail)


def _number(name: str, value: object, declared: Input) -> float:
    if isinstance(value, bool) or declared.type == "bool":
        if isinstance(value, bool) and declared.type == "bool":
            return float(value)
    elif isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            raise PayloadError(Reason.NOT_FINITE, f"{name} does not fit a float") from None
        if not math.isfinite(number):
            raise PayloadError(Reason.NOT_FINITE, f"{name} is {number}")
        if declared.type == "float" or number.is_integer():
            return number
    raise PayloadError(Reason.WRONG_TYPE, f"{name}: expected {declared.type}, got {repr(value)[:60]}")
