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

    A renaming that both versions declare was made already, and is neither made again nor undone.

    Args:
        names: Of this version.
        known: Of the version before.
        renamed: This version's migration: name to what it was called before.
        renamed_before: That of the version before.
        goes_back: Whether this one has the lower number. It matters only for a name that has several sources: on the
            way back the one that undoes the renaming of the version before comes first, then the name itself, then the
            one that this version declares; otherwise the other way round.
    """
    found = {}
    for name in names:
        own = name if name in known else ""
        declared = renamed.get(name, "")
        if declared not in known or renamed_before.get(name) == declared:
            declared = ""
        undone = _undone(name, known, renamed, renamed_before)
        if not goes_back:
            # What is there under its new name stays under it.
            source = declared or own or (undone if undone not in names else "")
        else:
            source = undone or own or declared
        if source:
            found[name] = source
    return found


def _undone(name: str, known: Collection[str], renamed: Mapping[str, str], renamed_before: Mapping[str, str]) -> str:
    """What the version before called a name that it renamed, and that this one does not call so too."""
    given = (new for new, old in renamed_before.items() if old == name and new in known and renamed.get(new) != old)
    return next(given, "")
