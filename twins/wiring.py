"""The pipeline with every name resolved: functions, arguments and where each argument comes from."""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pydantic

from schemas.all_faults import all_faults
from schemas.choices import EARLIER, some_of
from schemas.definition import AMBIENT, Definition
from schemas.definition_file import FILE
from schemas.errors import DefinitionError, Problem
from schemas.fault_texts import told
from schemas.step import Previous, Step, StepLimits
from schemas.units import Linear
from twins.authored import AuthoredCode
from twins.conversions import conversions_of
from twins.folder_calls import FolderCall, linked
from twins.functions.built_in import Constant
from twins.functions.registry import BUILT_INS
from twins.layout import step_state
from twins.signatures import signature_faults

ROUNDS = StepLimits().iterations

_UNFIT = {"float": {"int", "bool"}, "int": {"bool"}, "bool": {"float"}}
"""By the type of a built-in's result, the types that would lose some of it, or that nothing makes of it."""


@dataclass(frozen=True, slots=True)
class WiredStep:
    """One stage, ready to be compiled or called.

    Attributes:
        arguments: In the order of the call: `("state", "")`, `("field", name)`, `("constant", name)`, or
            `("converted", argument)` for a field in another unit, or `("previous", name)` for what one was before.
        constants: Values of the constants.
        conversions: By argument, the field and how the step's unit follows from its own.
        outputs: Fields, in the order of the returned values.
        authored: Whether the function comes from the folder.
        truths: Fields that must be booleans.
        places: Where in the step a field is named, as a key path; under `inputs` unless given.
        compiled: Whether it goes into the kernel, or is called as plain Python.
        calls: Functions of the folder that a built-in calls.
        rounds: How often the loops of a function of the folder go round in one call before it raises.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[tuple[str, str], ...]
    constants: dict[str, Constant]
    outputs: tuple[str, ...]
    authored: bool
    conversions: dict[str, tuple[str, Linear]] = field(default_factory=dict)
    truths: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    compiled: bool = True
    calls: tuple[FolderCall, ...] = ()
    rounds: int = ROUNDS

    @property
    def fields(self) -> tuple[str, ...]:
        """What the step takes of fields, parameters and what is ambient, each once."""
        return tuple(
            dict.fromkeys(
                self.conversions[name][0] if kind == "converted" else name
                for kind, name in self.arguments
                if kind in {"field", "converted"}
            )
        )


def wire(definition: Definition, code: AuthoredCode) -> list[WiredStep]:
    """Resolve a definition's pipeline.

    Raises:
        DefinitionError: with every fault.
    """
    steps, problems = wired(definition, code)
    if problems:
        raise DefinitionError(problems)
    return steps


def wired(
    definition: Definition, code: AuthoredCode, replaced: Collection[str] = ()
) -> tuple[list[WiredStep], list[Problem]]:
    """Resolve what can be resolved of a definition's pipeline.

    Args:
        definition: The definition.
        code: The folder's code.
        replaced: Key paths of stand-ins for declarations with faults; what depends on them is left out.

    Returns:
        The steps without faults, and every fault.
    """
    problems: list[Problem] = []
    steps: list[WiredStep] = []
    known = {*AMBIENT, *definition.inputs, *definition.numbers, *definition.implied()}
    for index, step in enumerate(definition.pipeline):
        if f"pipeline.{index}" not in replaced:
            try:
                resolve = _authored if ":" in step.step else _built_in
                found, faults = resolve(definition, step, index, code)
                problems += faults
                problems += _unknown_fields(found, step, index, known, definition.texts)
                problems += _no_booleans(found, definition, index)
                if not faults:
                    steps.append(found)
            except DefinitionError as error:
                problems += error.problems
            for request in step.requests:
                problems += _handler_faults(definition, index, request, code, replaced)
        known |= set(step.outputs)
    # A file that can't be imported is so for each of its functions.
    return steps, list(dict.fromkeys(problems))


def handler_arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of a function's parameters."""
    return tuple(inspect.signature(function).parameters)


