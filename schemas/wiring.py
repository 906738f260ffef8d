"""Faults between the parts of a definition that are each well-formed: names that nobody gives, or that two give."""

import keyword

from schemas.choices import EARLIER, FIELDS, some_of
from schemas.command_wiring import command_faults
from schemas.definition import AMBIENT, AMBIENT_MEANINGS, Definition, outside_field, stale_field
from schemas.names import RESERVED_EVENTS, RESERVED_FIELDS
from schemas.route_wiring import route_faults
from schemas.step import Previous, Step


def wiring_faults(definition: Definition) -> list[tuple[str, str, str]]:
    """Faults between the parts of a definition that are each well-formed.

    Returns:
        Key path, message and remedy of each fault.
    """
    known: dict[str, str] = dict.fromkeys(AMBIENT, "a built-in name")
    faults = _declaration_faults(definition, known) + _reorder_faults(definition)
    steps: set[str] = set()
    for index, step in enumerate(definition.pipeline):
        if step.name in steps:
            faults.append((f"pipeline.{index}.name", f"a second step {step.name}", "step names are unique"))
        steps.add(step.name)
        faults += _step_faults(definition, index, step, known)
    faults += _output_faults(definition) + route_faults(definition) + _request_faults(definition)
    return faults + _migration_faults(definition)


def _declaration_faults(definition: Definition, known: dict[str, str]) -> list[tuple[str, str, str]]:
    """Faults of inputs and parameters; adds their names to `known`."""
    faults = []
    for place, names in (("inputs", definition.inputs), ("parameters", definition.parameters)):
        for name in names:
            if name in RESERVED_FIELDS:
                faults.append((f"{place}.{name}", f"{name} is reserved", "choose another name"))
            if name in known:
                faults.append((f"{place}.{name}", f"{name} is {known[name]} already", _another(name)))
            known[name] = f"one of {place}"
    for name, declared in definition.inputs.items():
        if declared.default is not None and definition.missing != "hold_last":
            message = "a record without this input is a dead letter, so that its default is never used"
            faults.append((f"inputs.{name}.default", message, "say missing: hold_last, or leave the default out"))
        keys = {outside_field(name): "outside", stale_field(name): "max_age_s"}
        for implied, key in keys.items():
            if implied not in definition.implied():
                continue
            if implied in known:
                message = f"{key} of {name} brings a field {implied}, which is {known[implied]} already"
                faults.append((f"inputs.{name}.{key}", message, "rename one of the two"))
            known[implied] = f"a field that {key} of {name} brings"
    return faults


def _reorder_faults(definition: Definition) -> list[tuple[str, str, str]]:
    """Faults of waiting for earlier records."""
    if not definition.reorder_s:
        return []
    faults = []
    if not definition.tick_s:
        message = "without ticks the last records of a twin that falls silent would wait for ever"
        faults.append(("reorder_s", message, "add tick_s: 1"))
    for name, declared in definition.inputs.items():
        if declared.max_age_s is not None and declared.max_age_s <= definition.reorder_s:
            message = f"{name} would be stale by waiting alone: records wait for {definition.reorder_s:g} s"
            remedy = f"make it longer than reorder_s, which is {definition.reorder_s:g}"
            faults.append((f"inputs.{name}.max_age_s", message, remedy))
    return faults


def _another(name: str) -> str:
    """What to do about a name that is taken."""
    ambient = (
        f", or remove it: every step may take {name} as it is ({AMBIENT_MEANINGS[name]})" if name in AMBIENT else ""
    )
    return f"choose another name{ambient}"


def _step_faults(definition: Definition, index: int, step: Step, known: dict[str, str]) -> list[tuple[str, str, str]]:
    """Faults of one step's names; adds its outputs to `known`."""
    path = f"pipeline.{index}"
    seen = known.keys() - definition.texts.keys()
    faults = [
        (
            f"{path}.inputs.{argument}",
            f"no field {step.field_of(argument)} before this step",
            f"fields known here: {some_of(seen, step.field_of(argument), EARLIER)}",
        )
        for argument, wire in step.inputs.items()
        if step.field_of(argument) not in seen and not isinstance(wire, Previous)
    ]
    remembered = {*definition.inputs, *definition.fields()}
    faults += [
        (
            f"{path}.inputs.{argument}.previous",
            f"no input or output {wire.previous}, whose value was kept",
            f"name one of {some_of(remembered, wire.previous, FIELDS)}",
        )
        for argument, wire in step.inputs.items()
        if isinstance(wire, Previous) and wire.previous not in remembered
    ]
    if step.runs_on != "records" and not definition.tick_s:
        remedy = "declare tick_s: the period of ticks in seconds"
        faults.append((f"{path}.runs_on", f"runs on {step.runs_on}, but the type has no ticks", remedy))
    faults += [
        (f"{path}.requests.{request}", f"no request {request}", "declare it under requests")
        for request in step.requests
        if definition.request(request) is None
    ]
    faults += [
        (f"{path}.state.{name}", f"{name} is a word of Python's own", "choose another name")
        for name in step.state
        if keyword.iskeyword(name)
    ]
    if not step.compiled and ":" not in step.step:
        faults.append((f"{path}.compiled", "a built-in is always compiled", "remove compiled"))
    faults += [(f"{path}.limits.{name}", *_IDLE_LIMITS[name]) for name in _idle_limits(step)]
    for output in step.outputs:
        if output in known or output in RESERVED_FIELDS:
            taken = known.get(output, "a reserved name")
            faults.append((f"{path}.outputs.{output}", f"{output} is {taken} already", _another(output)))
        known[output] = f"an output of step {step.name}"
    return faults


