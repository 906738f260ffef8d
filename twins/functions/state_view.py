"""A step's state in plain Python: attribute access to one element of a structured array."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class InexactError(TypeError):
    """A float was to be written into an int or a boolean."""


class StateView:
    """Reads and writes the fields of `records[index]` as attributes, as a compiled step does.

    NumPy's own record type will not do: there `state.mean` is a method of NumPy whatever the field is called.
    Scalars come out as Python's, arrays as views that are written in place.
    """

    __slots__ = ("_index", "_records")

    def __init__(self, records: NDArray[np.void], index: int = 0) -> None:
        object.__setattr__(self, "_records", records)
        object.__setattr__(self, "_index", index)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Read one field."""
        try:
            value = self._records[name][self._index]
        except ValueError:
            raise AttributeError(self._no_field(name)) from None
        return value if value.shape else value.item()

    def __setattr__(self, name: str, value: object) -> None:
        """Write one field."""
        try:
            self._records[name][self._index] = value
        except ValueError as error:
            if name in (self._records.dtype.names or ()):
                raise
            raise AttributeError(self._no_field(name)) from error

    def __repr__(self) -> str:
        """Return the fields with their values."""
        return f"StateView({', '.join(f'{name}={getattr(self, name)!r}' for name in self._records.dtype.names or ())})"

    def _no_field(self, name: str) -> str:
        return f"the state has no field {name}; it has {', '.join(self._records.dtype.names or ()) or 'none'}"


class ExactStateView(StateView):
    """The same, which refuses what would be cut off.

    Raises:
        InexactError: a float is written into an int or a boolean.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Read one field; its arrays refuse the same."""
        value = super().__getattr__(name)
        if isinstance(value, np.ndarray) and value.dtype.kind != "f":
            exact = value.view(_ExactArray)
            exact.field = name
            return exact
        return value

    def __setattr__(self, name: str, value: object) -> None:
        """Write one field."""
        if name in (self._records.dtype.names or ()):
            _demand_exact(name, self._records.dtype[name].base, value)
        super().__setattr__(name, value)


class _ExactArray(np.ndarray[Any, np.dtype[Any]]):
    field = ""

    def __array_finalize__(self, whole: object) -> None:
        self.field = getattr(whole, "field", "")

    def __setitem__(self, place: Any, value: Any) -> None:  # noqa: ANN401
        # What was computed from it is an array of its own.
        if self.base is not None:
            _demand_exact(self.field, self.dtype, value)
        super().__setitem__(place, value)


def _demand_exact(name: str, dtype: np.dtype[Any], value: object) -> None:
    if dtype.kind != "f" and np.asarray(value).dtype.kind == "f":
        kind = "bool" if dtype.kind in "bu" else "int"
        raise InexactError(f"a float into its state {name}, which {kind} can't hold")