def _handler_faults(
    definition: Definition, index: int, request: str, code: AuthoredCode, replaced: Collection[str]
) -> list[Problem]:
    step = definition.pipeline[index]
    target = step.requests[request]
    try:
        function = _function(code, target, f"pipeline.{index}.requests.{request}")
    except DefinitionError as error:
        return list(error.problems)
    if f"requests.{request}" in replaced:
        return []
    declared = definition.request(request)
    known = {*AMBIENT, *definition.inputs, *definition.numbers, *definition.fields()}
    known |= set(declared.arguments) if declared else set()
    known |= {"state"} if step_state(step) else set()
    file, line = target.partition(":")[0], function.__code__.co_firstlineno
    rest = "all are inputs, parameters, outputs, arguments of the request and state"
    return [
        Problem(
            file,
            line,
            function.__name__,
            f"{function.__name__} takes {name}, which is nothing here",
            f"a handler of {request} may take {some_of(known, name, rest)}",
        )
        for name in handler_arguments(function)
        if name not in known
    ]


def _function(code: AuthoredCode, target: str, path: str) -> Callable[..., Any]:
    """A function of the folder; that there is none is a fault of the definition, at the key path that names it."""
    if ":" not in target:
        remedy = "write file.py:function"
        raise DefinitionError([Problem(FILE, 0, path, f"{target} is no function of the folder", remedy)])
    try:
        return code.function(target)
    except DefinitionError as error:
        raise DefinitionError(
            [problem if problem.line else replace(problem, file=FILE, path=path) for problem in error.problems]
        ) from None


def _authored(definition: Definition, step: Step, index: int, code: AuthoredCode) -> tuple[WiredStep, list[Problem]]:
    """A step of the folder, and the faults that leave it one of which more can be told."""
    function = _function(code, step.step, f"pipeline.{index}.step")
    file = step.step.partition(":")[0]
    # One that comes from elsewhere has no line in the folder.
    line = function.__code__.co_firstlineno if code.owns(function) else 1
    if problems := signature_faults(function, file, line, compiled=step.compiled):
        raise DefinitionError(problems)
    names = handler_arguments(function)
    conversions, problems = conversions_of(definition, step, index)
    remedy = f"its arguments are {', '.join(names)}"
    problems += [
        Problem(FILE, 0, f"pipeline.{index}.{key}.{name}", f"{function.__name__} has no argument {name}", remedy)
        for key, named in (("inputs", step.inputs), ("expects", step.expects))
        for name in named
        if name not in names
    ]
    if "state" in names and not step.state:
        problems.append(
            Problem(
                file, line, function.__name__, "takes state, but the step declares none", "declare state: in twin.yaml"
            )
        )
    if step.config:
        problems.append(Problem(FILE, 0, f"pipeline.{index}.config", "only a built-in has settings", "use parameters"))
    arguments = tuple(("state", "") if name == "state" else _argument(step, name, conversions) for name in names)
    found = WiredStep(
        step.name,
        function,
        arguments,
        {},
        tuple(step.outputs),
        authored=True,
        compiled=step.compiled,
        rounds=step.limits.iterations,
        conversions=conversions,
    )
    return found, problems


def _argument(step: Step, name: str, conversions: Collection[str]) -> tuple[str, str]:
    if isinstance(step.inputs.get(name), Previous):
        return "previous", step.field_of(name)
    return ("converted", name) if name in conversions else ("field", step.field_of(name))


