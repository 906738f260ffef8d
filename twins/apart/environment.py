"""What a process that runs an author's code knows of its surroundings."""

import os

_OURS = "TWINSTREAM_"


def author_environment() -> dict[str, str]:
    """This process's variables without our own, in whatever case they are written: settings hold secrets."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(_OURS)}
