"""Decodes the telemetry of a type: by a compiled pass, all payloads at once, or with care one by one."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.counters import counter_in
from schemas.definition import Definition
from schemas.errors import PayloadError
from schemas.quantity import Input
from schemas.reasons import Reason
from schemas.telemetry import Reading, parse_telemetry
from twins.account_scan import UNREADABLE
from twins.boots import BootHashes
from twins.bulk_json import BulkJsonDecoder
from twins.columns import NO_SEQ, Columns, payload_hash
from twins.flat_json import FlatJsonDecoder
from twins.payloads import Payloads

_TOGETHER = 32
"""Of payloads that are not plain so many are decoded at once where one of all of them is bad."""
_WORTH_IT = 8
"""Fewer are decoded one by one."""


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
        found = self._flat_json.decode(payloads)
        count, boots = len(payloads), found.boots
        columns = Columns(
            found.inputs,
            np.where(found.time_ns < 0, received_ns, found.time_ns),
            found.seq,
            np.zeros(count, np.int64) if boots is None else self._boots.of_texts(payloads.data, boots),
            np.zeros(count, np.int64),
            {},
            found.extra,
        )
        for index in np.flatnonzero(found.understood & (found.time_ns >= 0) & (found.seq == NO_SEQ)).tolist():
            columns.payload[index] = payload_hash(payloads[index])
        left = np.flatnonzero(~found.understood)
        if len(left):
            columns.time_ns[left], columns.seq[left], columns.boot[left] = received_ns[left], NO_SEQ, 0
            self._others(columns, payloads.some(left), left.tolist(), received_ns)
        self._check_ranges(columns)
        self._check_future(columns, received_ns)
        return columns

    def _others(self, columns: Columns, raws: list[bytes], left: list[int], received_ns: NDArray[np.int64]) -> None:
        """Decode what the compiled parser leaves alone: all at once, else some at once, else with care."""
        if len(left) > _TOGETHER and self._at_once(columns, raws, left, received_ns):
            return
        for first in range(0, len(left), _TOGETHER):
            some, indices = raws[first : first + _TOGETHER], left[first : first + _TOGETHER]
            if len(some) < _WORTH_IT or not self._at_once(columns, some, indices, received_ns):
                self._carefully(columns, some, indices)

    def _at_once(self, columns: Columns, raws: list[bytes], indices: list[int], received_ns: NDArray[np.int64]) -> bool:
        found = self._bulk_json.decode(raws, received_ns[indices])
        if found is None:
            return False
        for name in ("inputs", "time_ns", "seq", "boot", "payload"):
            getattr(columns, name)[indices] = getattr(found, name)
        columns.extra += found.extra
        return True

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

    def _carefully(self, columns: Columns, raws: Iterable[bytes], indices: Iterable[int]) -> None:
        for raw, index in zip(raws, indices, strict=True):
            try:
                reading = parse_telemetry(raw)
            except PayloadError as error:
                columns.refused[index] = (error.reason, error.detail)
                counter = None if error.fields is None else counter_in(error.fields)
                columns.seq[index] = UNREADABLE if counter is None else counter.seq
                columns.boot[index] = 0 if counter is None else self._boots.of(counter.boot)
                continue
            columns.seq[index] = NO_SEQ if reading.seq is None else reading.seq
            columns.boot[index] = self._boots.of(reading.boot)
            try:
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
