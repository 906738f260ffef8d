"""Naming what an author may choose from, so that a line stays one that is read."""

import difflib
from collections.abc import Iterable

FIELDS = "all are inputs, or outputs of steps"
EVERYTHING = "all are inputs, parameters, or outputs of steps"
EARLIER = "all are inputs, parameters, or outputs of earlier steps"

_MOST = 8
_NEAREST = 3


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
