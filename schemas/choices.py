"""Naming what an author may choose from, so that a line stays one that is read."""

import difflib
import re
from collections.abc import Iterable

FIELDS = "all are inputs, or outputs of steps"
EVERYTHING = "all are inputs, parameters, or outputs of steps"
EARLIER = "all are inputs, parameters, or outputs of earlier steps"

_MOST = 14
_NEAREST = 3


_MEANT = {
    "boolean": "bool",
    "number": "float",
    "double": "float",
    "real": "float",
    "integer": "int",
    "str": "string",
    "text": "string",
    "enum": "choices",
    "values": "choices",
    "options": "choices",
    "min": "range",
    "max": "range",
    "minimum": "range",
    "maximum": "range",
    "limits": "range",
    "value": "default",
    "initial": "default",
    "error": "critical",
    "alarm": "critical",
    "params": "parameters",
    "steps": "pipeline",
    "condition": "when",
    "function": "step",
    "source": "field",
}


def meant(name: str, known: Iterable[str]) -> str:
    """What of all that is known was most probably meant by a name, `""` for nothing of it."""
    names = list(known)
    if _MEANT.get(name.lower(), "") in names:
        return _MEANT[name.lower()]
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])|[^A-Za-z0-9]+", "_", name).lower()
    begun = [one for one in names if len(one) > 1 and plain.startswith(one)]
    return next(iter(difflib.get_close_matches(plain, names, 1) or begun), "")


def some_of(known: Iterable[str], name: str, rest: str) -> str:
    """All that is known where it is little, else what is nearest to a name, and where the rest of it stands.

    Args:
        known: What may be chosen.
        name: What was written instead.
        rest: Where all of it stands, such as "all are under inputs".
    """
    names = sorted(known)
    if len(names) <= _MOST:
        return ", ".join(names) or "none"
    # The whole of a name may be part of another, as average is of weighted_average.
    near = [one for one in names if name and (name in one or one in name)]
    near += difflib.get_close_matches(name, names, _NEAREST, 0.0)
    return f"{', '.join(list(dict.fromkeys(near))[:_NEAREST])}, …; {rest}"
