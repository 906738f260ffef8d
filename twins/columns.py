"""Telemetry of a block as columns: decoded at once, or record by record where that fails."""

import hashlib
import math
import secrets
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.definition import Definition
from schemas.errors import PayloadError
from schemas.nesting import may_be_deep
from schemas.quantity import Input
from schemas.reasons import Reason
from schemas.telemetry import Reading, parse_telemetry
from twins.flat_json import FlatJsonDecoder
from twins.payloads import Payloads

NO_SEQ = -1
_CAREFUL_SHARE = 0.05
"""Where more than this share of a block is not plain, decoding it at once is faster."""

_TYPES: dict[str, Any] = {"float": float, "int": int, "bool": bool}


@dataclass(slots=True)
class Columns:
    """What n payloads say; refused records keep meaningless values in their row.

    Attributes:
        inputs: (n, inputs) float64 in the order of the definition; NaN where a field is missing.
        time_ns: (n,) int64 event time; arrival where the device sends none.
        seq: (n,) int64, -1 for none.
        boot: (n,) int64 hash of the boot, 0 for none.
        payload: (n,) int64 hash of payloads with a device time and no counter, else 0.
        refused: Index to reason and detail.
        extra: Undeclared fields that were ignored.
    """

    inputs: NDArray[np.float64]
    time_ns: NDArray[np.int64]
    seq: NDArray[np.int64]
    boot: NDArray[np.int64]
    payload: NDArray[np.int64]
    refused: dict[int, tuple[Reason, str]] = field(default_factory=dict)
    extra: int = 0

    @classmethod
    def empty(cls, inputs: int) -> "Columns":
        """No records."""
        none = np.zeros(0, np.int64)
        return cls(np.zeros((0, inputs)), none, none, none, none)

    def take(self, indices: NDArray[np.int64]) -> "Columns":
        """The records at `indices`, none of them refused."""
        return Columns(
            self.inputs[indices], self.time_ns[indices], self.seq[indices], self.boot[indices], self.payload[indices]
        )


class TelemetryDecoder:
    """Decodes the telemetry of one type."""

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._names = tuple(definition.inputs)
        self._declared = tuple(definition.inputs.values())
        self._hold = definition.missing == "hold_last"
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
        self._boots: dict[str, int] = {"": 0}
        self._parser = FlatJsonDecoder(definition)

    def decode(self, payloads: Payloads, received_ns: NDArray[np.int64]) -> Columns:
        """Decode payloads; never raises for what is in them."""
        columns = self._flat(payloads, received_ns)
        if columns is None:
            listed = list(payloads)
            columns = self._at_once(listed, received_ns) or self._one_by_one(listed, received_ns)
        self._check_ranges(columns)
        self._check_future(columns, received_ns)
        return columns

    def _flat(self, payloads: Payloads, received_ns: NDArray[np.int64]) -> Columns | None:
        """By the compiled parser, and with care what it leaves alone; None when that is much."""
        found = self._parser.decode(payloads)
        left = np.flatnonzero(~found.understood)
        if len(left) > len(payloads) * _CAREFUL_SHARE:
            return None
        count = len(payloads)
        time_ns = np.where(found.time_ns < 0, received_ns, found.time_ns)
        columns = Columns(found.inputs, time_ns, found.seq, np.zeros(count, np.int64), np.zeros(count, np.int64))
        columns.boot[found.booted] = list(map(self._boot, found.boots))
        for index in np.flatnonzero(found.understood & (found.time_ns >= 0) & (found.seq == NO_SEQ)).tolist():
            columns.payload[index] = payload_hash(payloads[index])
        columns.time_ns[left], columns.seq[left] = received_ns[left], NO_SEQ
        self._carefully(columns, payloads, left.tolist())
        return columns

    def _at_once(self, payloads: Sequence[bytes], received_ns: NDArray[np.int64]) -> Columns | None:
        # Between two payloads stands a number that nobody can foresee: payloads that are JSON only together, or that
        # smuggle in a further record, would put one twin's values into another's row.
        nonce = secrets.randbits(52)
        joined = b"[" + (b",%d," % nonce).join(payloads) + b"]"
        keys: list[Any] = []
        try:
            try:
                decoded: list[Any] = self._strict.decode(joined)
            except msgspec.ValidationError:
                if self._definition.extra == "deadletter" or any(map(may_be_deep, payloads)):
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
        boot = np.array([self._boot(record.boot) for record in records], np.int64)
        payload = np.zeros(count, np.int64)
        if timed and bool((seq == NO_SEQ).any()):
            payload[:] = [payload_hash(raw) if value is None else 0 for raw, value in zip(payloads, seqs, strict=True)]
        return Columns(inputs, time_ns, seq, boot, payload, {}, extra)

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
        columns.boot[index] = self._boot(reading.boot)
        if reading.time_ns is not None:
            columns.time_ns[index] = reading.time_ns

    def _boot(self, boot: str) -> int:
        known = self._boots.get(boot)
        if known is None:
            if len(self._boots) > 100_000:  # noqa: PLR2004 - forget, rather than grow with every boot ever seen
                self._boots = {"": 0}
            digest = hashlib.blake2b(boot.encode(), digest_size=8).digest()
            known = self._boots[boot] = int.from_bytes(digest, "little", signed=True)
        return known

    def _check_ranges(self, columns: Columns) -> None:
        for position, (name, declared) in enumerate(zip(self._names, self._declared, strict=True)):
            if declared.type == "bool":
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


def payload_hash(raw: bytes) -> int:
    """64-bit hash of a payload that fits an int64, never 0.

    Two checksums of different kind: enough to tell a redelivery from another reading at the same device time.
    """
    return (zlib.crc32(raw) << 31 | (zlib.adler32(raw) & 0x7FFFFFFF)) or 1


def _with_nan(column: list[Any]) -> NDArray[np.float64]:
    return np.array([math.nan if value is None else value for value in column], np.float64)


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
    raise PayloadError(Reason.WRONG_TYPE, f"{name}: expected {declared.type}, got {ascii(value)[:60]}")
