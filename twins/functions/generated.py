"""Functions whose number of arguments depends on a configuration, written out as source."""

import hashlib
import keyword
import linecache
from collections.abc import Callable, Collection, Mapping
from typing import Any

from schemas.names import check_field


def function_from(source: str, name: str, scope: Mapping[str, Any]) -> Callable[..., Any]:
    """Define the function `name` by `source`, with `scope` as its globals.

    The compiler needs functions with plainly named arguments and tuples of known length, which a fixed source can't
    give for a filter of any size. The source stays visible to tracebacks and to `inspect.getsource`.
    """
    file = f"<{name} {hashlib.sha256(source.encode()).hexdigest()[:12]}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace = dict(scope)
    exec(compile(source, file, "exec"), namespace)  # noqa: S102  # names in it have passed check_arguments
    function: Callable[..., Any] = namespace[name]
    return function


def check_arguments(names: Collection[str], taken: Collection[str] = ()) -> None:
    """Check names that become a generated function's arguments.

    Raises:
        ValueError: one is outside the grammar of fields, a Python keyword, or given twice.
    """
    for name in names:
        check_field(name, "argument")
        if keyword.iskeyword(name) or name in taken:
            message = f"{name} can't name an argument here; choose another and map it under inputs"
            raise ValueError(message)
    if len(set(names)) != len(names):
        message = f"an argument is named twice in {list(names)}"
        raise ValueError(message)
