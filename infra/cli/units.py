"""Values of a twin with the units that its type declares."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from infra.cli.output import plain
from infra.console.units import shown

if TYPE_CHECKING:
    from infra.cli.client import Api


def units_of(api: "Api", type_name: str) -> dict[str, str]:
    """Unit of each input, parameter and output of a type that has one, as people write it."""
    definition = api.get("types", type_name)["definition"]
    declared = [definition["inputs"], definition["parameters"], *(step["outputs"] for step in definition["pipeline"])]
    units = {name: shown(one.get("unit") or "") for named in declared for name, one in named.items()}
    return {name: unit for name, unit in units.items() if unit}


def with_units(values: Mapping[str, Any], units: Mapping[str, str]) -> dict[str, Any]:
    """Values as people read them: numbers with their unit, all else as it is."""
    return {
        name: f"{plain(value)} {units[name]}" if name in units and isinstance(value, int | float) else value
        for name, value in values.items()
    }
