"""Numbers that would lose something on their way out of a step or into its state: told, rather than cut off."""

from typing import Any

from numba.core import ir, types
from numba.core.types.common import Buffer

from schemas.definition_file import FILE
from schemas.errors import Problem
from twins.author_faults import file_of
from twins.authored import AuthoredCode
from twins.layout import RowLayout
from twins.wiring import WiredStep

_REMEDY = {
    "int": "int(…), if its fraction is not wanted",
    "bool": "a comparison, such as x > 0.0",
}


def narrowing_faults(compiled: Any, step: WiredStep, layout: RowLayout, code: AuthoredCode) -> list[Problem]:  # noqa: ANN401
    """Faults of what a compiled step returns and remembers.

    Args:
        compiled: What `jit` made of its function, compiled.
        step: The step.
        layout: The type's rows.
        code: The folder.
    """
    overloads = [compiled.overloads[signature] for signature in compiled.signatures]
    found = [fault for one in overloads for fault in _results(one.signature.return_type, step, layout)]
    found += [fault for one in overloads for fault in _stored(one.type_annotation, step, layout, code)]
    found += [fault for one in overloads for fault in _truths(one.type_annotation, step, code)]
    return list(dict.fromkeys(found))


def _results(returned: Any, step: WiredStep, layout: RowLayout) -> list[Problem]:  # noqa: ANN401 - numba has no types
    kinds = list(returned) if len(step.outputs) > 1 else [returned]
    declared = layout.definition.fields()
    index = [one.name for one in layout.definition.pipeline].index(step.name)
    found = []
    for name, kind in zip(step.outputs, kinds, strict=False):
        path, wanted = f"pipeline.{index}.outputs.{name}.type", declared[name].type
        if isinstance(kind, types.Boolean) and wanted == "float":
            message = f"{step.function.__name__} returns true or false for {name}, which is declared as float"
            found.append(Problem(FILE, 0, path, message, "write type: bool"))
        elif isinstance(kind, types.Float) and wanted != "float":
            message = f"{step.function.__name__} returns a float for {name}, which {wanted} can't hold"
            found.append(Problem(FILE, 0, path, message, f"write type: float, or return {_REMEDY[wanted]}"))
    return found


def _stored(annotation: Any, step: WiredStep, layout: RowLayout, code: AuthoredCode) -> list[Problem]:  # noqa: ANN401
    """Faults of each `state.x = …` and `state.x[i] = …`."""
    own = layout.states.get(step.name, {})
    found = []
    of = {}
    statements = [one for block in annotation.blocks.values() for one in block.body]
    for one in statements:
        if isinstance(one, ir.Assign) and isinstance(one.value, ir.Expr) and one.value.op == "getattr":
            of[one.target.name] = one.value.attr
    for one in statements:
        if not isinstance(one, ir.SetAttr | ir.SetItem | ir.StaticSetItem):
            continue
        into, value = annotation.typemap[one.target.name], annotation.typemap[one.value.name]
        name = one.attr if isinstance(one, ir.SetAttr) else of.get(one.target.name, "")
        if not isinstance(into, types.Record | types.NestedArray) or name not in own:
            continue
        if isinstance(one, ir.SetAttr) and not own[name].shape and isinstance(value, Buffer | types.NestedArray):
            message = f"{step.function.__name__} writes an array into its state {name}, which is one number"
            remedy = f"write one element of it, or declare {name} with a shape"
            found.append(Problem(file_of(step.function, code), one.loc.line, step.function.__name__, message, remedy))
        elif own[name].type != "float" and isinstance(getattr(value, "dtype", value), types.Float):
            wanted = own[name].type
            message = f"{step.function.__name__} writes a float into its state {name}, which {wanted} can't hold"
            remedy = f"declare {name} with type: float, or write {_REMEDY[wanted]}"
            found.append(Problem(file_of(step.function, code), one.loc.line, step.function.__name__, message, remedy))
    return found


def _truths(annotation: Any, step: WiredStep, code: AuthoredCode) -> list[Problem]:  # noqa: ANN401
    """Faults of each array that is taken for true or false: numba takes its address."""
    found = []
    for one in (one for block in annotation.blocks.values() for one in block.body):
        call = one.value if isinstance(one, ir.Assign) else None
        if not isinstance(call, ir.Expr) or call.op != "call" or len(call.args) != 1:
            continue
        called = annotation.typemap[call.func.name]
        if getattr(called, "typing_key", None) is bool and isinstance(
            annotation.typemap[call.args[0].name], Buffer | types.NestedArray
        ):
            name = step.function.__name__
            message, remedy = f"{name} takes an array for true or false", "take one element, or its .any() or .all()"
            found.append(Problem(file_of(step.function, code), one.loc.line, name, message, remedy))
    return found
