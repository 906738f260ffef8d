"""Units by the names of pint: whether one is known, whether two are the same, and how one becomes the other.

Pint takes a third of a second to load, so that it is imported with the first unit that is looked at; what only moves
values never looks at one.
"""

import difflib
import functools
import re
from dataclasses import dataclass
from typing import Any

_LENGTH_LIMIT = 100
_WORD = r"[^\W\d]\w*|%|°\w+"
_GRAMMAR = re.compile(rf"(?:{_WORD}|[\s()*/^·.]|[²³⁴⁻¹]|\*\*\s*-?\s*\d\d?(?:\.\d{{1,3}})?|\^\s*-?\d\d?|1)*")
_EXAMPLES = "units are those of pint, such as degC, W/K or m**3/s"


@dataclass(frozen=True, slots=True)
class Linear:
    """How a value in one unit becomes one in another: factor · value + offset."""

    factor: float
    offset: float

    @property
    def changes_nothing(self) -> bool:
        """Whether the two units are the same, by whatever names."""
        return self.factor == 1.0 and self.offset == 0.0


class UnknownUnitError(ValueError):
    """A text that is no unit.

    Attributes:
        remedy: The nearest known name, if there is one.
    """

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(f"no unit {text}")
        self.remedy = remedy


def check_unit(text: str) -> None:
    """Look a unit up; `""` says that none is stated, and passes.

    Raises:
        UnknownUnitError: pint does not know it.
    """
    if text:
        _unit(text)


def conversion(source: str, target: str) -> Linear | None:
    """How a value in `source` becomes one in `target`; None when it can't, such as from degC to m.

    A temperature and a difference of temperatures are two things: degC does not become delta_degC.

    Raises:
        UnknownUnitError: pint does not know one of them.
    """
    return _conversion(source, target)


def alike(one: str, other: str) -> bool:
    """Whether two units are the same, such as J/s and W; true where one is `""`, not stated.

    Raises:
        UnknownUnitError: pint does not know one of them.
    """
    if not (one and other) or one == other:
        return True
    linear = _conversion(one, other)
    return linear is not None and linear.changes_nothing


def difference(text: str) -> str:
    """Unit of the difference of two values: delta_degC for degC, and most units themselves.

    Raises:
        UnknownUnitError: pint does not know it.
    """
    return f"delta_{text if text.isidentifier() else _unit(text)}" if text and _has_offset(_unit(text)) else text


@functools.cache
def _conversion(source: str, target: str) -> Linear | None:
    import pint  # noqa: PLC0415 - slow to load

    units = _unit(source), _unit(target)

    def converted(value: float, units: tuple[Any, Any]) -> float:
        return float(_registry().Quantity(value, units[0]).to(units[1]).magnitude)

    try:
        zero, one, two = (converted(value, units) for value in (0.0, 1.0, 2.0))
        factor = converted(1.0, (_unit(difference(source)), _unit(difference(target))))
    except (pint.PintError, ArithmeticError, ValueError):
        return None
    # A logarithmic unit is no straight line.
    if abs((two - one) - (one - zero)) > 1e-9 * abs(one - zero):
        return None
    return Linear(_tidy(factor), _tidy(zero))


def _tidy(value: float) -> float:
    """Without the rounding errors of a chain of factors, where there is a short number so near."""
    short = float(f"{value:.12g}")
    return short if abs(value - short) <= 1e-14 * abs(value) else value


def _has_offset(unit: Any) -> bool:  # noqa: ANN401 - pint's types are those of its registry
    return bool(_registry().Quantity(0.0, unit).to_base_units().magnitude != 0.0)


@functools.cache
def _registry() -> Any:  # noqa: ANN401 - likewise
    import pint  # noqa: PLC0415 - slow to load

    return pint.UnitRegistry(on_redefinition="raise")


@functools.cache
def _unit(text: str) -> Any:  # noqa: ANN401 - likewise
    import pint  # noqa: PLC0415 - slow to load

    shown = ascii(text)[1:-1] if not text.isprintable() else text[:_LENGTH_LIMIT]
    if len(text) > _LENGTH_LIMIT or not _GRAMMAR.fullmatch(text) or not text.strip():
        raise UnknownUnitError(shown or "''", _EXAMPLES)
    try:
        return _registry().parse_units(text)
    except pint.UndefinedUnitError:
        pass
    except Exception:  # noqa: BLE001 - its parser of expressions raises many kinds
        # An unknown name in an expression may fail before it is looked up.
        if not _unknown_names(text):
            raise UnknownUnitError(shown, _EXAMPLES) from None
    raise UnknownUnitError(shown, _remedy(text))


def _unknown_names(text: str) -> list[str]:
    return [name for name in re.findall(_WORD, text) if not _registry().parse_unit_name(name)]


def _remedy(text: str) -> str:
    names = _unknown_names(text)
    return f"the nearest that is known: {_nearest(names[0])}; {_EXAMPLES}" if names else _EXAMPLES


def _nearest(name: str) -> str:
    letters = name.rstrip("0123456789")
    if letters != name and _registry().parse_unit_name(letters):
        return f"{letters}**{name.removeprefix(letters)}"
    known: list[str] = list(_registry())
    same = [word for word in known if word.casefold() == name.casefold()]
    prefixed = [prefix + unit for prefix, unit, _ in _registry().parse_unit_name(name, case_sensitive=False)]
    nearest: str = [*same, *sorted(prefixed), *difflib.get_close_matches(name, known, 1, 0.0)][0]
    return nearest
