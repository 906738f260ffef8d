"""How the bytes of a row lie, and what they mean, as JSON that lies beside the rows in the changelog."""

from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

_INT_LIMIT = 2.0**63
_GAP = "_gap"


@dataclass(frozen=True)
class RowFormat:
    """Enough to read rows without the definition they were written under.

    Attributes:
        dtype: The record.
        choices: Permitted values of each parameter that is a text; rows hold the index among them.
        renamed_state: By the definition's migration: what state was called before, `step.name` both.
        renamed_parameters: Likewise of parameters.
        version: Of the definition, empty in what earlier releases described.
        texts: Parameters that are any text; they lie beside the rows (`twins.texts`).
    """

    dtype: np.dtype[np.void]
    choices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    renamed_state: dict[str, str] = field(default_factory=dict)
    renamed_parameters: dict[str, str] = field(default_factory=dict)
    version: str = ""
    texts: tuple[str, ...] = ()

    @classmethod
    def read(cls, description: bytes) -> Self:
        """Undo `describe`."""
        described = msgspec.json.decode(description)
        choices = {name: tuple(texts) for name, texts in described.get("choices", {}).items()}
        renamed = described.get("renamed", {})
        names = renamed.get("state", {}), renamed.get("parameters", {})
        version = described.get("version") or renamed.get("version", "")
        return cls(_undescribed(described), choices, *names, version, tuple(described.get("texts", ())))

    def describe(self) -> bytes:
        """Fields, offsets, size, choices, texts, version and what was renamed as JSON."""
        described = {**_described(self.dtype), "choices": self.choices, "version": self.version}
        if self.texts:
            described["texts"] = self.texts
        if self.renamed_state or self.renamed_parameters:
            described["renamed"] = {"state": self.renamed_state, "parameters": self.renamed_parameters}
        return msgspec.json.encode(described)

    def parameters(self) -> set[str]:
        """Parameters that rows hold."""
        return {name.removeprefix("p_") for name in self.dtype.names or () if name.startswith("p_")}

    def states(self) -> list[str]:
        """State that rows hold, each `step.name`."""
        steps = [name for name in self.dtype.names or () if name.startswith("s_")]
        return [
            f"{step.removeprefix('s_')}.{name}"
            for step in steps
            for name in self.dtype[step].names or ()
            if name != _GAP
        ]


def _described(dtype: np.dtype[Any]) -> Any:  # noqa: ANN401
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": _described(base), "shape": list(shape)}
    if dtype.fields is None:
        return dtype.str
    names = list(dtype.names or ())
    return {
        "names": names,
        "formats": [_described(dtype.fields[name][0]) for name in names],
        "offsets": [dtype.fields[name][1] for name in names],
        "itemsize": dtype.itemsize,
    }


def _undescribed(described: Any) -> Any:  # noqa: ANN401
    if isinstance(described, str):
        return np.dtype(described)
    if "base" in described:
        return np.dtype((_undescribed(described["base"]), tuple(described["shape"])))
    record: Any = {key: described[key] for key in ("names", "offsets", "itemsize")}
    record |= {"formats": [_undescribed(item) for item in described["formats"]]}
    return np.dtype(record)


def carry(old: NDArray[np.void], new: NDArray[np.void]) -> None:
    """Copy every field that both records have under the same name and shape.

    A value that the new type has no number for, such as NaN among integers, is left as it begins.
    """
    for name in new.dtype.names or ():
        if name not in (old.dtype.names or ()):
            continue
        before, after = old.dtype[name], new.dtype[name]
        if before.fields is not None and after.fields is not None:
            carry(old[name], new[name])
        elif before.shape == after.shape:
            _copy(old[name], new[name])


def carry_field(old: NDArray[np.void], source: tuple[str, ...], new: NDArray[np.void], target: tuple[str, ...]) -> None:
    """Copy one field under another path, if both records have it and in the same shape."""
    before, after = _field(old, source), _field(new, target)
    if before is not None and after is not None and before.shape == after.shape:
        _copy(before, after)


def _copy(before: NDArray[Any], after: NDArray[Any]) -> None:
    if before.dtype == after.dtype:
        after[...] = before
        return
    holds = np.ones(before.shape, np.bool_)
    if before.dtype.kind == "f" and after.dtype.kind != "f":
        holds = np.abs(before) < _INT_LIMIT
        before = np.where(holds, before, 0.0)
    if after.dtype.itemsize == 1:  # booleans, in arrays as bytes
        before = before != 0
    after[holds] = before.astype(after.dtype)[holds]


def _field(records: NDArray[Any], path: tuple[str, ...]) -> NDArray[Any] | None:
    for name in path:
        if name not in (records.dtype.names or ()):
            return None
        records = records[name]
    return records


def packed(fields: list[Any]) -> np.dtype[np.void]:
    """An aligned record without gaps: what NumPy leaves in gaps when it copies would make equal rows differ."""
    words = [item for item in fields if np.dtype(item[1]).itemsize % 8 == 0]
    octets = sorted((item for item in fields if np.dtype(item[1]).itemsize % 8), key=_size, reverse=True)
    rest = -np.dtype(octets).itemsize % 8 if octets else 0
    gap: list[Any] = [(_GAP, "u1", (rest,))] if rest else []
    dtype: np.dtype[np.void] = np.dtype([*words, *octets, *gap], align=True)
    return dtype


def _size(item: Any) -> int:  # noqa: ANN401
    """Of one element: what follows larger ones needs no gap."""
    return int(np.dtype(item[1]).itemsize % 8)
