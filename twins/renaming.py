"""Where each value of a version comes from in another one that a partition was under before."""

from collections.abc import Collection, Mapping


def is_older(version: str, other: str) -> bool:
    """Whether a version number is less than another; not when either is unknown."""
    return bool(version and other) and _order(version) < _order(other)


def _order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def sources(
    names: Collection[str],
    known: Collection[str],
    renamed: Mapping[str, str],
    renamed_before: Mapping[str, str],
    *,
    goes_back: bool,
) -> dict[str, str]:
    """What each name is called in the version before; names that have nothing there are left out.

    Args:
        names: Of this version.
        known: Of the version before.
        renamed: This version's migration: name to what it was called before.
        renamed_before: That of the version before.
        goes_back: Whether this is the older version: what the newer one renamed gets its old names again. Without
            numbers that tell, that holds for what has no place under its new name.
    """
    if goes_back:
        renamed = {old: new for new, old in renamed_before.items()}
        returned = {}
    else:
        returned = {old: new for new, old in renamed_before.items() if new in known and new not in names}
    found = {}
    for name in names:
        if renamed.get(name) in known:
            found[name] = renamed[name]
        elif name in known:
            found[name] = name
        elif name in returned:
            found[name] = returned[name]
    return found
