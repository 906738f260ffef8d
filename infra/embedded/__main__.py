"""Fetch what the embedded servers need ahead of their first start: `python -m infra.embedded`."""

import sys

from infra.embedded.cache import cache_dir
from infra.embedded.jars import KAFKA_VERSION, ensure_jars, java
from schemas.errors import SetupError


def main() -> int:
    """Run from the command line."""
    try:
        java()
        if not (cache_dir() / f"kafka-{KAFKA_VERSION}").is_dir():
            sys.stdout.write("setup: fetching Apache Kafka …\n")
            sys.stdout.flush()
        ensure_jars()
    except SetupError as error:
        sys.stderr.write(f"setup: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
