"""What a worker tells a process that steps: the functions, and what their arrays look like. Imports next to nothing."""

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from twins.kernel.uncompiled import StepPlan

if TYPE_CHECKING:
    from collections.abc import Mapping


class Format(msgspec.Struct, frozen=True):
    """A NumPy record.

    Attributes:
        fields: Name, type, shape and place of each.
        itemsize: Bytes of a record.
    """

    fields: tuple[tuple[str, str, tuple[int, ...], int], ...]
    itemsize: int

    @classmethod
    def of(cls, dtype: np.dtype[np.void]) -> "Format":
        """That of a type."""
        known: Mapping[str, Any] = dtype.fields or {}
        fields = [(name, known[name][0], int(known[name][1])) for name in dtype.names or ()]
        return cls(tuple((name, one.base.str, one.shape, place) for name, one, place in fields), dtype.itemsize)

    @property
    def dtype(self) -> np.dtype[np.void]:
        """The type."""
        described = {
            "names": [name for name, *_ in self.fields],
            "formats": [(kind, shape) for _, kind, shape, _ in self.fields],
            "offsets": [place for *_, place in self.fields],
            "itemsize": self.itemsize,
        }
        found: np.dtype[np.void] = np.dtype(described)  # type: ignore[call-overload]
        return found


class Function(msgspec.Struct, frozen=True):
    """A step and its arrays."""

    step: StepPlan
    given: Format
    state: Format


class Plan(msgspec.Struct, frozen=True):
    """Everything a process steps.

    Attributes:
        folder: Of the author's files.
    """

    folder: str
    functions: tuple[Function, ...]


class Order(msgspec.Struct, frozen=True):
    """Worker to process: step the first records of the shared memory by a function."""

    function: int
    records: int


class Said(msgspec.Struct, frozen=True):
    """Process to worker.

    Attributes:
        record: Which one failed, -1 where none did.
        failure: Why, as the fields of `Failure`.
        done: All records were stepped, or at the beginning: it is ready.
        grown: Bytes that it holds beyond what it held when it was ready.
        fault: Why it will never be ready.
        is_of_author: Whether that is due to the author's modules, and not to the machine.
    """

    record: int = -1
    failure: tuple[str, int, str, bool, bool] = ("", 0, "", False, False)
    done: bool = False
    grown: int = 0
    fault: str = ""
    is_of_author: bool = True
