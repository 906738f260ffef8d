"""Units as people write them: `°C` for `degC`, `m³/s` for `m**3/s`. Pure, and without loading pint."""

import re

_SYMBOLS = {
    "degC": "°C",
    "delta_degC": "Δ°C",
    "degF": "°F",
    "delta_degF": "Δ°F",
    "degree": "°",
    "deg": "°",
    "ohm": "Ω",
    "percent": "%",
    "micrometer": "µm",
    "um": "µm",
}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_POWER = re.compile(r"\s*(?:\*\*|\^)\s*(-?\d+)(?!\.)")


def shown(unit: str) -> str:
    """The unit for people; `""` for a pure number, whether it is declared as `1` or not stated."""
    if unit in {"", "1", "dimensionless"}:
        return ""
    text = re.sub(r"[A-Za-z_]+", lambda name: _SYMBOLS.get(name[0], name[0]), unit)
    text = _POWER.sub(lambda power: power[1].translate(_SUPERSCRIPT), text)
    return re.sub(r"\s*\*\s*", "·", text)
