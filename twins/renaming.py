"""Where each value of a version comes from in another one that a partition was under before."""

from collections.abc import Collection, Mapping


def sources(
    names: Collection[str], known: Collection[str], renamed: Mapping[str, str], renamed_before: Mapping[str, str]
) -> dict[str, str]:
    """What each name is called in the version before; names that have nothing there are left out.

    Args:
        names: Of this version.
        known: Of the version before.
        renamed: This version's migration: name to what it was called before.
        renamed_before: That of the version before. Going back, what it had renamed gets its old name again, where this
            version does not know the new one.
    """
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