def _built_in(definition: Definition, step: Step, index: int, code: AuthoredCode) -> tuple[WiredStep, list[Problem]]:
    """Likewise, of a built-in."""
    path = f"pipeline.{index}"
    built_in = BUILT_INS.get(step.step)
    if built_in is None:
        known = some_of(BUILT_INS, step.step, "docs/functions.md has all")
        remedy = f"built-ins are {known}; a function of the folder is file.py:function"
        raise DefinitionError([Problem(FILE, 0, f"{path}.step", f"no built-in {step.step}", remedy)])
    try:
        bound = built_in.bind(step.config)
    except pydantic.ValidationError as error:
        every = all_faults(error, step.config, built_in.config, built_in.bind)
        raise DefinitionError(
            [
                Problem(FILE, 0, ".".join([path, "config", *map(str, place)]), message, remedy)
                for place, _, message, remedy in told(every.items, built_in.config)
            ]
        ) from None
    conversions, problems = conversions_of(definition, step, index)
    bound, calls = linked(
        bound,
        f"{path}.config",
        lambda target, place: _function(code, target, place),
        lambda name: _argument(step, name, conversions),
    )
    remedy = f"its arguments are {', '.join(bound.arguments)}"
    problems += [
        Problem(FILE, 0, f"{path}.inputs.{name}", f"{step.step} has no argument {name}", remedy)
        for name in step.inputs
        if name not in bound.arguments
    ]
    if len(step.outputs) != len(bound.outputs):
        remedy = f"name {len(bound.outputs)}: {', '.join(bound.outputs)}"
        problems.append(Problem(FILE, 0, f"{path}.outputs", f"{step.step} gives {len(bound.outputs)} outputs", remedy))
    for (own, gives), (name, declared) in zip(bound.outputs.items(), step.outputs.items(), strict=False):
        if declared.type in _UNFIT[gives.type]:
            message = f"{step.step} gives its {own} as {gives.type}, which {declared.type} can't hold"
            message += "" if "type" in declared.model_fields_set else ", and that is what an output is by default"
            problems.append(Problem(FILE, 0, f"{path}.outputs.{name}.type", message, f"write type: {gives.type}"))
    if step.state:
        problems.append(Problem(FILE, 0, f"{path}.state", "a built-in declares its own state", "remove it"))
    if step.expects:
        problems.append(Problem(FILE, 0, f"{path}.expects", "a built-in knows its own units", "remove it"))
    arguments = [("state", "")] if bound.state else []
    arguments += [_argument(step, name, conversions) for name in bound.arguments]
    arguments += [("constant", name) for name in bound.constants]
    found = WiredStep(
        step.name,
        bound.function,
        tuple(arguments),
        bound.constants,
        tuple(step.outputs),
        authored=False,
        conversions=conversions,
        truths=tuple(step.field_of(name) for name in bound.truths),
        places={step.field_of(name): place for name, place in bound.places.items()},
        calls=calls,
        rounds=step.limits.iterations,
    )
    return found, problems


def _no_booleans(found: WiredStep, definition: Definition, index: int) -> list[Problem]:
    declared: dict[str, Any] = {**definition.inputs, **definition.parameters, **definition.fields()}
    return [
        Problem(
            FILE,
            0,
            f"pipeline.{index}.{found.places.get(name, 'inputs')}",
            f"{name} is {declared[name].type if name in declared else 'a number'}, not true or false",
            "compare it with something, or name a bool field",
        )
        for name in found.truths
        if name in AMBIENT or (name in declared and declared[name].type != "bool")
    ]


def _missing(found: WiredStep, name: str, known: set[str]) -> str:
    """What to do about an argument that nothing gives."""
    remedy = f"map it under inputs to one of {some_of(known, name, EARLIER)}"
    default = inspect.signature(found.function).parameters[name].default if found.authored else inspect.Parameter.empty
    if isinstance(default, bool | int | float):
        shown = str(default).lower() if isinstance(default, bool) else default
        remedy = f"its default is not used: declare {name}: {{default: {shown}}} under parameters, or {remedy}"
    return remedy


def _text_taken(step: str, name: str) -> tuple[str, str]:
    return (
        f"{step} takes {name}, a parameter that is any text, which no step sees",
        f"give it choices: a step gets the index among them; or leave {name} out",
    )


def _unknown_fields(found: WiredStep, step: Step, index: int, known: set[str], texts: Collection[str]) -> list[Problem]:
    places = {name: f"pipeline.{index}.{place}" for name, place in found.places.items()}
    return [
        Problem(
            FILE,
            0,
            places.get(name, f"pipeline.{index}.inputs"),
            *(
                _text_taken(step.step, name)
                if name in texts
                else (f"{step.step} takes {name}, which is no field here", _missing(found, name, known))
            ),
        )
        for kind, name in found.arguments
        # What `inputs` maps to was checked with the definition.
        if kind == "field" and name not in known and name not in map(step.field_of, step.inputs)
    ]
