"""The `nx-27017` document server as a process; run by path with its own arguments, imports nothing of ours."""

import logging
import sys

from nx_27017 import nx_27017  # type: ignore[import-untyped]


def main() -> None:
    """Serve until SIGTERM."""
    # At its own level it logs every request with its documents, twice.
    logging.disable(logging.INFO)
    sys.exit(nx_27017.main())


if __name__ == "__main__":
    main()
