"""What becomes of twins under another version: known before it is in force."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from schemas.definition import Definition
from schemas.quantity import Parameter
from schemas.step import StateField
from twins.layout import RowLayout
from twins.renaming import is_older, sources


@dataclass(frozen=True, slots=True)
class Succession:
    """What becomes of the twins of one version under another.

    Attributes:
        faults: Of the migration: key path, message and remedy of each.
        notes: What begins anew, is dropped or no longer permitted; each one line.
    """

    faults: list[tuple[str, str, str]]
    notes: list[str]


def succession(definition: Definition, earlier: Definition) -> Succession:
    """Compare a version with the one before it."""
    states, known = _states(definition), _states(earlier)
    back = is_older(definition.version, earlier.version)
    migration, before = definition.migration, earlier.migration
    found = sources(states, known, migration.state, before.state, goes_back=back)
    renamed = migration.parameters, before.parameters
    chosen = sources(definition.parameters, earlier.parameters, *renamed, goes_back=back)
    faults = [
        *_state_faults(definition, states, earlier, known, found),
        *_parameter_faults(definition, earlier, chosen),
    ]
    if back:
        faults += _undecided(definition, earlier, "state", migration.state, before.state, known, found)
        faults += _undecided(definition, earlier, "parameters", *renamed, earlier.parameters, chosen)
    kept = {name: source for name, source in found.items() if known[source].shape == states[name].shape}
    anew = [name for name in states if name not in kept]
    dropped = [name for name in known if name not in kept.values()]
    # What can be mended is told with its remedy.
    hint = " (migration.state can name what each was called before)" if set(anew) - set(known) and dropped else ""
    notes = [f"{note}{hint}" for note in _listed("state that begins anew", anew)]
    notes += _listed("state that is dropped", dropped)
    held = {
        name: source
        for name, source in chosen.items()
        if definition.parameters[name].is_text == earlier.parameters[source].is_text
    }
    notes += _listed(
        "parameters whose values are dropped", [name for name in earlier.parameters if name not in held.values()]
    )
    narrower = [
        name for name, source in held.items() if _narrows(definition.parameters[name], earlier.parameters[source])
    ]
    notes += _listed(
        "parameters that permit less than before, so that a value outside gives way to the default", narrower
    )
    return Succession(faults, notes)


def _states(definition: Definition) -> dict[str, StateField]:
    steps = RowLayout.of(definition).states
    return {f"{step}.{name}": declared for step, state in steps.items() for name, declared in state.items()}


def _undecided(
    definition: Definition,
    earlier: Definition,
    kind: str,
    renamed: Mapping[str, str],
    before: Mapping[str, str],
    known: Collection[str],
    found: Mapping[str, str],
) -> Iterator[tuple[str, str, str]]:
    """Renamings of a version with a lower number that give way to what may be the way back."""
    for name, source in renamed.items():
        if source in known and found.get(name, source) != source and before.get(name) != source:
            message = f"{name} goes on from {found[name]}: version {definition.version} is older than {earlier.version}"
            yield f"migration.{kind}.{name}", message, "count version up if it is a new one, or take this line out"


def _state_faults(
    definition: Definition,
    states: Mapping[str, StateField],
    earlier: Definition,
    known: Mapping[str, StateField],
    found: Mapping[str, str],
) -> Iterator[tuple[str, str, str]]:
    has = f"version {earlier.version}, which it goes on from, has {', '.join(known) or 'no state'}"
    for name, source in definition.migration.state.items():
        path = f"migration.state.{name}"
        if name not in states:
            yield path, f"no state {name}", f"name one of this version: {', '.join(states) or 'it has none'}"
        elif found.get(name) == source:
            ours, theirs = _form(states[name]), _form(known[source])
            if ours != theirs:
                message = f"{name} is {ours}, but {source} was {theirs}"
                yield path, message, "declare both alike, or take this line out to begin anew"
        elif name not in found:  # what an earlier deployment renamed is there under its new name
            yield path, f"no state {source} before: {has}", "name one of these, or take this line out to begin anew"


def _parameter_faults(
    definition: Definition, earlier: Definition, found: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    known = earlier.parameters
    has = f"version {earlier.version}, which it goes on from, has {', '.join(known) or 'no parameters'}"
    for name, source in definition.migration.parameters.items():
        path = f"migration.parameters.{name}"
        if found.get(name) == source:
            ours, theirs = _kind(definition.parameters[name]), _kind(known[source])
            if ours != theirs:
                message = f"{name} is {ours}, but {source} was {theirs}"
                yield path, message, "declare both alike, or take this line out to begin with the default"
        elif name not in found:
            remedy = "name one of these, or take this line out to begin with the default"
            yield path, f"no parameter {source} before: {has}", remedy


def _form(declared: StateField) -> str:
    """Shape and kind of a state; whole numbers go on as numbers, and numbers that are whole the other way round."""
    kind = "a truth value" if declared.type == "bool" else "a number"
    return f"{kind} of shape {list(declared.shape)}" if declared.shape else kind


def _kind(declared: Parameter) -> str:
    if declared.type == "string":
        return "any text" if declared.is_text else "one of choices"
    return "a truth value" if declared.type == "bool" else "a number"


def _narrows(declared: Parameter, earlier: Parameter) -> bool:
    """Whether a value that was permitted may be so no longer."""
    if declared.choices or earlier.choices:
        return not set(earlier.choices) <= set(declared.choices) or not earlier.choices
    if declared.is_text:
        return False
    low, high = declared.bounds()
    low_before, high_before = earlier.bounds()
    narrowed = earlier.type == "float" and declared.type == "int"
    return narrowed or (declared.type == "bool") != (earlier.type == "bool") or low > low_before or high < high_before


def _listed(what: str, names: Collection[str]) -> list[str]:
    return [f"{what}: {', '.join(names)}"] if names else []