_IDLE_LIMITS = {
    "time_s": (
        "a compiled step has no time of its own",
        "its loops are limited by iterations; or declare compiled: false",
    ),
    "memory_mb": ("a compiled step has no memory of its own", "remove it; or declare compiled: false"),
    "iterations": ("nobody counts the loops of a step that is not compiled", "its calls are limited by time_s"),
}
"""What is wrong with a limit that limits nothing."""


def _idle_limits(step: Step) -> list[str]:
    idle = {"time_s", "memory_mb"} if step.compiled else {"iterations"}
    return sorted(idle & step.limits.model_fields_set)


def _output_faults(definition: Definition) -> list[tuple[str, str, str]]:
    outputs, results = definition.outputs, definition.fields()
    stored = {*results, *definition.inputs}
    wanted = [(f"outputs.timeseries.fields.{i}", f) for i, f in enumerate(outputs.timeseries.fields)]
    wanted += [(f"outputs.metadata.{i}", f) for i, f in enumerate(outputs.metadata)]
    for name, event in outputs.events.items():
        wanted += [(f"outputs.events.{name}.when", event.when)]
        wanted += [(f"outputs.events.{name}.data.{i}", f) for i, f in enumerate(event.data)]
    booleans = [(f"outputs.events.{name}.when", event.when) for name, event in outputs.events.items()]
    for name, field in (("drifting", outputs.status.drifting), ("stale", outputs.status.stale)):
        if field is not None:
            wanted.append((f"outputs.status.{name}", field))
            booleans.append((f"outputs.status.{name}", field))
    faults = [
        (path, f"no field {field}", f"fields are: {some_of(stored, field, FIELDS)}")
        for path, field in wanted
        if field not in stored
    ]
    if outputs.timeseries.when in {"tick", "both"} and not definition.tick_s:
        message = f"lines are due on {outputs.timeseries.when}, but the type has no ticks"
        faults.append(("outputs.timeseries.when", message, "declare tick_s: the period of ticks in seconds"))
    for name, command in outputs.commands.items():
        faults += command_faults(definition, f"outputs.commands.{name}", command)
    faults += [
        (f"outputs.events.{name}", f"{name} is an event of twinstream itself", "choose another name")
        for name in outputs.events
        if name in RESERVED_EVENTS
    ]
    for path, field in booleans:
        declared = results.get(field) or definition.inputs.get(field)
        if declared is not None and declared.type != "bool":
            faults.append((path, f"{field} is {declared.type}", "name a bool field"))
    return faults


def _request_faults(definition: Definition) -> list[tuple[str, str, str]]:
    faults = []
    for name, request in definition.requests.items():
        for parameter, argument in request.sets.items():
            path = f"requests.{name}.sets.{parameter}"
            if parameter not in definition.parameters:
                faults.append((path, f"no parameter {parameter}", "declare it under parameters"))
            if argument not in request.arguments:
                faults.append((path, f"no argument {argument}", f"declare it under requests.{name}.arguments"))
            elif request.arguments[argument].is_text and parameter in definition.parameters:
                kind = definition.parameters[parameter].type
                if kind != "string":
                    faults.append(
                        (
                            path,
                            f"argument {argument} is any text, parameter {parameter} is {kind}",
                            "name another argument",
                        )
                    )
    return faults


def _migration_faults(definition: Definition) -> list[tuple[str, str, str]]:
    """Targets of a migration that this version does not have; state of built-ins is not known here."""
    migration = definition.migration
    steps = {step.name: step for step in definition.pipeline}
    faults = [
        (f"migration.parameters.{name}", f"no parameter {name}", "name a parameter of this version first")
        for name in migration.parameters
        if name not in definition.parameters
    ]
    for path in migration.state:
        step, _, name = path.partition(".")
        declared = steps.get(step)
        if declared is None or (":" in declared.step and name not in declared.state):
            faults.append((f"migration.state.{path}", f"no state {path}", "name a step and its state of this version"))
    return faults
